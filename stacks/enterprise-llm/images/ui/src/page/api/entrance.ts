import { ApiError, SignedOut } from "./errors";
import { decoded, send } from "./http";
import type { AuthConfig, Login, User } from "./types";

/** What needs no token. The refresh token travels in a cookie that this page cannot read. */
export const entrance = {
  config: async () => decoded<AuthConfig>(await send("GET", "/auth/config")),
  login: async (email: string, password: string) =>
    decoded<Login>(await send("POST", "/auth/login", { body: { email, password } })),
  register: async (email: string, password: string, name: string) =>
    decoded<User>(await send("POST", "/auth/register", { body: { email, password, name } })),
  logout: async () => decoded<void>(await send("POST", "/auth/logout")),
  async refresh(): Promise<Login> {
    try {
      return await decoded<Login>(await send("POST", "/auth/refresh"));
    } catch (error) {
      if (error instanceof ApiError && (error.status === 401 || error.status === 403)) throw new SignedOut();
      throw error;
    }
  },
};
