import { entrance } from "./api/entrance";
import { Unreachable } from "./api/errors";
import { browserLock, tokenSource } from "./api/tokens";
import type { AuthConfig, Login, User } from "./api/types";
import { store } from "./store";

export interface Identity {
  phase: "starting" | "unreachable" | "out" | "in";
  user: User | null;
  /** A line for the log-in page: why one is there. */
  reason: string | null;
}

export const identity = store<Identity>({ phase: "starting", user: null, reason: null });
export const config = store<AuthConfig | null>(null);

/** A way in: the auth service's, unless a page has another. */
export interface Entry {
  config(): Promise<AuthConfig>;
  /** Throws SignedOut when a person has to log in. */
  refresh(): Promise<Login>;
  logout(): Promise<void>;
}

let entry: Entry = entrance;

export function enterBy(other: Entry): void {
  entry = other;
}

const tabs = "BroadcastChannel" in globalThis ? new BroadcastChannel("login") : null;
const farewells = new Set<() => void>();

export const tokens = tokenSource({
  refresh: () => entry.refresh(),
  lock: browserLock,
  now: Date.now,
  onUser(user) {
    const before = identity.get();
    if (user) {
      identity.set({ phase: "in", user, reason: null });
    } else {
      const reason = before.phase === "in" ? "Your login has run out. What you typed is kept." : null;
      identity.set({ phase: "out", user: null, reason });
    }
  },
});

/** `act` runs at each log-out of the person, here or in another tab; not when a login runs out. */
export function atLogout(act: () => void): void {
  farewells.add(act);
}

/** Takes up the login that the cookie stands for, where there is one. */
export async function begin(): Promise<void> {
  await learnConfig();
  try {
    await tokens.get();
  } catch (error) {
    if (error instanceof Unreachable) identity.update((now) => ({ ...now, phase: "unreachable" }));
    else identity.update((now) => ({ ...now, phase: "out" }));
  }
}

export async function learnConfig(): Promise<void> {
  if (config.get()) return;
  await entry.config().then(config.set, () => undefined);
}

export async function login(email: string, password: string): Promise<void> {
  tokens.accept(await entrance.login(email, password));
  tabs?.postMessage("in");
}

export async function register(email: string, password: string, name: string): Promise<void> {
  await entrance.register(email, password, name);
  await login(email, password);
}

export async function logout(): Promise<void> {
  const told = await entry.logout().then(
    () => true,
    () => false,
  );
  over(told ? null : "The server could not be told of the log-out. Log in and out again before others use this browser.");
  history.replaceState(null, "", "/");
  tabs?.postMessage("out");
}

function over(reason: string | null): void {
  for (const act of farewells) act();
  tokens.forget();
  identity.set({ phase: "out", user: null, reason });
}

/** An administrator has changed their own name. */
export function renamed(user: User): void {
  identity.update((now) => (now.user?.id === user.id ? { ...now, user } : now));
}

tabs?.addEventListener("message", ({ data }) => {
  const { phase } = identity.get();
  if (data === "out" && phase === "in") over(null);
  if (data === "in" && phase === "out") void begin();
});
