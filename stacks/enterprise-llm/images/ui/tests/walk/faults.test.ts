/** What goes wrong between page and server, and what the page makes of it. Against the stand-in only. */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { ADMIN } from "../page/logins";
import type { Backend } from "./backend";
import { accessible, fits, launch, REAL, shot, visit, type Look } from "../page/browser";
import { answered, logIn, send, standIn } from "./visitor";

const LOOK: Look = { width: 820, height: 1000, dark: true };

describe.skipIf(REAL !== null)("faults", () => {
  let browser: Browser;
  let backend: Backend;
  let page: Page;
  let context: BrowserContext;
  let complaints: string[];

  beforeAll(async () => {
    browser = await launch();
  });
  afterAll(() => browser?.close());
  beforeEach(async () => {
    const { backend: made, base } = await standIn();
    backend = made;
    ({ page, context, complaints } = await visit(browser, base, LOOK));
    await logIn(page);
  });
  afterEach(async () => {
    await context.close();
    await backend.close();
    expect(backend.unknown).toEqual([]);
    expect(complaints).toEqual([]);
  });

  const message = () => page.getByRole("textbox", { name: "Message" });
  const banner = () => page.getByText("No connection to the server.");

  test.each(["told", "untold"] as const)("the model is down: the message is stored (%s), and asked again when the server said to", async (store) => {
    backend.faults.push({ path: /^POST \/api\/chat$/, times: 1, status: 503, code: "model_unavailable", retryAfter: 3, store });
    await send(page, "Is anybody there?");
    await page.getByText("The model does not answer at the moment").waitFor();
    await page.getByText("Your message is stored").waitFor();
    expect(page.url()).toMatch(/\/c\//); // the chat that the message began was found
    await page.getByText(/Again in 0:0/).waitFor();
    await fits(page);
    await accessible(page);
    await shot(page, "20-model-down", LOOK);
    await answered(page); // by itself
    expect(backend.sessions).toHaveLength(1);
    expect(backend.sessions[0]?.messages.map((one) => one.role)).toEqual(["user", "assistant"]);
  });

  test("a message without an answer can be answered later", async () => {
    backend.faults.push({ path: /^POST \/api\/chat$/, times: 1, status: 503, code: "model_unavailable", store: "told" });
    await send(page, "Later then");
    await page.getByText("Your message is stored").waitFor();
    await page.reload();
    await page.getByText("No answer yet").waitFor();
    await shot(page, "19-unanswered", LOOK);
    await page.getByRole("button", { name: "Try again" }).click();
    await answered(page);
    expect(backend.sessions[0]?.messages.map((one) => one.role)).toEqual(["user", "assistant"]);
  });

  test("an overloaded proxy stored nothing: the message is kept and sent again", async () => {
    backend.faults.push({ path: /^POST \/api\/chat$/, times: 1, status: 503, code: "overloaded", retryAfter: 60 });
    await send(page, "Kept");
    await page.getByText("Your message is kept here.").waitFor();
    expect(backend.sessions).toHaveLength(0);
    await page.getByRole("button", { name: "Try now" }).click();
    await answered(page);
    expect(backend.sessions).toHaveLength(1);
  });

  test("too many requests: when the next is allowed, and the message can be edited meanwhile", async () => {
    backend.faults.push({ path: /^POST \/api\/chat$/, times: 1, status: 429, code: "rate_limited", retryAfter: 2 });
    await send(page, "Too soon");
    await page.getByText(/You can send again at/).waitFor();
    await shot(page, "21-limited", LOOK);
    const again = page.getByRole("button", { name: "Send again" });
    await expect.poll(() => again.isEnabled()).toBe(true);
    await page.getByRole("button", { name: "Edit" }).click();
    expect(await message().inputValue()).toBe("Too soon");
    await page.keyboard.press("End");
    await page.keyboard.type(", now later");
    await page.keyboard.press("Enter");
    await answered(page);
    expect(backend.sessions[0]?.messages[0]?.content).toBe("Too soon, now later");
  });

  test("the network goes while an answer comes: the page catches up with what was stored", async () => {
    Object.assign(backend, { answer: "one two three four five six ".repeat(200), pace: 10 });
    await send(page, "Count");
    await page.locator(".growing").getByText("six").first().waitFor();
    backend.down = true;
    backend.cut();
    await banner().waitFor();
    await page.getByText("The answer broke off").waitFor();
    await accessible(page);
    await shot(page, "22-lost", LOOK);
    await message().fill("typed while there was no connection");
    backend.down = false;
    await banner().waitFor({ state: "detached" });
    expect(await message().inputValue()).toBe("typed while there was no connection");
    await expect.poll(() => page.locator(".turn").last().innerText()).toContain("one two three");
    backend.answer = "All of it.";
    await page.getByRole("button", { name: "Try again" }).click();
    await page.getByText("All of it.").first().waitFor();
    await answered(page);
    expect(backend.sessions[0]?.messages).toHaveLength(2);
  });

  test("the network is gone when a message is sent: nothing is lost, nothing is sent twice", async () => {
    backend.down = true;
    await send(page, "Into the void");
    await banner().waitFor();
    await page.getByText("Not sent", { exact: true }).waitFor();
    await shot(page, "23-not-sent", LOOK);
    backend.down = false;
    await banner().waitFor({ state: "detached" });
    await page.getByRole("button", { name: "Send again" }).click();
    await answered(page);
    expect(backend.sessions).toHaveLength(1);
  });

  test("the page is loaded again with a message that was not sent: it is in the box", async () => {
    backend.faults.push({ path: /^POST \/api\/chat$/, times: 1, status: 500, code: "internal_error" });
    await send(page, "Precious words");
    await page.getByText("Not accepted").waitFor();
    await page.reload();
    expect(await message().inputValue()).toBe("Precious words");
  });

  test("an access token that is too old is renewed once for all who ask, and nobody notices", async () => {
    await send(page, "First");
    await answered(page);
    backend.logins.expire();
    backend.seen.length = 0;
    await page.getByRole("searchbox").fill("First");
    await send(page, "Second");
    await answered(page);
    await expect.poll(() => backend.seen.filter((one) => one.startsWith("GET /api/sessions")).length).toBeGreaterThan(0);
    expect(backend.seen.filter((one) => one === "POST /auth/refresh")).toHaveLength(1);
    expect(await page.getByText("Second").count()).toBeGreaterThan(0);
  });

  test("two tabs renew their tokens at the same time, and both stay logged in", async () => {
    const other = await context.newPage();
    await other.goto("/");
    await other.getByRole("textbox", { name: "Message" }).waitFor();
    backend.logins.expire();
    await Promise.all([send(page, "Here"), send(other, "There")]);
    await Promise.all([answered(page), answered(other)]);
    await page.getByRole("button", { name: /Account of/ }).click();
    await page.getByRole("menuitem", { name: "Log out" }).click();
    await other.getByRole("heading", { name: "Log in" }).waitFor();
  });

  test("the login is over: the log-in page, and then the draft and the message again", async () => {
    await send(page, "First");
    await answered(page);
    const at = page.url();
    await message().fill("Half a sentence");
    backend.logins.end();
    await page.getByRole("searchbox").fill("x");
    await page.getByText("Your login has run out.").waitFor();
    await shot(page, "24-login-over", LOOK);
    await page.getByLabel("E-mail").fill(ADMIN.email);
    await page.getByLabel("Password", { exact: true }).fill(ADMIN.password);
    await page.getByRole("button", { name: "Log in" }).click();
    await message().waitFor();
    expect(page.url()).toBe(at);
    expect(await message().inputValue()).toBe("Half a sentence");
    backend.logins.end();
    await page.keyboard.press("Enter");
    await page.getByLabel("E-mail").fill(ADMIN.email);
    await page.getByLabel("Password", { exact: true }).fill(ADMIN.password);
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByRole("button", { name: "Send again" }).click();
    await answered(page);
    expect(backend.sessions[0]?.messages.at(-2)?.content).toBe("Half a sentence");
  });

  test("log-in is throttled: the page says when", async () => {
    await page.getByRole("button", { name: /Account of/ }).click();
    await page.getByRole("menuitem", { name: "Log out" }).click();
    backend.faults.push({ path: /^POST \/auth\/login$/, times: 1, status: 429, code: "too_many_attempts", retryAfter: 30 });
    await page.getByLabel("E-mail").fill(ADMIN.email);
    await page.getByLabel("Password", { exact: true }).fill("x");
    await page.getByRole("button", { name: "Log in" }).click();
    await page.getByText(/You can try again in 0:/).waitFor();
    await shot(page, "25-throttled", LOOK);
  });

  test("register, change the password, be disabled", async () => {
    await page.getByRole("button", { name: /Account of/ }).click();
    await page.getByRole("menuitem", { name: "Log out" }).click();
    await page.getByRole("button", { name: "Create one" }).click();
    await shot(page, "26-register", LOOK);
    await accessible(page);
    await page.getByLabel("Name").fill("Zoë Young");
    await page.getByLabel("E-mail").fill("zoe@example.org");
    await page.getByLabel("Password", { exact: true }).fill("a long enough one");
    await page.getByRole("button", { name: "Create the account" }).click();
    await message().waitFor();
    await page.getByRole("button", { name: /Account of/ }).click();
    expect(await page.getByRole("menuitem", { name: "Users and keys" }).count()).toBe(0);
    await shot(page, "27-account-menu", LOOK);
    await page.getByRole("menuitem", { name: "Change the password" }).click();
    const dialog = page.getByRole("dialog", { name: "Change the password" });
    await dialog.getByLabel("Current password", { exact: true }).fill("wrong");
    await dialog.getByLabel("New password", { exact: true }).fill("another long one");
    await dialog.getByRole("button", { name: "Change it" }).click();
    await dialog.getByText("The current password is wrong.").waitFor();
    await accessible(page);
    await shot(page, "28-password", LOOK);
    await dialog.getByLabel("Current password", { exact: true }).fill("a long enough one");
    await dialog.getByRole("button", { name: "Change it" }).click();
    await dialog.getByText("The password is changed.").waitFor();
    await dialog.getByRole("button", { name: "Done" }).click();
    expect(backend.logins.users.at(-1)?.password).toBe("another long one");

    const admin = await visit(browser, new URL(page.url()).origin, LOOK);
    await logIn(admin.page);
    await admin.page.getByRole("button", { name: /Account of/ }).click();
    await admin.page.getByRole("menuitem", { name: "Users and keys" }).click();
    await admin.page.getByRole("button", { name: "Disable Zoë Young" }).click();
    await admin.page.getByRole("button", { name: "Enable Zoë Young" }).waitFor();
    await shot(admin.page, "29-users", LOOK);
    await admin.page.getByRole("button", { name: "Rotate the key" }).click();
    await admin.page.getByRole("dialog").getByRole("button", { name: "Rotate" }).click();
    await admin.page.getByText("The new key is").waitFor();
    await admin.context.close();
    expect(backend.logins.users.at(-1)?.disabled).toBe(true);
  });

  test("another's chat, or none: a page that says so", async () => {
    await page.goto("/c/no-such-chat");
    await page.getByRole("heading", { name: "This chat does not exist" }).waitFor();
    await accessible(page);
    await page.getByRole("button", { name: "Start a new chat" }).click();
    await page.getByRole("heading", { name: "What is on your mind?" }).waitFor();
  });

  test.each(["refused", "lost"])("requests at the start are %s: the page waits for the server", async (how) => {
    await page.route("**/auth/**", (route) => (how === "lost" ? undefined : route.abort()));
    await page.reload();
    await page.getByRole("heading", { name: "The server cannot be reached" }).waitFor();
    await page.unroute("**/auth/**");
    await message().waitFor();
  });
});
