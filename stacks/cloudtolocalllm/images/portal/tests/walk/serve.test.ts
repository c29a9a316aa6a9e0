/** The built page as nginx serves it with the image's own configuration, and with what ctl renders for it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { hasNginx, nginx } from "../page/nginx";

const HERE = join(import.meta.dirname, "../..");
const CONNECT = "https://api.example.org https://*.users.example.org wss://*.users.example.org https://*.ngrok-free.app";
const SETTINGS = { name: "Example", api: "https://api.example.org" };

describe.skipIf(!hasNginx())("the static server", () => {
  const folder = mkdtempSync(join(tmpdir(), "portal-"));
  let base = "";
  let stop: () => Promise<void>;

  beforeAll(async () => {
    writeFileSync(join(folder, "settings.json"), JSON.stringify(SETTINGS));
    writeFileSync(join(folder, "connect.conf"), `set $connect "${CONNECT}";\n`);
    writeFileSync(join(folder, "portal.conf"), readFileSync(join(HERE, "page/portal.conf"), "utf8").replaceAll("/etc/portal", folder));
    ({ base, stop } = await nginx(join(HERE, "nginx.conf"), process.env["UI_OUT"] ?? join(HERE, "dist"), { "/etc/nginx/page": folder, "*.conf": "portal.conf" }));
  });
  afterAll(async () => {
    await stop();
    rmSync(folder, { recursive: true });
  });

  test("the page may talk to its origin, the API, the proxies and tunnels, and to nothing else", async () => {
    const policy = (await fetch(base)).headers.get("Content-Security-Policy") ?? "";
    expect(policy.split("; ")).toContain(`connect-src 'self' ${CONNECT}`);
    expect(policy).toContain("default-src 'none'");
    expect(policy).toContain("require-trusted-types-for 'script'");
    expect(policy).not.toMatch(/unsafe|data:|\$/);
  });

  test("the settings come from their file, and are asked for each time", async () => {
    const answer = await fetch(`${base}/settings.json`);
    expect(await answer.json()).toEqual(SETTINGS);
    expect([answer.headers.get("Cache-Control"), answer.headers.has("Content-Security-Policy"), answer.headers.has("Date")]).toEqual(["no-cache", true, true]);
  });

  test("what is the other services' is not answered with a page", async () => {
    for (const path of ["/api/streaming/sessions", "/auth/login"]) expect((await fetch(base + path)).status, path).toBe(404);
  });
});
