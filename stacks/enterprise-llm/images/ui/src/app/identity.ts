import { Unreachable } from "../api/errors";
import { authorised } from "../api/http";
import { entrance, service } from "../api/service";
import { browserLock, tokenSource } from "../api/tokens";
import type { AuthConfig, Session, User } from "../api/types";
import { drafts, tabShelf } from "../chat/drafts";
import { store } from "../chat/store";
import { workspace, type Workspace } from "../chat/workspace";
import { go, pathOf, route } from "./route";

export interface Identity {
  phase: "starting" | "unreachable" | "out" | "in";
  user: User | null;
  /** A line for the log-in page: why one is there. */
  reason: string | null;
}

export const identity = store<Identity>({ phase: "starting", user: null, reason: null });
export const config = store<AuthConfig | null>(null);

let space: { of: string; workspace: Workspace } | null = null;
const tabs = "BroadcastChannel" in globalThis ? new BroadcastChannel("login") : null;

const tokens = tokenSource({
  refresh: entrance.refresh,
  lock: browserLock,
  now: Date.now,
  onUser(user) {
    const before = identity.get();
    if (user) {
      // Another person has logged in, here or in another tab: nothing of the one before stays.
      if (space && space.of !== user.id) leave();
      identity.set({ phase: "in", user, reason: null });
      if (space && before.phase === "out") void space.workspace.resume();
    } else {
      const reason = before.phase === "in" ? "Your login has run out. What you typed is kept." : null;
      identity.set({ phase: "out", user: null, reason });
    }
  },
});

/** The workspace of the person who is logged in; it outlives a login that runs out and is renewed. */
export function workspaceOf(user: User): Workspace {
  if (space?.of === user.id) return space.workspace;
  leave();
  space = { of: user.id, workspace: workspace(service(authorised(tokens)), drafts(user.id, tabShelf()), begun) };
  void space.workspace.start();
  return space.workspace;
}

/** Whoever looks at the new chat goes on looking at it, under its own address. */
function begun(session: Session): void {
  const here = route.get();
  if (here.view === "chat" && here.id === null) go(pathOf(session.id), "replace");
}

function leave(): void {
  space?.workspace.close();
  space = null;
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
  await entrance.config().then(config.set, () => undefined);
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
  const told = await entrance.logout().then(
    () => true,
    () => false,
  );
  space?.workspace.drafts.clear();
  leave();
  tokens.forget();
  const reason = told ? null : "The server could not be told of the log-out. Log in and out again before others use this browser.";
  identity.set({ phase: "out", user: null, reason });
  history.replaceState(null, "", "/");
  tabs?.postMessage("out");
}

/** An administrator has changed their own name. */
export function renamed(user: User): void {
  identity.update((now) => (now.user?.id === user.id ? { ...now, user } : now));
}

tabs?.addEventListener("message", ({ data }) => {
  const { phase } = identity.get();
  if (data === "out" && phase === "in") {
    space?.workspace.drafts.clear();
    leave();
    tokens.forget();
    identity.set({ phase: "out", user: null, reason: null });
  }
  if (data === "in" && phase === "out") void begin();
});

addEventListener("pagehide", () => space?.workspace.purge(true));
