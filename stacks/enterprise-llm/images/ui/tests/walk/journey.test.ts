/** What a person does on a day, at three widths; against the stand-in, or real services (UI_BASE_URL). */
import type { Browser } from "playwright-core";
import { afterAll, beforeAll, describe, expect, onTestFailed, test } from "vitest";
import type { Backend } from "./backend";
import { accessible, fits, launch, REAL, shot, visit, type Look } from "../page/browser";
import { answered, logIn, send, standIn, WHO } from "./visitor";
import { RICH } from "./texts";

const LOOKS: Look[] = [
  { width: 1280, height: 820, dark: false },
  { width: 820, height: 1100, dark: false },
  { width: 390, height: 780, dark: true },
];

let browser: Browser;
let backend: Backend | null = null;
let base = REAL ?? "";

beforeAll(async () => {
  browser = await launch();
  if (REAL === null) ({ backend, base } = await standIn());
});
afterAll(async () => {
  await browser?.close();
  expect(backend?.unknown ?? []).toEqual([]);
  await backend?.close();
});

describe.each(LOOKS)("at width $width", (look) => {
  test("log in, chat, stop, retry, reload, find, rename, delete, log out", async () => {
    const { page, context, complaints } = await visit(browser, base, look);
    onTestFailed(async () => {
      await shot(page, "failed", look);
      console.error(complaints);
    });
    const narrow = look.width < 768;
    /** The side bar, which is a drawer on a phone. */
    const side = async () => {
      if (narrow && (await page.locator("dialog.drawer").count()) === 0) await page.getByRole("button", { name: "Chats and account" }).click();
      return narrow ? page.locator("dialog.drawer") : page.getByRole("complementary", { name: "Side bar" });
    };
    const close = async () => {
      if (narrow && (await page.locator("dialog.drawer").count()) > 0) await page.keyboard.press("Escape");
    };
    const mark = `w${look.width}-${Date.now()}`;

    await page.goto("/");
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    await accessible(page);
    await shot(page, "01-login", look);
    await page.getByLabel("E-mail").fill(WHO.email);
    await page.getByLabel("Password", { exact: true }).fill("not the password");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("alert").getByText(/wrong/).waitFor();
    await shot(page, "02-wrong", look);

    await logIn(page);
    await page.getByRole("heading", { name: "What is on your mind?" }).waitFor();
    if (backend?.notice) await page.getByRole("note").getByText(backend.notice).waitFor();
    await fits(page);
    await accessible(page);
    await shot(page, "03-empty", look);

    if (backend) Object.assign(backend, { answer: RICH, pace: 3 });
    await send(page, `Show me what you can set (${mark})`);
    await page.locator(".growing").waitFor();
    await shot(page, "04-streaming", look);
    await answered(page);
    await fits(page);
    await accessible(page);
    await shot(page, "05-answer", look);
    if (backend) {
      await page.getByRole("button", { name: "Copy code" }).first().click();
      expect(await page.evaluate(() => navigator.clipboard.readText())).toContain("def fibonacci");
      await page.locator(".hljs-keyword").first().waitFor();
    }

    // Stop, and answer again.
    if (backend) Object.assign(backend, { answer: "word ".repeat(5000), pace: 20 });
    await send(page, "Count from one to five hundred, in words, one to a line.");
    await page.locator(".growing").waitFor();
    await page.keyboard.press("Escape");
    await answered(page);
    await page.getByText(/· Stopped$/).waitFor();
    expect(await page.getByRole("textbox", { name: "Message" }).evaluate((box) => box === document.activeElement)).toBe(true);
    if (backend) {
      await expect.poll(() => backend?.streams).toBe(0);
      Object.assign(backend, { answer: "Once more, and whole.", pace: 2 });
    }
    await page.getByRole("button", { name: "Answer again" }).click();
    await page.getByRole("button", { name: "Stop the answer" }).waitFor({ state: "detached" });
    if (backend) {
      await page.getByText("Once more, and whole.").first().waitFor();
      expect(await page.getByText(/· Stopped$/).count()).toBe(0);
    }

    // The page again, from nothing but the cookie; the draft too.
    await page.getByRole("textbox", { name: "Message" }).fill("half a thought");
    await page.reload();
    await page.getByText(mark).first().waitFor();
    expect(await page.getByRole("textbox", { name: "Message" }).inputValue()).toBe("half a thought");
    await page.getByRole("textbox", { name: "Message" }).fill("");

    // Another chat, and back through the history.
    await (await side()).getByRole("link", { name: "New chat" }).click();
    await page.getByRole("heading", { name: "What is on your mind?" }).waitFor();
    await send(page, `A second chat (${mark})`);
    await answered(page);
    const second = page.url();
    await page.goBack();
    await page.goForward();
    expect(page.url()).toBe(second);

    let bar = await side();
    await shot(page, "06-side", look);
    await accessible(page);
    await bar.getByRole("link", { name: /A second chat/ }).first().waitFor();

    // Rename, by keyboard.
    await page.getByRole("link", { name: /A second chat/ }).first().focus();
    await page.keyboard.press("F2");
    await page.getByRole("textbox", { name: "Title of the chat" }).fill(`Renamed ${mark}`);
    await page.keyboard.press("Enter");
    await bar.getByRole("link", { name: `Renamed ${mark}` }).waitFor();

    // Search finds it by its title, and the other by what was said.
    await bar.getByRole("searchbox").fill(`Renamed ${mark}`);
    await bar.getByRole("heading", { name: /Found for/ }).waitFor();
    await expect.poll(() => bar.getByRole("link").count()).toBe(2);
    await shot(page, "07-found", look);
    await bar.getByRole("searchbox").fill(`zzz${mark}`);
    await bar.getByText(/Nothing found/).waitFor();
    await bar.getByRole("searchbox").fill("");

    // Delete and undo, delete and mean it.
    for (const undo of [true, false]) {
      bar = await side();
      const entry = bar.getByRole("listitem").filter({ has: page.getByRole("link", { name: `Renamed ${mark}` }) });
      await entry.hover();
      await entry.getByRole("button", { name: /What to do/ }).click();
      if (undo) await shot(page, "08-menu", look);
      await page.getByRole("menuitem", { name: "Delete" }).click();
      await bar.getByRole("link", { name: `Renamed ${mark}` }).waitFor({ state: "detached" });
      await close();
      if (undo) await shot(page, "09-undo", look);
      if (undo) await page.getByRole("button", { name: "Undo" }).click();
      await (await side()).getByRole("link", { name: `Renamed ${mark}` }).waitFor({ state: undo ? "visible" : "detached" });
    }
    await close();
    await page.goto("/");
    await page.getByRole("heading", { name: "What is on your mind?" }).waitFor();
    bar = await side();
    await bar.getByRole("link", { name: new RegExp(mark) }).first().waitFor();
    expect(await bar.getByRole("link", { name: `Renamed ${mark}` }).count()).toBe(0);

    // The other colours, and they last.
    await bar.getByRole("button", { name: /Account of/ }).click();
    await page.getByRole("menuitemradio", { name: look.dark ? "Light" : "Dark", exact: true }).click();
    await bar.getByRole("link", { name: /Show me/ }).first().click();
    await page.getByText(mark).first().waitFor();
    const other = { ...look, dark: !look.dark };
    await accessible(page);
    await shot(page, "10-other-colours", other);
    await page.reload();
    expect(await page.evaluate(() => document.documentElement.dataset["theme"])).toBe(other.dark ? "dark" : "light");
    await page.getByText(mark).first().waitFor();

    // The list of shortcuts, behind "?".
    await page.locator("#content").focus();
    await page.keyboard.press("Shift+?");
    await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
    await accessible(page);
    await shot(page, "11-shortcuts", other);
    await page.keyboard.press("Escape");

    bar = await side();
    await bar.getByRole("button", { name: /Account of/ }).click();
    if (await page.getByRole("menuitem", { name: "Users and keys" }).count()) {
      await page.getByRole("menuitem", { name: "Users and keys" }).click();
      await page.getByText(WHO.email).first().waitFor();
      await fits(page);
      await accessible(page);
      await shot(page, "12-users", other);
      bar = await side();
      await bar.getByRole("button", { name: /Account of/ }).click();
    }
    await page.getByRole("menuitem", { name: "Log out" }).click();
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    expect(await page.evaluate(() => Object.keys(sessionStorage).filter((name) => name.startsWith("draft")))).toEqual([]);
    await page.reload();
    await page.getByRole("heading", { name: "Log in" }).waitFor();
    expect(complaints).toEqual([]);
    await context.close();
  });
});
