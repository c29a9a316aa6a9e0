/**
 * The whole way on real machines: the portal at UI_BASE_URL, where UI_EMAIL logs in, and a desktop with a model server. UI_DESKTOP_START and
 * UI_DESKTOP_KILL are commands that start its bridge, and kill it as something that brings it back would find it. Of the models, `standin` answers and
 * `silent` never ends.
 */
import { execSync } from "node:child_process";
import type { Page } from "playwright-core";
import { afterEach, describe, expect, test } from "vitest";
import { launch, REAL, shot, visit } from "../page/browser";
import { ask, logIn, start } from "./visitor";

const LOOK = { width: 1280, height: 1060, dark: false };
const WHO = { email: process.env["UI_EMAIL"] ?? "", password: process.env["UI_PASSWORD"] ?? "" };

interface State { at: number; text: string }

/** What is on the page of the latest answer, each time that it changes. */
async function watch(page: Page): Promise<() => Promise<State[]>> {
  await page.evaluate(() => {
    const seen: { at: number; text: string }[] = [];
    Object.assign(globalThis, { seen });
    new MutationObserver(() => {
      const text = document.querySelector('[role="log"]')?.querySelector(".answer:last-child")?.textContent ?? "";
      if (text !== "" && text !== seen.at(-1)?.text) seen.push({ at: performance.now(), text });
    }).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  return () => page.evaluate(() => (globalThis as unknown as { seen: State[] }).seen.splice(0));
}

/** The session that the API lists as live, as the page is told next. */
async function live(page: Page): Promise<string> {
  const listed = await page.waitForResponse((response) => response.url().includes("/api/streaming/sessions?") && response.ok());
  const { sessions } = (await listed.json()) as { sessions: { sessionId: string; live: boolean }[] };
  return sessions.filter((one) => one.live).map(({ sessionId }) => sessionId).join();
}

/** Came word by word: many states, each the beginning of the next, over more than half of the time that the model takes. */
function expectStream(states: State[], said: string): void {
  const texts = states.map(({ text }) => text);
  expect(texts.at(-1)).toContain(said);
  for (const [at, text] of texts.entries()) expect(texts.at(-1)?.startsWith(text), `state ${at}`).toBe(true);
  expect(texts.length).toBeGreaterThanOrEqual(5);
  const times = states.map(({ at }) => at);
  const gaps = times.slice(1).map((time, at) => time - (times[at] ?? 0));
  console.log(`the page showed the answer in ${texts.length} states, ms between them: ${gaps.map(Math.round).join(" ")}`);
  expect(gaps.filter((gap) => gap > 50).length).toBeGreaterThanOrEqual(4);
}

describe.skipIf(!REAL)("browser, proxy, bridge, model", () => {
  let close: () => Promise<void>;
  afterEach(() => close?.());

  test("log in, start, connect, ask, reload, lose the desktop, ask again, stop", async () => {
    const browser = await launch();
    close = () => browser.close();
    const { page, complaints } = await visit(browser, REAL ?? "", LOOK);
    const sockets: string[] = [];
    page.on("websocket", (socket) => sockets.push(socket.url()));
    const heading = (name: string) => page.getByRole("heading", { name }).waitFor();
    const said = "This is the stand-in, no model.";

    await logIn(page, WHO);
    await start(page);
    await heading("Waiting for your desktop");
    await page.getByText(`ctl bridge --to ${REAL}`, { exact: true }).waitFor();
    const session = await live(page);
    expect(session).toMatch(/^[a-z2-7]{26}$/);
    await shot(page, "60-waiting", LOOK);
    execSync(process.env["UI_DESKTOP_START"] ?? "");
    await heading("Your desktop is connected");
    await page.getByText("in use: cloud proxy").waitFor();

    const answers = await watch(page);
    await ask(page, "Hello from the browser");
    await page.getByText("This is the", { exact: false }).waitFor();
    await shot(page, "61-streaming", LOOK);
    await page.getByText(said).waitFor();
    await page.getByRole("button", { name: "Send" }).waitFor();
    expectStream(await answers(), said);
    await shot(page, "62-answered", LOOK);

    await page.reload();
    await heading("Your desktop is connected");
    expect(await live(page)).toBe(session);

    await page.getByLabel("Model", { exact: true }).selectOption("silent:latest");
    await ask(page, "Go on until the desktop is lost");
    await page.getByText("This is the stand-in", { exact: false }).waitFor();
    execSync(process.env["UI_DESKTOP_KILL"] ?? "");
    await page.getByRole("alert").filter({ hasText: /\w/ }).waitFor();
    await page.getByText("This is the stand-in", { exact: false }).waitFor();
    await shot(page, "63-desktop-killed", LOOK);
    await heading("Your desktop is connected");
    await page.getByRole("button", { name: "Clear" }).click();
    await page.getByLabel("Model", { exact: true }).selectOption("standin:latest");
    const again = await watch(page);
    await expect.poll(() => page.getByRole("button", { name: "Send" }).isVisible()).toBe(true);
    await ask(page, "And now?");
    await page.getByText(said).waitFor();
    await page.getByRole("button", { name: "Send" }).waitFor();
    expectStream(await again(), said);
    expect(await live(page), "the session is the same").toBe(session);
    await shot(page, "64-desktop-back", LOOK);

    await page.getByRole("button", { name: "Stop the session" }).click();
    await page.getByRole("button", { name: "Start a session" }).waitFor();
    expect(await live(page)).toBe("");
    await shot(page, "65-ended", LOOK);

    // One for each time that the page was loaded, at the person's own name, and no token in the address.
    expect(sockets.map((url) => new URL(url).pathname)).toEqual(["/ws/client", "/ws/client"]);
    expect(sockets.every((url) => new URL(url).search === "" && url.startsWith("wss://"))).toBe(true);
    expect(complaints).toEqual([]);
  });
});
