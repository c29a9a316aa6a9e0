import { SignedOut } from "./errors";
import type { Login, User } from "./types";

/** Runs one task at a time under a name, in all tabs of this browser where it can. */
export type Lock = <T>(task: () => Promise<T>) => Promise<T>;

export interface TokenSource {
  /** A token that is good for a while yet; refreshed first where it is not. Throws SignedOut, Unreachable. */
  get(): Promise<string>;
  /** Another token than `refused`, which a service has just refused. */
  renew(refused: string): Promise<string>;
  /** The answer of a login. */
  accept(login: Login): void;
  forget(): void;
}

interface Options {
  /** POST /auth/refresh. Throws SignedOut when the cookie is no longer good. */
  refresh: () => Promise<Login>;
  lock: Lock;
  now: () => number;
  /** Called with the user at each login and refresh, and with null when the login is over. */
  onUser: (user: User | null) => void;
}

/** A token is refreshed this long before it runs out, so that it does not run out on its way. */
const EARLY_MS = 30_000;

/**
 * The access token, in memory only. However many requests want a new one at once, one refresh is made: refresh tokens are
 * rotated, and the use of an old one ends the login. The lock keeps the other tabs, which share the cookie, from the same.
 */
export function tokenSource({ refresh, lock, now, onUser }: Options): TokenSource {
  let token: { value: string; until: number } | null = null;
  let running: Promise<string> | null = null;
  // Counts logins and log-outs: a refresh that was under way at one of them must not bring its own answer in afterwards.
  let era = 0;

  function accept(login: Login): void {
    era += 1;
    take(login);
  }

  function take(login: Login): void {
    token = { value: login.access_token, until: now() + login.expires_in * 1000 };
    onUser(login.user);
  }

  function forget(): void {
    era += 1;
    token = null;
    onUser(null);
  }

  async function renewed(): Promise<string> {
    const begun = era;
    try {
      const login = await lock(refresh);
      if (era === begun) take(login);
    } catch (error) {
      if (era === begun && error instanceof SignedOut) forget();
      if (era === begun || !(error instanceof SignedOut)) throw error;
    }
    if (!token) throw new SignedOut();
    return token.value;
  }

  function once(): Promise<string> {
    running ??= renewed().finally(() => {
      running = null;
    });
    return running;
  }

  return {
    accept,
    forget,
    async get() {
      return token && now() < token.until - EARLY_MS ? token.value : once();
    },
    async renew(refused) {
      return token && token.value !== refused && now() < token.until ? token.value : once();
    },
  };
}

/** The browser's own locks, which hold across tabs; without them (plain http) tabs take their chance. */
export const browserLock: Lock = (task) =>
  "locks" in navigator ? (navigator.locks.request("refresh", task) as ReturnType<typeof task>) : task();
