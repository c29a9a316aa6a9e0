/** The built page as nginx serves it with the image's own configuration: what is cached, what is refused, the headers. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";

const HERE = join(import.meta.dirname, "../..");
const PAGES = process.env["UI_OUT"] ?? join(HERE, "dist");
const TYPES = "types { text/html html; text/css css; application/javascript js; image/svg+xml svg; font/woff2 woff2; text/plain txt; }";

function nginx(): boolean {
  try {
    execFileSync("nginx", ["-v"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

describe.skipIf(!nginx() || process.env["UI_BASE_URL"] !== undefined)("the static server", () => {
  const folder = mkdtempSync(join(tmpdir(), "ui-nginx-"));
  let server: ChildProcess;
  let base = "";

  beforeAll(async () => {
    const port = await new Promise<number>((done) => {
      const free = createServer().listen(0, "127.0.0.1", () => {
        const { port: one } = free.address() as AddressInfo;
        free.close(() => done(one));
      });
    });
    base = `http://127.0.0.1:${port}`;
    writeFileSync(join(folder, "mime.types"), TYPES);
    const config = readFileSync(join(HERE, "nginx.conf"), "utf8")
      .replace("/etc/nginx/mime.types", join(folder, "mime.types"))
      .replace("listen 8080", `listen 127.0.0.1:${port}`)
      .replace("/srv/www", PAGES)
      .replaceAll("/dev/shm", folder)
      .replaceAll(/\/dev\/std(out|err)/g, join(folder, "log"));
    writeFileSync(join(folder, "nginx.conf"), `${process.getuid?.() === 0 ? "user root;\n" : ""}${config}`);
    server = spawn("nginx", ["-c", join(folder, "nginx.conf"), "-g", "daemon off;"], { stdio: "ignore" });
    await vi.waitFor(() => fetch(`${base}/healthz`), { timeout: 30_000 });
  });
  afterAll(async () => {
    const ended = new Promise((done) => server.once("exit", done));
    server.kill("SIGQUIT");
    await ended;
    rmSync(folder, { recursive: true });
  });

  const get = (path: string, headers: Record<string, string> = {}) => fetch(base + path, { headers });

  test("the page: asked for each time, under any address of the page", async () => {
    for (const path of ["/", "/c/0190c2f4", "/users", "/index.html"]) {
      const answer = await get(path);
      expect([answer.status, answer.headers.get("Content-Type"), answer.headers.get("Cache-Control")], path).toEqual([200, "text/html; charset=utf-8", "no-cache"]);
    }
  });

  test("assets are kept for good, and missing ones are not", async () => {
    for (const name of readdirSync(join(PAGES, "assets"))) {
      expect((await get(`/assets/${name}`)).headers.get("Cache-Control"), name).toBe("public, max-age=31536000, immutable");
    }
    const missing = await get("/assets/none.js");
    expect([missing.status, missing.headers.get("Cache-Control")]).toEqual([404, "no-cache"]);
  });

  test("what is the other services' is not answered with a page", async () => {
    for (const path of ["/api/models", "/auth/config", "/v1/models"]) expect((await get(path)).status, path).toBe(404);
  });

  test("the policy: files of this origin only, no inline code or style", async () => {
    const { headers } = await get("/");
    const policy = headers.get("Content-Security-Policy") ?? "";
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(policy).not.toMatch(/unsafe|data:|\*/);
    expect(headers.get("X-Content-Type-Options")).toBe("nosniff");
    expect(headers.get("Referrer-Policy")).toBe("no-referrer");
    expect(headers.get("Server")).toBe("nginx");
    expect(readFileSync(join(PAGES, "index.html"), "utf8")).not.toMatch(/<script(?![^>]*\ssrc=)|<style|\sstyle=|\son[a-z]+=/);
    for (const path of ["/healthz", "/assets/none.js"]) expect((await get(path)).headers.has("Content-Security-Policy"), path).toBe(true);
  });

  test("texts are compressed", async () => {
    const script = readdirSync(join(PAGES, "assets")).find((name) => name.endsWith(".js"));
    expect((await get(`/assets/${script}`, { "Accept-Encoding": "gzip" })).headers.get("Content-Encoding")).toBe("gzip");
  });
});
