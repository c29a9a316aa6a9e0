/** The page without a mouse, and with less motion. */
import type { Page } from "playwright-core";
import { afterEach, expect, test } from "vitest";
import { shot } from "../page/browser";
import { ADMIN } from "../page/logins";
import { visitPortal, type Visit } from "./visitor";

const LOOK = { width: 1280, height: 1000, dark: true };

/** What has the focus, and whether that can be seen. */
const focus = (page: Page) =>
  page.evaluate(() => {
    const at = document.activeElement;
    if (!at || at === document.body) return null;
    const ring = (element: Element | null) => {
      if (!element) return false;
      const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
      return (outlineStyle !== "none" && outlineWidth !== "0px") || boxShadow.includes("0px 0px 0px 1px");
    };
    const labels = at instanceof HTMLTextAreaElement ? at.labels[0]?.textContent : null;
    return { name: (at.getAttribute("aria-label") ?? labels ?? at.textContent ?? "").trim(), seen: ring(at) || ring(at.closest(".composer")) };
  });

let at: Visit;
afterEach(() => at?.leave());

test("the keyboard does everything, and shows where it is", async () => {
  at = await visitPortal(LOOK);
  const { page, cloud } = at;
  await page.emulateMedia({ reducedMotion: "reduce" });
  await page.goto("/");
  await page.getByLabel("E-mail").waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.type(ADMIN.email);
  await page.keyboard.press("Tab");
  await page.keyboard.type(ADMIN.password);
  await page.keyboard.press("Enter");
  const begin = page.getByRole("button", { name: "Start a session" });
  await begin.waitFor();
  for (let n = 0; n < 10 && (await focus(page))?.name !== "Start a session"; n++) await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Waiting for your desktop" }).waitFor();
  expect(await page.evaluate(() => document.getAnimations().filter(({ playState }) => playState === "running").length)).toBe(0);
  cloud.proxy.desktop = true;
  await page.getByRole("heading", { name: "Your desktop is connected" }).waitFor();

  const prompt = page.getByRole("textbox", { name: "Prompt" });
  await prompt.focus();
  await page.keyboard.type("Two");
  await page.keyboard.press("Shift+Enter");
  await page.keyboard.type("lines");
  cloud.model.words = Array.from({ length: 4000 }, (_, n) => ` ${n}`);
  await page.keyboard.press("Enter");
  await expect.poll(() => page.getByRole("log").textContent()).toContain(" 9 ");
  await page.keyboard.press("Escape");
  await expect.poll(() => cloud.model.broken).toBe(1);
  expect(cloud.model.asked[0]?.messages[0]?.content).toBe("Two\nlines");

  // A menu, by arrows; Esc closes it and goes back to its button.
  await page.getByRole("button", { name: /Account of/ }).focus();
  await page.keyboard.press("ArrowDown");
  await page.getByRole("menuitem", { name: "Log out" }).waitFor();
  await page.keyboard.press("End");
  expect((await focus(page))?.name).toBe("Log out");
  await page.keyboard.press("Escape");
  await expect.poll(async () => (await focus(page))?.name).toMatch(/^Account of/);

  // Round the page once.
  await page.reload();
  await page.getByRole("heading", { name: "Your desktop is connected" }).waitFor();
  const stops: string[] = [];
  for (let n = 0; n < 20; n++) {
    await page.keyboard.press("Tab");
    const here = await focus(page);
    if (!here) continue; // past the last one, the browser itself
    expect(here.seen, `the focus on ${here.name}`).toBe(true);
    stops.push(here.name);
  }
  for (const name of ["Skip to the content", "Your session", "All sessions", "Account of Admin", "Stop the session", "Copy the command", "Conversation", "Prompt", "Model", "Send"]) expect(stops).toContain(name);
  await page.getByRole("button", { name: "Copy the command" }).focus();
  await page.keyboard.press("Shift+Tab");
  await shot(page, "30-focus", LOOK);
  expect(cloud.faulty).toEqual([]);
  expect(at.complaints).toEqual([]);
});
