/**
 * A stand-in for the auth service's entrance, in memory, as the contract words it: log in, refresh, log out, create an account.
 * Tokens are random texts that only it can read.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { json, refuse } from "./answers";

export interface User { id: string; email: string; name: string; role: string; disabled: boolean; password: string }

export const ADMIN = { email: "admin@example.org", password: "correct horse battery", name: "Admin" };
const OPEN = new Set(["GET /auth/config", "POST /auth/login", "POST /auth/refresh", "POST /auth/logout", "POST /auth/register"]);

export class Logins {
  users: User[] = [{ id: randomUUID(), role: "admin", disabled: false, ...ADMIN }];
  registration = { open: true, domains: ["example.org"] };
  tokenSeconds = 600;
  readonly #access = new Map<string, { user: string; until: number }>();
  readonly #refresh = new Map<string, { user: string; spent: boolean }>();

  /** `onRace`: a page has used a refresh token twice. */
  constructor(readonly name: string, readonly onRace: () => void) {}

  /** Whether the entrance is meant. */
  knows(route: string): boolean {
    return OPEN.has(route);
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

  /** Whose access token it carries. */
  user(request: IncomingMessage): User | undefined {
    const token = this.#access.get(request.headers.authorization?.replace("Bearer ", "") ?? "");
    return token && token.until > Date.now() ? this.users.find((one) => one.id === token.user && !one.disabled) : undefined;
  }

  answer(route: string, request: IncomingMessage, response: ServerResponse, body: Record<string, unknown>): void {
    const spoken = /refresh=([^;]+)/.exec(request.headers.cookie ?? "")?.[1] ?? "";
    switch (route) {
      case "GET /auth/config":
        return json(response, 200, { name: this.name, registration: this.registration });
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
          // The login is over.
          this.onRace();
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
        return json(response, 201, shown(this.join(body)));
      }
    }
  }

  join(body: Record<string, unknown>): User {
    const user = { id: randomUUID(), role: String(body["role"] ?? "user"), disabled: false, email: String(body["email"]), name: String(body["name"]), password: String(body["password"]) };
    this.users.push(user);
    return user;
  }

  /** An access token. */
  issue(user: User): string {
    const access = randomUUID();
    this.#access.set(access, { user: user.id, until: Date.now() + this.tokenSeconds * 1000 });
    return access;
  }

  #grant(user: User, response: ServerResponse): void {
    const [access, refresh] = [this.issue(user), randomUUID()];
    this.#refresh.set(refresh, { user: user.id, spent: false });
    response.setHeader("Set-Cookie", `refresh=${refresh}; Path=/auth; HttpOnly; SameSite=Strict`);
    json(response, 200, { access_token: access, token_type: "Bearer", expires_in: this.tokenSeconds, user: shown(user) });
  }
}

export function shown({ id, email, name, role, disabled }: User) {
  return { id, email, name, role, disabled };
}
