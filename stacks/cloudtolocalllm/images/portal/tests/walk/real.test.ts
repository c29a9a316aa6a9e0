/** The page with the real proxy between it and a desktop. */
import { afterEach, describe, expect, test } from "vitest";
import { shot } from "../page/browser";
import { hasProxy, RealProxy } from "./real";
import { ask, logIn, start, visitPortal, type Visit } from "./visitor";

const LOOK = { width: 1280, height: 1000, dark: true };

describe.skipIf(!hasProxy())("the real proxy", () => {
  let at: Visit;
  let proxy: RealProxy;
  afterEach(async () => {
    await proxy?.kill();
    await at?.leave();
  });

  test("a prompt, its answer word by word, stopped, and after the proxy was killed", async () => {
    at = await visitPortal(LOOK);
    const { cloud, page } = at;
    await logIn(page);
    await start(page);
    const { name, sessionId } = cloud.live;
    proxy = new RealProxy(sessionId, cloud.model);
    await proxy.start();
    cloud.real.set(name, proxy);
    cloud.proxy.cut();
    const heading = (text: string) => page.getByRole("heading", { name: text }).waitFor();
    await heading("Waiting for your desktop");
    await proxy.connectDesktop();
    await heading("Your desktop is connected");
    await ask(page, "Hello");
    await page.getByText("at home.").waitFor();

    // More than the credit of a stream, which has to be given again and again.
    cloud.model.words = Array.from({ length: 30 }, (_, n) => ` ${n}:${"x".repeat(30_000)}`);
    await ask(page, "Much");
    await expect.poll(() => page.getByRole("log").textContent()).toContain(" 29:xxx");
    await page.getByRole("button", { name: "Send" }).waitFor();

    cloud.model.words = Array.from({ length: 4000 }, (_, n) => ` ${n}`);
    await page.getByRole("button", { name: "Clear" }).click();
    await ask(page, "Count");
    await expect.poll(() => page.getByRole("log").textContent()).toContain(" 9 ");
    await page.getByRole("button", { name: "Stop", exact: true }).click();
    await expect.poll(() => cloud.model.broken).toBe(1);

    await ask(page, "Count again");
    await expect.poll(() => page.getByRole("log").textContent()).toContain(" 9 ");
    proxy.disconnectDesktop();
    await page.getByText("connection was lost; the answer breaks off here").waitFor();
    await shot(page, "50-real-lost", LOOK);
    await proxy.connectDesktop();

    await proxy.kill();
    await heading("The connection to your proxy was lost");
    await proxy.start();
    await heading("Waiting for your desktop");
    await proxy.connectDesktop();
    await heading("Your desktop is connected");
    cloud.model.words = ["Back", " again."];
    await ask(page, "And now?");
    await page.getByText("Back again.").waitFor();
    expect(cloud.faulty).toEqual([]);
  });
});
