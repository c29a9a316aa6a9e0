import { readFileSync } from "node:fs";
import type { ServerResponse } from "node:http";
import { extname, join, normalize } from "node:path";

const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2", ".md": "text/markdown", ".txt": "text/plain",
};

/** Serves the built page with the security headers that nginx.conf sets. `connect`: what its `$connect` is. */
export class Pages {
  readonly #policy: [string, string][];

  constructor(
    readonly folder: string,
    nginx: string,
    connect = "",
  ) {
    const headers = readFileSync(nginx, "utf8").matchAll(/^ *add_header (\S+) (?:"([^"]+)"|([^$\s]\S*)) always;/gm);
    this.#policy = [...headers].map(([, name = "", quoted, bare]) => [name, (quoted ?? bare ?? "").replace("$connect", connect)]);
    if (!this.#policy.some(([name]) => name === "Content-Security-Policy")) throw new Error("no policy in nginx.conf");
  }

  /** False if there is no such file. */
  answer(path: string, response: ServerResponse): boolean {
    for (const [name, value] of this.#policy) response.setHeader(name, value);
    const name = normalize(extname(path) === "" ? "/index.html" : path);
    try {
      const content = readFileSync(join(this.folder, name));
      response.writeHead(200, { "Content-Type": TYPES[extname(name)] ?? "application/octet-stream", "Cache-Control": "no-cache" }).end(content);
      return true;
    } catch {
      response.writeHead(404).end();
      return false;
    }
  }
}
