/** From the log-in to the log-out, at three widths, in light and dark. */
import { afterEach, describe, expect, test } from "vitest";
import { accessible, fits, shot, type Look } from "../page/browser";
import { ADMIN } from "../page/logins";
import { ORIGIN } from "./cloud";
import { ask, logIn, start, visitPortal, watchShifts, type Visit } from "./visitor";

const LOOKS: Look[] = [
  { width: 1280, height: 1000, dark: false },
  { width: 820, height: 1180, dark: true },
  { width: 360, height: 740, dark: false },
];
const HOUR = 3_600_000;

describe.each(LOOKS)("at a width of $width", (look) => {
  let at: Visit;
  afterEach(() => at?.leave());

  test("log in, start, connect, ask, stop, look at the past, log out", async () => {
    at = await visitPortal(look);
    const { cloud, page, complaints } = at;
    const before = (ms: number, seconds: number, bytesIn: number, bytesOut: number, reason: string | null) =>
      cloud.add(ADMIN.email, { live: false, started: new Date(Date.now() - ms).toISOString(), ended: new Date(Date.now() - ms + seconds * 1000).toISOString(), seconds, bytesIn, bytesOut, reason });
    before(70 * HOUR, 8 * 3600 + 300, 81_000, 48_200_000, "idle");
    before(26 * HOUR, 2700, 9200, 1_340_000, "asked");
    before(24 * HOUR, 42, 0, 310, "lost");
    await page.goto("/");
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    await accessible(page);
    await shot(page, "01-log-in", look);

    await logIn(page);
    await page.getByText("10 minutes without use").waitFor();
    await fits(page);
    await accessible(page);
    await shot(page, "02-no-session", look);

    cloud.createMs = 300;
    await page.getByRole("button", { name: "Start a session" }).click();
    await page.getByRole("button", { name: "Starting…" }).waitFor();
    await page.getByRole("heading", { name: "Waiting for your desktop" }).waitFor();
    await page.getByText(`ctl bridge --to ${ORIGIN}`, { exact: true }).waitFor();
    await fits(page);
    await accessible(page);
    await shot(page, "03-waiting", look);
    await page.getByRole("button", { name: "Copy the command" }).click();
    await page.getByRole("button", { name: "Copied" }).waitFor();
    expect(await page.evaluate(() => navigator.clipboard.readText())).toBe(`ctl bridge --to ${ORIGIN}`);
    expect(await page.getByRole("button", { name: "Send" }).getAttribute("aria-disabled")).toBe("true");

    // The desktop comes, and nothing jumps.
    const shifted = await watchShifts(page);
    cloud.proxy.desktop = true;
    await page.getByRole("heading", { name: "Your desktop is connected" }).waitFor();
    await page.getByText("in use: cloud proxy").waitFor();
    expect(await shifted()).toBeLessThan(0.02);
    await accessible(page);

    await page.getByLabel("Model", { exact: true }).selectOption("qwen3:8b");
    await ask(page, "Say hello, at some length.");
    await page.getByText("from a model that runs at home.").waitFor();
    expect(cloud.model.asked).toEqual([{ model: "qwen3:8b", stream: true, messages: [{ role: "user", content: "Say hello, at some length." }] }]);
    await page.getByRole("button", { name: "Send" }).waitFor();
    await page.locator("#try").scrollIntoViewIfNeeded();
    await fits(page);
    await accessible(page);
    await shot(page, "04-answered", look);

    // Word by word, and no further once it is stopped.
    cloud.model.words = Array.from({ length: 4000 }, (_, n) => ` ${n}`);
    cloud.model.paceMs = 2;
    await ask(page, "Count.");
    const log = page.getByRole("log");
    await expect.poll(() => log.textContent()).toContain(" 20 ");
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await page.getByRole("button", { name: "Send" }).waitFor();
    await expect.poll(() => cloud.model.broken).toBe(1);
    const said = await log.textContent();
    expect(said).not.toContain(" 3999");
    expect(cloud.model.asked[1]?.messages).toHaveLength(3);

    await page.getByRole("button", { name: "Stop the session" }).click();
    await page.getByRole("button", { name: "Start a session" }).waitFor();
    await page.getByText("you stopped it").nth(1).waitFor();
    expect(cloud.sessions.filter(({ live }) => live)).toEqual([]);

    // All live sessions, for an administrator.
    for (const [n, email] of ["ada@example.org", "grace-hopper@example.org", "lin@example.org"].entries())
      cloud.add(email, { desktop: n !== 1, bytesIn: 4000 * n, bytesOut: 5_100_000 * n, started: new Date(Date.now() - n * HOUR).toISOString() });
    await page.getByRole("link", { name: "All sessions" }).click();
    await page.getByRole("cell", { name: /^grace-hopper/ }).waitFor();
    await fits(page);
    await accessible(page);
    await shot(page, "05-everyone", look);

    // The other colours, and they last.
    await page.getByRole("button", { name: /Account of/ }).click();
    await page.getByRole("menuitemradio", { name: look.dark ? "Light" : "Dark", exact: true }).click();
    await page.reload();
    await page.getByRole("heading", { name: "All sessions" }).waitFor();
    expect(await page.evaluate(() => document.documentElement.dataset["theme"])).toBe(look.dark ? "light" : "dark");
    await page.getByRole("link", { name: "Your session" }).click();
    await start(page);
    await page.getByRole("heading", { name: "Waiting for your desktop" }).waitFor();
    await accessible(page);
    await shot(page, "06-other-colours", { ...look, dark: !look.dark });

    await page.getByRole("button", { name: /Account of/ }).click();
    await page.getByRole("menuitem", { name: "Log out" }).click();
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    expect(cloud.faulty).toEqual([]);
    expect(complaints).toEqual([]);
  });
});
