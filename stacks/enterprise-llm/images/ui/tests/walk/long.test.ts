/** A chat of 500 messages stays quick, whatever the machine: what is compared are renderings, and times within one run. */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADMIN } from "../page/logins";
import { launch, REAL, visit } from "../page/browser";
import { logIn, send, standIn } from "./visitor";
import { RICH } from "./texts";

describe.skipIf(REAL !== null)("a chat of 500 messages", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser?.close());

  test("a token changes the last answer only, and costs as little as in a new chat", async () => {
    const { backend, base } = await standIn();
    const long = backend.add(ADMIN.email, "Long", Array.from({ length: 500 }, (_, i): [string, string] => (i % 2 === 0 ? ["user", `Question ${i}`] : ["assistant", `${i}: ${RICH}`])));
    const { page, context, complaints } = await visit(browser, base, { width: 1280, height: 820, dark: false });
    await logIn(page);
    Object.assign(backend, { answer: "word ".repeat(400), pace: 4 });

    async function stream(): Promise<{ script: number; outside: number }> {
      await page.evaluate(() => {
        const watch = { outside: 0 };
        Object.assign(globalThis, { watch });
        // Changes of the messages that were said before, while the answer comes.
        const list = document.querySelector("[aria-label=Messages]");
        if (list) new MutationObserver((changes) => {
          for (const { target } of changes) {
            const turn = target instanceof Element ? target.closest(".turn") : target.parentElement?.closest(".turn");
            if (turn && turn.nextElementSibling?.nextElementSibling) watch.outside += 1;
          }
        }).observe(list, { subtree: true, childList: true, characterData: true, attributes: true });
      });
      const client = await context.newCDPSession(page);
      await client.send("Performance.enable");
      const spent = async () => (await client.send("Performance.getMetrics")).metrics.find(({ name }) => name === "TaskDuration")?.value ?? 0;
      // The page itself tells when the answer is whole: a test that keeps looking would be most of what is measured.
      const whole = page.evaluate(
        () =>
          new Promise<void>((resolve) => {
            let begun = false;
            const watch = new MutationObserver(() => {
              const growing = document.querySelector(".growing") !== null;
              if (begun && !growing) {
                watch.disconnect();
                resolve();
              }
              begun ||= growing;
            });
            watch.observe(document.body, { subtree: true, childList: true });
          }),
      );
      await page.getByRole("textbox", { name: "Message" }).fill("Go on");
      const before = await spent();
      await page.keyboard.press("Enter");
      await whole;
      const after = await spent();
      const outside = await page.evaluate(() => (globalThis as unknown as { watch: { outside: number } }).watch.outside);
      return { script: after - before, outside };
    }

    await stream(); // warms up
    await page.getByRole("link", { name: "New chat" }).click();
    const short = await stream();
    const began = Date.now();
    await page.goto(`/c/${long.id}`);
    await page.getByText("499:").first().waitFor();
    const first = Date.now() - began;
    await expect.poll(() => page.locator(".turn").count()).toBe(500);
    const all = Date.now() - began;
    const atEnd = await page.evaluate(() => {
      const area = document.querySelector("#content .overflow-y-auto");
      return area ? area.scrollHeight - area.scrollTop - area.clientHeight : -1;
    });
    expect(atEnd).toBeLessThan(60);
    const grown = await stream();
    console.info(`400 tokens: ${(short.script * 1000).toFixed(0)} ms of the page's thread in a new chat, ${(grown.script * 1000).toFixed(0)} ms after 500 messages; opened in ${first} ms, all in the page after ${all} ms`);
    expect(grown.outside).toBeLessThan(10); // the button for another answer goes; no token does anything there
    expect(grown.script).toBeLessThan(short.script * 3 + 0.3);

    // The reader who has scrolled up stays there, and comes back with one button.
    Object.assign(backend, { answer: "line\n\n".repeat(300), pace: 4 });
    await send(page, "And on");
    await page.locator(".growing").waitFor();
    await page.mouse.move(700, 400);
    await page.mouse.wheel(0, -1500);
    await page.getByRole("button", { name: "To the newest message" }).waitFor();
    await page.evaluate(
      () =>
        new Promise<void>((resolve) => {
          let before = Number.NaN;
          const still = (): void => {
            const now = document.elementFromPoint(700, 400)?.closest(".turn")?.getBoundingClientRect().top ?? Number.NaN;
            if (now === before) return resolve();
            before = now;
            setTimeout(still, 200);
          };
          still();
        }),
    );
    // What is read stays where it is on the screen, whatever grows below it or is laid out above it.
    const read = await page.evaluateHandle(() => document.elementFromPoint(700, 400)?.closest(".turn"));
    const top = () => read.evaluate((turn) => turn?.getBoundingClientRect().top ?? Number.NaN);
    const stood = await top();
    await page.locator(".growing").waitFor({ state: "detached" });
    expect(Math.abs((await top()) - stood)).toBeLessThan(5);
    await page.getByRole("button", { name: "To the newest message" }).click();
    await page.getByRole("button", { name: "To the newest message" }).waitFor({ state: "detached" });
    expect(complaints).toEqual([]);
    await context.close();
    await backend.close();
    expect(backend.unknown).toEqual([]);
  });
});
