/**
 * Stand-ins for all that the portal talks to, on one TLS server that tells them apart by name: the origin itself with the auth
 * service's entrance, the API, the proxies, a tunnel. They implement the contract of the stack as far as the page uses it, in memory, and
 * count as a fault of the page whatever else is asked.
 */
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json, read, refuse } from "../page/answers";
import { Logins, type User } from "../page/logins";
import { Pages } from "../page/pages";
import { Issuer, ISSUER, OIDC } from "./issuer";
import { Model } from "./model";
import { Proxy } from "./proxy";
import type { RealProxy } from "./real";

export const DOMAIN = "llm.example.org";
export const ORIGIN = `https://${DOMAIN}`;
const API = `api.${DOMAIN}`;
const USERS = `users.${DOMAIN}`;
export const TUNNEL = "quiet-otter.ngrok-free.app";
const CONNECT = `https://${API} https://*.${USERS} wss://*.${USERS} https://*.ngrok-free.app https://${ISSUER}`;

interface Session {
  sessionId: string; name: string; endpoint: string; live: boolean; desktop: boolean; started: string; ended: string | null;
  reason: string | null; seconds: number; bytesIn: number; bytesOut: number; tunnel: string | null; user: string;
}

/** The next requests to a path fail so; 0: without an answer. */
interface Fault { path: RegExp; times: number; status: number; code: string }

export class Cloud {
  readonly unknown: string[] = [];
  readonly logins = new Logins("CloudToLocalLLM", () => this.unknown.push("a refresh token was used twice"));
  readonly issuer: Issuer;
  /** People log in at the issuer. */
  elsewhere = false;
  readonly model = new Model();
  readonly proxies = new Map<string, Proxy>();
  /** Real ones, in place of stand-ins. */
  readonly real = new Map<string, RealProxy>();
  sessions: Session[] = [];
  faults: Fault[] = [];
  createMs = 0;
  tokenMs = 15 * 60_000;
  /** Whether the API says so too, or has not asked the proxies yet. */
  tells = false;
  tunnelled = 0;
  readonly #pages: Pages;
  readonly #server;

  constructor(pages: string, nginx: string) {
    const [admin] = this.logins.users;
    if (!admin) throw new Error("nobody has an account");
    this.issuer = new Issuer(this.logins, admin, `${ORIGIN}/`);
    this.#pages = new Pages(pages, nginx, CONNECT);
    this.#server = createServer(certificate(), (request, response) => {
      this.#handle(request, response).catch((error: unknown) => {
        this.unknown.push(`${request.method} ${request.url}: ${String(error)}`);
        response.destroy();
      });
    });
    this.#server.on("upgrade", (request, socket, head) => {
      const name = request.headers.host?.replace(`.${USERS}`, "") ?? "";
      const proxy = this.real.get(name) ?? this.proxies.get(name);
      if (request.headers.origin !== ORIGIN) this.unknown.push(`a WebSocket from ${request.headers.origin}`);
      if (proxy) proxy.upgrade(request, socket, head);
      else socket.destroy();
    });
  }

  /** The port, of all names. */
  async listen(): Promise<number> {
    await new Promise<void>((done) => this.#server.listen(0, "127.0.0.1", done));
    return (this.#server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    for (const proxy of this.proxies.values()) proxy.cut();
    this.#server.closeAllConnections();
    await new Promise((done) => this.#server.close(done));
  }

  get faulty(): string[] {
    return [...this.unknown, ...this.model.unknown, ...[...this.proxies.values()].flatMap((proxy) => proxy.faults)];
  }

  /** The only live session's proxy. */
  get proxy(): Proxy {
    const live = this.sessions.filter((session) => session.live);
    const proxy = this.proxies.get(live[0]?.name ?? "");
    if (live.length !== 1 || !proxy) throw new Error(`${live.length} live sessions`);
    return proxy;
  }

  get live(): Session {
    const session = this.sessions.find(({ live }) => live);
    if (!session) throw new Error("no live session");
    return session;
  }

  /** A session of somebody's, over or live. */
  add(email: string, more: Partial<Session> = {}): Session {
    const user = this.logins.users.find((one) => one.email === email);
    const sessionId = randomBytes(16).toString("hex").slice(0, 26);
    const name = `${email.split("@")[0]}-${sessionId.slice(0, 6)}`;
    const session = {
      sessionId, name, endpoint: `https://${name}.${USERS}`, live: true, desktop: false, started: new Date().toISOString(), ended: null,
      reason: null, seconds: 0, bytesIn: 0, bytesOut: 0, tunnel: null, user: user?.id ?? email, ...more,
    };
    this.sessions.unshift(session);
    if (session.live) this.proxies.set(name, new Proxy(sessionId, this.model));
    return session;
  }

  end(session: Session, reason: string): void {
    Object.assign(session, { live: false, desktop: false, ended: new Date().toISOString(), reason });
    this.proxies.get(session.name)?.cut(1001);
    this.proxies.delete(session.name);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const host = request.headers.host ?? "";
    const route = `${request.method} ${request.url}`;
    const fault = this.faults.find((one) => one.path.test(`${request.method} ${host}${request.url}`) && one.times > 0);
    if (fault) {
      fault.times -= 1;
      if (fault.status === 0) return void request.socket.destroy();
    }
    if (host === ISSUER) return this.issuer.handle(request, response);
    if (host === DOMAIN) return this.#origin(route, request, response);
    if (host !== API && host !== TUNNEL) {
      this.unknown.push(`${route} of ${host}`);
      return void response.writeHead(404).end();
    }
    if (request.headers.origin !== ORIGIN) this.unknown.push(`${route} from ${request.headers.origin}`);
    response.setHeader("Access-Control-Allow-Origin", ORIGIN);
    if (request.method === "OPTIONS") {
      const headers = host === API ? "authorization, content-type" : "authorization, content-type, ngrok-skip-browser-warning";
      return void response.writeHead(204, { "Access-Control-Allow-Methods": "GET, POST, DELETE", "Access-Control-Allow-Headers": headers }).end();
    }
    if (fault) return refuse(response, fault.status, fault.code);
    const user = this.logins.user(request);
    if (!user) return refuse(response, 401, "invalid_token");
    return host === API ? this.#api(route, user, request, response) : this.#tunnel(request, response);
  }

  async #origin(route: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (route === "GET /settings.json") return json(response, 200, { name: "CloudToLocalLLM", api: `https://${API}`, oidc: this.elsewhere ? OIDC : null });
    if (this.logins.knows(route)) return this.logins.answer(route, request, response, await read(request));
    if (!this.#pages.answer(new URL(request.url ?? "/", ORIGIN).pathname, response)) this.unknown.push(route);
  }

  async #api(route: string, user: User, request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await read(request);
    const own = this.sessions.filter((session) => session.user === user.id);
    switch (route) {
      case "GET /api/streaming/sessions?limit=30":
        return json(response, 200, { sessions: own.map((session) => this.#shown(session)), next: null });
      case "GET /api/admin/streaming/sessions?live=true&limit=200":
        if (user.role !== "admin") return refuse(response, 403, "forbidden");
        return json(response, 200, { sessions: this.sessions.filter(({ live }) => live).map((session) => this.#shown(session)), next: null });
      case "POST /api/streaming/create": {
        await new Promise((done) => setTimeout(done, this.createMs));
        const session = own.find(({ live }) => live) ?? this.add(user.email);
        return json(response, 200, { endpoint: session.endpoint, sessionId: session.sessionId, name: session.name, ...this.#token(session) });
      }
    }
    const [, method, id, token] = /^(\w+) \/api\/streaming\/(\w{26})(\/token)?$/.exec(route) ?? [];
    const session = own.find(({ sessionId, live }) => sessionId === id && live);
    if (id !== undefined && !session) return refuse(response, 404, "session_not_found");
    if (session && method === "POST" && token && body["role"] === "client") return json(response, 200, this.#token(session));
    if (session && method === "DELETE" && !token) {
      this.end(session, "asked");
      return json(response, 204);
    }
    this.unknown.push(route);
    return refuse(response, 404, "not_found");
  }

  #shown(session: Session): Session {
    const proxy = this.proxies.get(session.name);
    return { ...session, desktop: this.tells ? (proxy?.desktop ?? false) : session.desktop, seconds: session.live ? (Date.now() - Date.parse(session.started)) / 1000 : session.seconds };
  }

  #token(session: Session): { token: string; expiresAt: string } {
    const token = this.real.get(session.name)?.token("client") ?? randomBytes(24).toString("base64url");
    this.proxies.get(session.name)?.tokens.add(token);
    return { token, expiresAt: new Date(Date.now() + this.tokenMs).toISOString() };
  }

  async #tunnel(request: IncomingMessage, response: ServerResponse): Promise<void> {
    this.tunnelled += 1;
    if (request.headers["ngrok-skip-browser-warning"] === undefined) this.unknown.push("no word against ngrok's own page");
    const body = request.method === "POST" ? JSON.stringify(await read(request)) : "";
    const { status, type, pieces } = this.model.reply(request.method ?? "", request.url ?? "", body);
    response.writeHead(status, { "Content-Type": type });
    for await (const piece of pieces) {
      if (response.destroyed) return;
      response.write(piece);
    }
    response.end();
  }
}

function certificate(): { key: Buffer; cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), "portal-tls-"));
  const [key, cert] = [join(folder, "key"), join(folder, "cert")];
  execFileSync("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", `/CN=${DOMAIN}`, "-keyout", key, "-out", cert], { stdio: "ignore" });
  try {
    return { key: readFileSync(key), cert: readFileSync(cert) };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
