/** A real browser for the walks through a page, and what is looked at on every page. */
import { createHash, X509Certificate } from "node:crypto";
import { existsSync, mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Browser, type BrowserContext, type Page } from "playwright-core";
import { expect } from "vitest";

/** Real services instead of the stand-ins; UI_ADDRESS where no DNS knows their name and those below it, UI_CERTIFICATE (PEM) to trust that one alone. */
export const REAL = process.env["UI_BASE_URL"] ?? null;
const ADDRESS = process.env["UI_ADDRESS"];
const CERTIFICATE = process.env["UI_CERTIFICATE"];
const SHOTS = process.env["UI_SHOTS"] ?? join(tmpdir(), "ui-shots");
const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** `args`: for the browser, beside those that it always gets. */
export async function launch(args: readonly string[] = []): Promise<Browser> {
  const found = [process.env["CHROMIUM"], "/usr/bin/chromium", "/usr/bin/google-chrome"].find((path) => path && existsSync(path));
  if (!found) throw new Error("no Chromium: apt-get install chromium, or name one with CHROMIUM");
  return chromium.launch({
    executablePath: found,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
      ...(REAL && ADDRESS ? [`--host-resolver-rules=MAP ${new URL(REAL).hostname} ${ADDRESS}, MAP *.${new URL(REAL).hostname} ${ADDRESS}`] : []),
      ...(CERTIFICATE ? [`--ignore-certificate-errors-spki-list=${fingerprint(CERTIFICATE)}`] : []), ...args],
  });
}

/** Of the certificate's key, as Chromium names one. */
function fingerprint(path: string): string {
  const key = new X509Certificate(readFileSync(path)).publicKey.export({ type: "spki", format: "der" });
  return createHash("sha256").update(key).digest("base64");
}

export interface Look { width: number; height: number; dark: boolean }

/** A new person at a new browser window, whose console has to stay quiet. */
export async function visit(browser: Browser, base: string, look: Look): Promise<{ page: Page; context: BrowserContext; complaints: string[] }> {
  const context = await browser.newContext({
    baseURL: base,
    ignoreHTTPSErrors: base.startsWith("https:") && !CERTIFICATE,
    viewport: { width: look.width, height: look.height },
    colorScheme: look.dark ? "dark" : "light",
    hasTouch: look.width < 500,
    isMobile: look.width < 500,
    permissions: ["clipboard-read", "clipboard-write"],
    locale: "en-GB",
  });
  const page = await context.newPage();
  page.setDefaultTimeout(30_000);
  const complaints: string[] = [];
  page.on("pageerror", (error) => complaints.push(`error: ${error.message}`));
  // That a request was refused or broke is said by the browser itself, and is part of these walks.
  page.on("console", (said) => {
    if (said.type() === "error" && !said.text().startsWith("Failed to load resource")) complaints.push(said.text());
  });
  return { page, context, complaints };
}

export async function shot(page: Page, name: string, look: Look): Promise<void> {
  mkdirSync(SHOTS, { recursive: true });
  await page.screenshot({ path: join(SHOTS, `${name}-${look.width}-${look.dark ? "dark" : "light"}.png`), animations: "disabled" });
}

/** No serious fault of accessibility on the page as it is now. */
export async function accessible(page: Page): Promise<void> {
  // Outside of the page's own policy, as a browser's extension would be.
  await page.evaluate(AXE).catch(async () => page.addScriptTag({ content: AXE }));
  const found = await page.evaluate(async () => {
    const { violations } = await (globalThis as unknown as { axe: { run: () => Promise<{ violations: { id: string; impact: string; nodes: { html: string; failureSummary: string }[] }[] }> } }).axe.run();
    return violations.filter((one) => one.impact === "serious" || one.impact === "critical").map((one) => `${one.id}: ${one.nodes.map((node) => `${node.html} ${node.failureSummary}`).join(" | ")}`);
  });
  expect(found).toEqual([]);
}

/** Nothing sticks out to the right. */
export async function fits(page: Page): Promise<void> {
  const [inside, outside] = await page.evaluate(() => [document.documentElement.scrollWidth, innerWidth]);
  expect(inside).toBeLessThanOrEqual(outside ?? 0);
}
