/** Somebody who chats, in a browser. */
import { join } from "node:path";
import type { Page } from "playwright-core";
import { ADMIN } from "../page/logins";
import { Backend } from "./backend";

const HERE = join(import.meta.dirname, "../..");
/** With UI_BASE_URL, a person whom those services know. */
export const WHO = { email: process.env["UI_EMAIL"] ?? ADMIN.email, password: process.env["UI_PASSWORD"] ?? ADMIN.password };

export async function standIn(): Promise<{ backend: Backend; base: string }> {
  const backend = new Backend(process.env["UI_OUT"] ?? join(HERE, "dist"), join(HERE, "nginx.conf"));
  return { backend, base: await backend.listen() };
}

export async function logIn(page: Page, who = WHO): Promise<void> {
  await page.goto("/");
  await page.getByLabel("E-mail").fill(who.email);
  await page.getByLabel("Password", { exact: true }).fill(who.password);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("textbox", { name: "Message" }).waitFor();
}

export async function send(page: Page, text: string): Promise<void> {
  const box = page.getByRole("textbox", { name: "Message" });
  await box.fill(text);
  await page.getByRole("button", { name: "Send" }).click();
}

/** The answer is whole. */
export async function answered(page: Page): Promise<void> {
  await page.getByRole("button", { name: "Answer again" }).waitFor();
}
