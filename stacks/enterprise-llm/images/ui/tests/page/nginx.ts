/** The built page as nginx serves it with the image's own configuration, without the image. */
import { execFileSync, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { vi } from "vitest";

const TYPES = "types { text/html html; text/css css; application/javascript js; application/json json; image/svg+xml svg; font/woff2 woff2; text/plain txt; }";

export function hasNginx(): boolean {
  try {
    execFileSync("nginx", ["-v"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

/** `moved`: paths inside the image, and where they are here. */
export async function nginx(config: string, pages: string, moved: Record<string, string> = {}): Promise<{ base: string; stop: () => Promise<void> }> {
  const folder = mkdtempSync(join(tmpdir(), "page-nginx-"));
  const port = await new Promise<number>((done) => {
    const free = createServer().listen(0, "127.0.0.1", () => {
      const { port: one } = free.address() as AddressInfo;
      free.close(() => done(one));
    });
  });
  const base = `http://127.0.0.1:${port}`;
  writeFileSync(join(folder, "mime.types"), TYPES);
  const here = { "/etc/nginx/mime.types": join(folder, "mime.types"), "listen 8080": `listen 127.0.0.1:${port}`, "/srv/www": pages, "/dev/shm": folder, "/dev/stdout": join(folder, "log"), "/dev/stderr": join(folder, "log"), ...moved };
  let text = readFileSync(config, "utf8");
  for (const [inside, outside] of Object.entries(here)) text = text.replaceAll(inside, outside);
  writeFileSync(join(folder, "nginx.conf"), `${process.getuid?.() === 0 ? "user root;\n" : ""}${text}`);
  const server = spawn("nginx", ["-c", join(folder, "nginx.conf"), "-g", "daemon off;"], { stdio: "inherit" });
  const ended = new Promise((done) => server.once("exit", done));
  await vi.waitFor(() => fetch(`${base}/healthz`), { timeout: 30_000 });
  return {
    base,
    async stop() {
      server.kill("SIGQUIT");
      await ended;
      rmSync(folder, { recursive: true });
    },
  };
}
