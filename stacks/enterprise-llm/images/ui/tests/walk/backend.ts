/**
 * A stand-in for auth and gateway, for the tests of the page: it implements the paths that the page uses as the contract words
 * them, in memory, and it counts as a fault of the page whatever else is asked. It serves the built page too, with the
 * security headers that nginx.conf sets. The "model" says fixed texts.
 */
import { randomUUID } from "node:crypto";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { json, read, refuse } from "../page/answers";
import { Logins, shown, type User } from "../page/logins";
import { Pages } from "../page/pages";

interface Message { id: string; role: string; content: string; model: string | null; finish_reason: string | null; created_at: string }
interface Session { id: string; owner: string; title: string | null; model: string; created_at: string; updated_at: string; messages: Message[] }

/** The next requests to a path fail so. */
interface Fault { path: RegExp; times: number; status: number; code: string; retryAfter?: number; store?: "told" | "untold" }

const MODELS = [{ id: "small", name: "Small model" }, { id: "large", name: "Large model" }];

export class Backend {
  readonly unknown: string[] = [];
  readonly seen: string[] = [];
  readonly logins = new Logins("Example", () => this.unknown.push("a refresh token was used twice"));
  readonly #pages: Pages;
  sessions: Session[] = [];
  notice: string | null = "The answers come from a stand-in for a model: fixed texts, no understanding.";
  /** The words that the model says, and how long it takes for each. */
  answer = "Hello. This is the stand-in.";
  pace = 2;
  down = false;
  faults: Fault[] = [];
  readonly #streams = new Set<ServerResponse>();
  readonly #server = createServer((request, response) => {
    this.#handle(request, response).catch((error: unknown) => {
      this.unknown.push(`${request.method} ${request.url}: ${String(error)}`);
      response.destroy();
    });
  });

  constructor(pages: string, nginx: string) {
    this.#pages = new Pages(pages, nginx);
  }

  async listen(): Promise<string> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  /** Cuts all answers that are under way, without their end. */
  cut(): void {
    for (const stream of this.#streams) stream.destroy();
  }

  get streams(): number {
    return this.#streams.size;
  }

  add(owner: string, title: string, messages: [role: string, content: string][], at = Date.now()): Session {
    const user = this.logins.users.find((one) => one.email === owner);
    if (!user) throw new Error(`nobody has the address ${owner}`);
    const moment = new Date(at).toISOString();
    const session: Session = { id: randomUUID(), owner: user.id, title, model: "small", created_at: moment, updated_at: moment, messages: [] };
    for (const [role, content] of messages) session.messages.push(message(role, content, role === "user" ? null : "stop"));
    this.sessions.unshift(session);
    return session;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname: path, searchParams } = new URL(request.url ?? "/", "http://x");
    if (this.down) return void request.socket.destroy();
    if (!/^\/(api|auth|v1)\//.test(path)) return void (this.#pages.answer(path, response) || this.unknown.push(`GET ${path}`));
    this.seen.push(`${request.method} ${path}`);
    const body = await read(request);
    const fault = this.faults.find((one) => one.path.test(`${request.method} ${path}`) && one.times > 0);
    if (fault) {
      fault.times -= 1;
      const session = fault.store ? this.#store(this.logins.user(request)?.id ?? "", body) : null;
      const stored = session && fault.store === "told" ? { session: heading(session), user_message: { id: session.messages.at(-1)?.id } } : {};
      return refuse(response, fault.status, fault.code, fault.retryAfter, stored);
    }
    const route = `${request.method} ${path}`;
    if (this.logins.knows(route)) return this.logins.answer(route, request, response, body);
    const user = this.logins.user(request);
    if (!user) return refuse(response, 401, "unauthorized");
    if (path.startsWith("/auth/")) return this.#account(route, user, searchParams, response, body);
    return this.#api(route, user, searchParams, response, body);
  }

  #account(route: string, user: User, query: URLSearchParams, response: ServerResponse, body: Record<string, unknown>): void {
    if (route === "POST /auth/password") {
      if (body["current"] !== user.password) return refuse(response, 403, "wrong_password");
      user.password = String(body["new"]);
      return json(response, 204);
    }
    if (user.role !== "admin") return refuse(response, 403, "forbidden");
    if (route === "GET /auth/users") {
      const wanted = query.get("query") ?? "";
      return json(response, 200, { users: this.logins.users.filter((one) => `${one.name} ${one.email}`.includes(wanted)).map(shown), next: null });
    }
    if (route === "POST /auth/users") return json(response, 201, shown(this.logins.join(body)));
    if (route === "POST /auth/keys/rotate") return json(response, 200, { kid: randomUUID() });
    const other = this.logins.users.find((one) => route === `PATCH /auth/users/${one.id}`);
    if (!other) return this.#refuseUnknown(route, response);
    Object.assign(other, body);
    return json(response, 200, shown(other));
  }

  #api(route: string, user: User, query: URLSearchParams, response: ServerResponse, body: Record<string, unknown>): void | Promise<void> {
    if (route === "GET /api/models") return json(response, 200, { models: MODELS, default: "small", notice: this.notice });
    if (route === "POST /api/chat") return this.#reply(this.#store(user.id, body), response, body);
    const mine = this.sessions.filter((session) => session.owner === user.id);
    if (route === "GET /api/sessions") {
      const wanted = (query.get("query") ?? "").toLowerCase();
      const found = mine.filter((one) => [one.title ?? "", ...one.messages.map((m) => m.content)].some((text) => text.toLowerCase().includes(wanted)));
      found.sort((a, b) => b.updated_at.localeCompare(a.updated_at));
      const from = Number(query.get("cursor") ?? 0);
      const to = from + Number(query.get("limit") ?? 50);
      return json(response, 200, { sessions: found.slice(from, to).map(heading), next: to < found.length ? String(to) : null });
    }
    const [, method, id, retry] = /^(\w+) \/api\/sessions\/([^/]+)(\/retry)?$/.exec(route) ?? [];
    if (id === undefined) return this.#refuseUnknown(route, response);
    const session = mine.find((one) => one.id === id);
    if (!session) return refuse(response, 404, "session_not_found");
    if (retry !== undefined && method === "POST") {
      if (session.messages.at(-1)?.role === "assistant") session.messages.pop();
      return this.#reply(session, response, body);
    }
    if (method === "GET") return json(response, 200, { session: heading(session), messages: session.messages });
    if (method === "PATCH") {
      session.title = String(body["title"]);
      return json(response, 200, heading(session));
    }
    if (method !== "DELETE") return this.#refuseUnknown(route, response);
    this.sessions = this.sessions.filter((one) => one !== session);
    return json(response, 204);
  }

  #store(owner: string, body: Record<string, unknown>): Session {
    const text = String(body["message"]);
    const now = new Date().toISOString();
    let session = this.sessions.find((one) => one.id === body["session_id"] && one.owner === owner);
    if (!session) {
      session = { id: randomUUID(), owner, title: text.slice(0, 48), model: "small", created_at: now, updated_at: now, messages: [] };
      this.sessions.push(session);
    }
    session.updated_at = now;
    session.messages.push(message("user", text, null));
    return session;
  }

  async #reply(session: Session, response: ServerResponse, body: Record<string, unknown>): Promise<void> {
    session.model = String(body["model"] ?? session.model);
    const last = session.messages.findLast((one) => one.role === "user");
    response.writeHead(200, { "Content-Type": "text/event-stream", "Cache-Control": "no-store" });
    this.#streams.add(response);
    const event = (name: string, data: unknown) => response.write(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
    event("session", { session: heading(session), user_message: { id: last?.id } });
    let said = "";
    for (const word of this.answer.match(/\s*\S+/g) ?? []) {
      await new Promise((done) => setTimeout(done, this.pace));
      if (response.destroyed) break;
      said += word;
      event("token", { text: word });
    }
    this.#streams.delete(response);
    const whole = !response.destroyed;
    const stored = { ...message("assistant", said, whole ? "stop" : "stopped"), model: session.model };
    if (said !== "") session.messages.push(stored);
    if (!whole) return;
    event("done", { message: { id: stored.id, finish_reason: "stop", usage: { prompt_tokens: 1, completion_tokens: 1 } }, session: heading(session) });
    response.end();
  }

  #refuseUnknown(route: string, response: ServerResponse): void {
    this.unknown.push(route);
    refuse(response, 404, "unknown_route");
  }

}

function message(role: string, content: string, finish: string | null): Message {
  return { id: randomUUID(), role, content, model: role === "user" ? null : "small", finish_reason: finish, created_at: new Date().toISOString() };
}

function heading({ id, title, model, created_at, updated_at }: Session) {
  return { id, title, model, created_at, updated_at };
}
