/** What goes wrong between page, proxy and desktop, and what the page makes of it. */
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { accessible, fits, shot, type Look } from "../page/browser";
import { TUNNEL } from "./cloud";
import { ask, enter, logIn, start, visitPortal, type Visit } from "./visitor";

const LOOK: Look = { width: 820, height: 1100, dark: false };

describe("faults", () => {
  let at: Visit;
  const heading = (name: string) => at.page.getByRole("heading", { name }).waitFor();
  const log = () => at.page.getByRole("log");

  async function connected(): Promise<void> {
    await start(at.page);
    at.cloud.proxy.desktop = true;
    await heading("Your desktop is connected");
  }

  beforeEach(async () => {
    at = await visitPortal(LOOK);
    await logIn(at.page);
  });
  afterEach(async () => {
    await at.leave();
    expect(at.cloud.faulty).toEqual([]);
    expect(at.complaints.filter((said) => !said.startsWith("WebSocket connection to"))).toEqual([]);
  });

  test("a connection that is cut comes back by itself, with a token of its own", async () => {
    await connected();
    at.cloud.proxy.barred = true;
    at.cloud.proxy.cut();
    await heading("The connection to your proxy was lost");
    await at.page.getByText(/again in 0:0/).waitFor();
    await accessible(at.page);
    await shot(at.page, "20-lost", LOOK);
    at.cloud.proxy.barred = false;
    await heading("Your desktop is connected");
    expect(at.cloud.proxy.handshakes).toBe(2);
    for (const code of [4408, 1001]) {
      const before = at.cloud.proxy.handshakes;
      at.cloud.proxy.cut(code);
      await expect.poll(() => at.cloud.proxy.handshakes).toBe(before + 1);
      await heading("Your desktop is connected");
    }
  });

  test("an answer that breaks off keeps what came, and can be asked for again", async () => {
    await connected();
    const { words } = at.cloud.model;
    at.cloud.model.words = Array.from({ length: 4000 }, (_, n) => ` ${n}`);
    await ask(at.page, "Count.");
    await expect.poll(() => log().textContent()).toContain(" 9 ");
    at.cloud.proxy.cut();
    await at.page.getByText("The connection was lost; the answer breaks off here.").waitFor();
    expect(await log().textContent()).toContain(" 9 ");
    await shot(at.page, "21-broken-off", LOOK);
    await heading("Your desktop is connected");
    at.cloud.model.words = words;
    await ask(at.page, "And now?");
    await at.page.getByText("at home.").waitFor();
    expect(await at.page.getByText("breaks off").count()).toBe(0);
  });

  test("a desktop that goes away, and comes again", async () => {
    await connected();
    at.cloud.proxy.desktop = false;
    await ask(at.page, "Anybody?");
    await at.page.getByText("Your desktop is not connected. Start the bridge there, and ask again.").waitFor();
    await heading("Waiting for your desktop");
    at.cloud.proxy.desktop = true;
    await heading("Your desktop is connected");
    await ask(at.page, "Now?");
    await at.page.getByText("at home.").waitFor();
    // What was not answered is not said twice.
    expect(at.cloud.model.asked.at(-1)?.messages).toEqual([{ role: "user", content: "Now?" }]);
  });

  test("no WebSocket is to be had: the ngrok tunnel is used, until the proxy is back", async () => {
    await start(at.page);
    await heading("Waiting for your desktop");
    at.cloud.proxy.desktop = true;
    await heading("Your desktop is connected");
    at.cloud.live.tunnel = `https://${TUNNEL}`;
    at.cloud.proxy.barred = true;
    at.cloud.proxy.cut();
    await at.page.getByText("in use: ngrok tunnel").waitFor();
    await ask(at.page, "Through the tunnel?");
    await at.page.getByText("at home.").waitFor();
    expect(at.cloud.tunnelled).toBeGreaterThan(1);
    await fits(at.page);
    await accessible(at.page);
    await shot(at.page, "22-tunnel", LOOK);
    at.cloud.proxy.barred = false;
    await at.page.getByText("in use: cloud proxy").waitFor();
  });

  test("the desktop cannot reach the proxy, and has opened its tunnel", async () => {
    await start(at.page);
    at.cloud.live.tunnel = `https://${TUNNEL}`;
    await at.page.getByText("in use: ngrok tunnel").waitFor();
    await heading("Your desktop is connected");
  });

  test("the session ends elsewhere", async () => {
    await connected();
    at.cloud.end(at.cloud.live, "idle");
    await at.page.getByRole("button", { name: "Start a session" }).waitFor();
    await at.page.getByRole("cell", { name: "10 minutes without use" }).waitFor();
  });

  test("it cannot be started: why, and again", async () => {
    at.cloud.faults.push({ path: /^POST .*\/create$/, times: 1, status: 503, code: "no_room" });
    await at.page.getByRole("button", { name: "Start a session" }).click();
    await at.page.getByText("Refused: no room.").waitFor();
    await accessible(at.page);
    await shot(at.page, "23-not-started", LOOK);
    await start(at.page);
    expect(await at.page.getByText("Refused").count()).toBe(0);
  });

  test("the network goes, and comes again", async () => {
    await connected();
    await at.context.setOffline(true);
    await at.page.getByText("No connection to the server.").waitFor();
    await heading("The connection to your proxy was lost");
    await fits(at.page);
    await accessible(at.page);
    await shot(at.page, "24-offline", LOOK);
    await at.context.setOffline(false);
    await heading("Your desktop is connected");
    await expect.poll(() => at.page.getByText("No connection to the server.").count()).toBe(0);
  });

  test("a token is replaced before it runs out, on the same connection", async () => {
    at.cloud.tokenMs = 62_000;
    await connected();
    await expect.poll(() => at.cloud.proxy.extended).toBeGreaterThan(0);
    expect(at.cloud.proxy.handshakes).toBe(1);
  });

  test("the login runs out and is renewed; when it is over, the log-in page says so", async () => {
    await connected();
    at.cloud.logins.expire();
    await ask(at.page, "Still here?");
    await at.page.getByText("at home.").waitFor();
    at.cloud.logins.end();
    await at.page.getByText("Your login has run out.").waitFor();
    await enter(at.page);
    await heading("Your desktop is connected");
    await at.page.getByText("Still here?").waitFor();
  });

  test("a desktop whose model server does not run, and one without a model", async () => {
    await connected();
    at.cloud.model.down = true;
    await at.page.reload();
    await at.page.getByText("The model server on the desktop does not answer").first().waitFor();
    await heading("Your desktop is connected");
    await accessible(at.page);
    await shot(at.page, "25-no-model-server", LOOK);
    at.cloud.model.down = false;
    at.cloud.model.names = [];
    await at.page.reload();
    await at.page.getByText("its model server has no model").waitFor();
    expect(await at.page.getByLabel("Model", { exact: true }).isDisabled()).toBe(true);
    await at.page.getByRole("textbox", { name: "Prompt" }).fill("Anything");
    await at.page.keyboard.press("Enter");
    expect(await at.page.getByRole("textbox", { name: "Prompt" }).inputValue()).toBe("Anything");
  });

  test("a server that speaks OpenAI's API only", async () => {
    at.cloud.model.dialect = "openai";
    await connected();
    await ask(at.page, "Hello");
    await at.page.getByText("at home.").waitFor();
  });

  test("who is no administrator sees their own sessions only", async () => {
    at.cloud.logins.join({ email: "ada@example.org", password: "a long enough one", name: "Ada", role: "user" });
    await at.page.getByRole("button", { name: /Account of/ }).click();
    await at.page.getByRole("menuitem", { name: "Log out" }).click();
    await at.page.getByLabel("E-mail").waitFor();
    at.cloud.add("admin@example.org", { live: false, seconds: 5 });
    await logIn(at.page, { email: "ada@example.org", password: "a long enough one" });
    await at.page.goto("/#everyone");
    await at.page.getByText("There was none yet.").waitFor();
    expect(await at.page.getByRole("link", { name: "All sessions" }).count()).toBe(0);
  });
});
