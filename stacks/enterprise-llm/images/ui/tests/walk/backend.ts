/**
 * A stand-in for auth and gateway, for the tests of the page: it implements the paths that the page uses as the contract words
 * them, in memory, and it counts as a fault of the page whatever else is asked. It serves the built page too, with the
 * security headers that nginx.conf sets. The "model" says fixed texts.
 */
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";

interface User { id: string; email: string; name: string; role: string; disabled: boolean; password: string }
interface Message { id: string; role: string; content: string; model: string | null; finish_reason: string | null; created_at: string }
interface Session { id: string; owner: string; title: string | null; model: string; created_at: string; updated_at: string; messages: Message[] }

/** The next requests to a path fail so. */
interface Fault { path: RegExp; times: number; status: number; code: string; retryAfter?: number; store?: "told" | "untold" }

export const ADMIN = { email: "admin@example.org", password: "correct horse battery", name: "Admin" };
const MODELS = [{ id: "small", name: "Small model" }, { id: "large", name: "Large model" }];
const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml", ".woff2": "font/woff2", ".md": "text/markdown", ".txt": "text/plain",
};

export class Backend {
  readonly unknown: string[] = [];
  readonly seen: string[] = [];
  users: User[] = [{ id: randomUUID(), role: "admin", disabled: false, ...ADMIN }];
  sessions: Session[] = [];
  notice: string | null = "The answers come from a stand-in for a model: fixed texts, no understanding.";
  registration = { open: true, domains: ["example.org"] };
  /** The words that the model says, and how long it takes for each. */
  answer = "Hello. This is the stand-in.";
  pace = 2;
  down = false;
  faults: Fault[] = [];
  readonly #access = new Map<string, { user: string; until: number }>();
  readonly #refresh = new Map<string, { user: string; spent: boolean }>();
  readonly #streams = new Set<ServerResponse>();
  readonly #server = createServer((request, response) => {
    this.#handle(request, response).catch((error: unknown) => {
      this.unknown.push(`${request.method} ${request.url}: ${String(error)}`);
      response.destroy();
    });
  });
  readonly #policy: [string, string][];
  tokenSeconds = 600;

  constructor(readonly pages: string, nginx: string) {
    const headers = readFileSync(nginx, "utf8").matchAll(/^ *add_header (\S+) (?:"([^"]+)"|([^$\s]\S*)) always;/gm);
    this.#policy = [...headers].map(([, name = "", quoted, bare]) => [name, quoted ?? bare ?? ""]);
    if (!this.#policy.some(([name]) => name === "Content-Security-Policy")) throw new Error("no policy in nginx.conf");
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

  /** All access tokens are too old. */
  expire(): void {
    this.#access.clear();
  }

  /** All logins are over. */
  end(): void {
    this.#access.clear();
    this.#refresh.clear();
  }

  add(owner: string, title: string, messages: [role: string, content: string][], at = Date.now()): Session {
    const user = this.users.find((one) => one.email === owner);
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
    if (!/^\/(api|auth|v1)\//.test(path)) return this.#file(path, response);
    this.seen.push(`${request.method} ${path}`);
    const body = await read(request);
    const fault = this.faults.find((one) => one.path.test(`${request.method} ${path}`) && one.times > 0);
    if (fault) {
      fault.times -= 1;
      const session = fault.store ? this.#store(this.#user(request)?.id ?? "", body) : null;
      const stored = session && fault.store === "told" ? { session: heading(session), user_message: { id: session.messages.at(-1)?.id } } : {};
      return refuse(response, fault.status, fault.code, fault.retryAfter, stored);
    }
    const open = { "GET /auth/config": 1, "POST /auth/login": 1, "POST /auth/refresh": 1, "POST /auth/logout": 1, "POST /auth/register": 1 };
    const route = `${request.method} ${path}`;
    if (route in open) return this.#entrance(route, request, response, body);
    const user = this.#user(request);
    if (!user) return refuse(response, 401, "unauthorized");
    if (path.startsWith("/auth/")) return this.#account(route, user, searchParams, response, body);
    return this.#api(route, user, searchParams, response, body);
  }

  #user(request: IncomingMessage): User | undefined {
    const token = this.#access.get(request.headers.authorization?.replace("Bearer ", "") ?? "");
    return token && token.until > Date.now() ? this.users.find((one) => one.id === token.user && !one.disabled) : undefined;
  }

  #entrance(route: string, request: IncomingMessage, response: ServerResponse, body: Record<string, unknown>): void {
    const spoken = /refresh=([^;]+)/.exec(request.headers.cookie ?? "")?.[1] ?? "";
    switch (route) {
      case "GET /auth/config":
        return json(response, 200, { name: "Example", registration: this.registration });
      case "POST /auth/login": {
        const user = this.users.find((one) => one.email === body["email"] && one.password === body["password"]);
        if (!user) return refuse(response, 401, "invalid_credentials");
        return user.disabled ? refuse(response, 403, "disabled") : this.#grant(user, response);
      }
      case "POST /auth/refresh": {
        const family = this.#refresh.get(spoken);
        const user = this.users.find((one) => one.id === family?.user);
        if (!family || !user) return refuse(response, 401, "invalid_refresh_token");
        if (family.spent) {
          // A token used twice: the login is over, and the page has a race.
          this.unknown.push("a refresh token was used twice");
          this.end();
          return refuse(response, 401, "invalid_refresh_token");
        }
        family.spent = true;
        return this.#grant(user, response);
      }
      case "POST /auth/logout":
        this.#refresh.delete(spoken);
        response.setHeader("Set-Cookie", "refresh=; Path=/auth; Max-Age=0");
        return json(response, 204);
      default: {
        const email = String(body["email"]);
        if (!this.registration.open || !this.registration.domains.some((domain) => email.endsWith(`@${domain}`))) return refuse(response, 403, "registration_closed");
        return json(response, 201, shown(this.#join(body)));
      }
    }
  }

  #join(body: Record<string, unknown>): User {
    const user = { id: randomUUID(), role: String(body["role"] ?? "user"), disabled: false, email: String(body["email"]), name: String(body["name"]), password: String(body["password"]) };
    this.users.push(user);
    return user;
  }

  #grant(user: User, response: ServerResponse): void {
    const [access, refresh] = [randomUUID(), randomUUID()];
    this.#access.set(access, { user: user.id, until: Date.now() + this.tokenSeconds * 1000 });
    this.#refresh.set(refresh, { user: user.id, spent: false });
    response.setHeader("Set-Cookie", `refresh=${refresh}; Path=/auth; HttpOnly; SameSite=Strict`);
    json(response, 200, { access_token: access, token_type: "Bearer", expires_in: this.tokenSeconds, user: shown(user) });
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
      return json(response, 200, { users: this.users.filter((one) => `${one.name} ${one.email}`.includes(wanted)).map(shown), next: null });
    }
    if (route === "POST /auth/users") return json(response, 201, shown(this.#join(body)));
    if (route === "POST /auth/keys/rotate") return json(response, 200, { kid: randomUUID() });
    const other = this.users.find((one) => route === `PATCH /auth/users/${one.id}`);
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

  #file(path: string, response: ServerResponse): void {
    for (const [name, value] of this.#policy) response.setHeader(name, value);
    const name = normalize(extname(path) === "" ? "/index.html" : path);
    try {
      const content = readFileSync(join(this.pages, name));
      response.writeHead(200, { "Content-Type": TYPES[extname(name)] ?? "application/octet-stream", "Cache-Control": "no-cache" }).end(content);
    } catch {
      this.unknown.push(`GET ${path}`);
      response.writeHead(404).end();
    }
  }
}

function message(role: string, content: string, finish: string | null): Message {
  return { id: randomUUID(), role, content, model: role === "user" ? null : "small", finish_reason: finish, created_at: new Date().toISOString() };
}

function heading({ id, title, model, created_at, updated_at }: Session) {
  return { id, title, model, created_at, updated_at };
}

function shown({ id, email, name, role, disabled }: User) {
  return { id, email, name, role, disabled };
}

async function read(request: IncomingMessage): Promise<Record<string, unknown>> {
  let text = "";
  for await (const chunk of request) text += String(chunk);
  return text === "" ? {} : (JSON.parse(text) as Record<string, unknown>);
}

function json(response: ServerResponse, status: number, body?: unknown): void {
  response.writeHead(status, { "Content-Type": "application/json", "X-Request-ID": randomUUID() });
  response.end(body === undefined ? undefined : JSON.stringify(body));
}

function refuse(response: ServerResponse, status: number, code: string, retryAfter?: number, beside: object = {}): void {
  if (retryAfter !== undefined) response.setHeader("Retry-After", String(retryAfter));
  json(response, status, { error: { code, message: `Refused: ${code.replaceAll("_", " ")}.`, request_id: randomUUID() }, ...beside });
}
