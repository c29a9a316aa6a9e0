/** Somebody at the portal, in a browser that takes all names for this machine. */
import { join } from "node:path";
import type { Browser, BrowserContext, Page } from "playwright-core";
import { launch, visit, type Look } from "../page/browser";
import { ADMIN } from "../page/logins";
import { Cloud, ORIGIN } from "./cloud";

const HERE = join(import.meta.dirname, "../..");

export interface Visit {
  cloud: Cloud;
  page: Page;
  context: BrowserContext;
  complaints: string[];
  leave(): Promise<void>;
}

export async function visitPortal(look: Look): Promise<Visit> {
  const cloud = new Cloud(process.env["UI_OUT"] ?? join(HERE, "dist"), join(HERE, "nginx.conf"));
  const port = await cloud.listen();
  const browser: Browser = await launch([`--host-resolver-rules=MAP * 127.0.0.1:${port}`]);
  const { page, context, complaints } = await visit(browser, ORIGIN, look);
  return {
    cloud,
    page,
    context,
    complaints,
    async leave() {
      await browser.close();
      await cloud.close();
    },
  };
}

/** Who logs in. */
type Who = Pick<typeof ADMIN, "email" | "password">;

export async function logIn(page: Page, who: Who = ADMIN): Promise<void> {
  await page.goto("/");
  await enter(page, who);
}

/** Fills in the log-in page that is there. */
export async function enter(page: Page, who: Who = ADMIN): Promise<void> {
  await page.getByLabel("E-mail").fill(who.email);
  await page.getByLabel("Password", { exact: true }).fill(who.password);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Your session", exact: true }).waitFor();
}

export async function start(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Start a session" }).click();
  await page.getByRole("button", { name: "Stop the session" }).waitFor();
}

export async function ask(page: Page, text: string): Promise<void> {
  await page.getByRole("textbox", { name: "Prompt" }).fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

/** How far what is on the page has jumped since it was last asked, by Chromium's own measure. */
export async function watchShifts(page: Page): Promise<() => Promise<number>> {
  await page.evaluate(() => {
    const seen = { sum: 0 };
    Object.assign(globalThis, { shifts: seen });
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries() as unknown as { value: number; hadRecentInput: boolean }[]) if (!entry.hadRecentInput) seen.sum += entry.value;
    }).observe({ type: "layout-shift", buffered: false });
  });
  return () => page.evaluate(() => (globalThis as unknown as { shifts: { sum: number } }).shifts.sum);
}
