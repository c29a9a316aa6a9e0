/** Log-in at another issuer of tokens than the auth service. */
import { afterEach, expect, test } from "vitest";
import { accessible, fits, shot } from "../page/browser";
import { ISSUER } from "./issuer";
import { visitPortal, type Visit } from "./visitor";

const LOOK = { width: 820, height: 900, dark: true };
let at: Visit;

afterEach(async () => {
  await at.leave();
  expect([...at.cloud.faulty, ...at.cloud.issuer.faults]).toEqual([]);
  expect(at.complaints).toEqual([]);
});

test("there and back, with a token that is renewed, and out again", async () => {
  at = await visitPortal(LOOK);
  const { cloud, page } = at;
  cloud.elsewhere = true;
  await page.goto("/");
  await page.getByText(`at ${ISSUER}`).waitFor();
  await fits(page);
  await accessible(page);
  await shot(page, "40-issuer", LOOK);

  cloud.issuer.barred = true;
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByText("You are not invited yet.").waitFor();
  cloud.issuer.barred = false;
  cloud.issuer.seconds = 20; // always about to run out
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("heading", { name: "Your session", exact: true }).waitFor();
  expect(new URL(page.url()).search).toBe("");
  await page.getByRole("button", { name: "Start a session" }).click();
  await page.getByRole("heading", { name: "Waiting for your desktop" }).waitFor();
  expect(cloud.issuer.refreshed).toBeGreaterThan(1);
  await page.getByRole("link", { name: "All sessions" }).waitFor();

  await page.getByRole("button", { name: /Account of/ }).click();
  await page.getByRole("menuitem", { name: "Log out" }).click();
  await page.getByText(`at ${ISSUER}`).waitFor();
});

test("an answer that nobody asked for lets nobody in", async () => {
  at = await visitPortal(LOOK);
  at.cloud.elsewhere = true;
  await at.page.goto("/?code=stolen&state=made-up");
  await at.page.getByText(`at ${ISSUER}`).waitFor();
  expect(new URL(at.page.url()).search).toBe("");
});
