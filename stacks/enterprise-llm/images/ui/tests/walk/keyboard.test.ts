/** The page without a mouse: every stop can be seen, and the shortcuts do what their list says. Against the stand-in only. */
import type { Browser, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ADMIN } from "../page/logins";
import { launch, REAL, shot, visit } from "../page/browser";
import { answered, standIn } from "./visitor";

const LOOK = { width: 1280, height: 820, dark: false };

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
    const name = at.getAttribute("aria-label") ?? at.textContent ?? "";
    return { name: name.trim(), seen: ring(at) || ring(at.closest(".composer")) };
  });

describe.skipIf(REAL !== null)("the keyboard", () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser?.close());

  test("does everything, and shows where it is", async () => {
    const { backend, base } = await standIn();
    for (const title of ["Apples", "Pears"]) backend.add(ADMIN.email, title, [["user", title], ["assistant", `About ${title}.\n\n\`\`\`\ncode\n\`\`\``]]);
    const { page, context, complaints } = await visit(browser, base, LOOK);
    await page.goto("/");
    await page.getByLabel("E-mail").waitFor();
    await page.keyboard.press("Tab");
    await page.keyboard.type(ADMIN.email);
    await page.keyboard.press("Tab");
    await page.keyboard.type(ADMIN.password);
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "What is on your mind?" }).waitFor();
    await page.keyboard.type("No mouse");
    await page.keyboard.press("Shift+Enter");
    await page.keyboard.type("anywhere");
    await page.keyboard.press("Enter");
    await answered(page);
    expect(backend.sessions.at(-1)?.messages[0]?.content).toBe("No mouse\nanywhere");

    await page.keyboard.press("Control+k");
    await expect.poll(async () => (await focus(page))?.name).toBe("Search the chats");
    await page.keyboard.type("Pears");
    await page.getByRole("heading", { name: "Found for “Pears”" }).waitFor();
    await page.keyboard.press("Tab");
    await expect.poll(async () => (await focus(page))?.name).toBe("Pears");
    await page.keyboard.press("Enter");
    await page.getByText("About Pears.").waitFor();

    // A menu, by arrows; Esc closes it and goes back to its button.
    await page.getByRole("link", { name: "Pears" }).focus();
    await page.keyboard.press("Tab");
    await page.keyboard.press("ArrowDown");
    await page.getByRole("menuitem", { name: "Rename" }).waitFor();
    await page.keyboard.press("ArrowDown");
    expect((await focus(page))?.name).toBe("Delete");
    await page.keyboard.press("Escape");
    await expect.poll(async () => (await focus(page))?.name).toBe("What to do with “Pears”");

    await page.keyboard.press("Control+Shift+o");
    await page.getByRole("heading", { name: "What is on your mind?" }).waitFor();
    await expect.poll(async () => (await focus(page))?.name).toBe("Message");
    await page.keyboard.type("is ? typed here");
    expect(await page.getByRole("dialog").count()).toBe(0);
    await page.getByRole("link", { name: "Pears" }).focus();
    await page.keyboard.press("?");
    await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    await page.keyboard.press("Escape");
    await expect.poll(async () => (await focus(page))?.name).toBe("Pears");
    await page.keyboard.press("Enter");
    await page.getByText("About Pears.").waitFor();
    await page.keyboard.press("Shift+Escape");
    await expect.poll(async () => (await focus(page))?.name).toBe("Message");

    // Round the page once.
    await page.reload();
    await page.getByText("About Pears.").waitFor();
    await page.evaluate(() => (document.activeElement as HTMLElement | null)?.blur());
    const stops: string[] = [];
    for (let i = 0; i < 40; i++) {
      await page.keyboard.press("Tab");
      const at = await focus(page);
      if (!at) continue; // past the last one, the browser itself
      expect(at.seen, `the focus on ${at.name}`).toBe(true);
      stops.push(at.name);
    }
    for (const name of ["Skip to the chat", "New chat", "Search the chats", "Pears", "Copy code", "Answer again", "Message", "Model", "Send"]) expect(stops).toContain(name);
    await page.getByRole("button", { name: "Answer again" }).focus();
    await page.keyboard.press("Shift+Tab");
    await shot(page, "30-focus", LOOK);
    expect(complaints).toEqual([]);
    await context.close();
    await backend.close();
    expect(backend.unknown).toEqual([]);
  });
});
