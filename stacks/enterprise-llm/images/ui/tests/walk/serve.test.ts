/** The built page as nginx serves it with the image's own configuration: what is cached, what is refused, the headers. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasNginx, nginx } from "../page/nginx";

const HERE = join(import.meta.dirname, "../..");
const PAGES = process.env["UI_OUT"] ?? join(HERE, "dist");

describe.skipIf(!hasNginx() || process.env["UI_BASE_URL"] !== undefined)("the static server", () => {
  let base = "";
  let stop: () => Promise<void>;

  beforeAll(async () => {
    ({ base, stop } = await nginx(join(HERE, "nginx.conf"), PAGES));
  });
  afterAll(() => stop());

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
