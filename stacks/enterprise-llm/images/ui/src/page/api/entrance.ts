import { ApiError, SignedOut } from "./errors";
import { decoded, send } from "./http";
import type { AuthConfig, Login, User } from "./types";

/** Within the time in which the auth service takes the same refresh token twice: an answer that is lost costs no login. */
const SECONDS = 10;
/** A request that is lost on the way ends as one that reached nobody, and does not keep the page waiting. */
const soon = () => ({ signal: AbortSignal.timeout(SECONDS * 1000) });

/** What needs no token. The refresh token travels in a cookie that this page cannot read. */
export const entrance = {
  config: async () => decoded<AuthConfig>(await send("GET", "/auth/config", soon())),
  login: async (email: string, password: string) =>
    decoded<Login>(await send("POST", "/auth/login", { body: { email, password }, ...soon() })),
  register: async (email: string, password: string, name: string) =>
    decoded<User>(await send("POST", "/auth/register", { body: { email, password, name }, ...soon() })),
  logout: async () => decoded<void>(await send("POST", "/auth/logout", soon())),
  async refresh(): Promise<Login> {
    try {
      return await decoded<Login>(await send("POST", "/auth/refresh", soon()));
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) throw new SignedOut();
      throw error;
    }
  },
};
