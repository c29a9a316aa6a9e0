import type { Session } from "../api/types";
import type { Service } from "../api/service";
import { aborted, ApiError, SignedOut, Unreachable, words } from "../page/api/errors";
import type { TokenSource } from "../page/api/tokens";
import { link as reach, type Link as Reach } from "../page/link";
import { store, type Store } from "../page/store";
import { serverNow } from "../settings";
import { StreamError, type Carrier } from "../stream/carrier";
import { link, type Link } from "../stream/link";
import { listModels } from "../stream/models";
import { tunnel } from "../stream/tunnel";
import { heard, liveOf, NOTHING, stageOf, wantsTunnel, wayOf, withLink, withSessions, type State, type Way } from "./state";

/** A person's sessions: asked for again and again, connected to where one is live, begun and ended. */
export interface Desk {
  readonly state: Store<State>;
  /** Whether the API can be reached. */
  readonly reach: Reach;
  start(): Promise<void>;
  stop(): Promise<void>;
  /** Asks at once for all that may have changed. */
  hurry(): void;
  /** The way to the models that is in use; null when there is none. */
  carrier(): Carrier | null;
  close(): void;
}

const POLL_MS = 5000;
/** How often the desktop is asked for its models: while it is awaited, and when it is there. */
const PROBE_MS = { awaited: 2000, there: 15_000 };
/** After that long without a hand on the page, the desktop is no longer asked: a session that nobody uses is to end by itself. */
const ABSENT_MS = 5 * 60_000;

export function desk(service: Service, tokens: TokenSource): Desk {
  const state = store<State>(NOTHING);
  const leaving = new AbortController();
  const { signal } = leaving;
  let current: { session: Session; link: Link; unsubscribe: () => void } | null = null;
  let touched = Date.now();
  let polling: ReturnType<typeof setTimeout> | undefined;
  let probing: ReturnType<typeof setTimeout> | undefined;
  let probe: Promise<void> | null = null;

  const ours = reach(refresh, () => hurry());

  /** True when the API answered. */
  async function refresh(): Promise<boolean> {
    clearTimeout(polling);
    try {
      const sessions = await service.sessions(signal);
      state.update((now) => withSessions(now, sessions));
      follow();
      return true;
    } catch (error) {
      if (error instanceof Unreachable) ours.lost();
      else if (!aborted(error) && !(error instanceof SignedOut)) state.update((now) => ({ ...now, trouble: words(error) }));
      return error instanceof ApiError;
    } finally {
      clearTimeout(polling);
      if (!signal.aborted) polling = setTimeout(() => void (document.hidden || refresh()), POLL_MS);
    }
  }

  /** Connects to the live session, and leaves one that is over. */
  function follow(): void {
    const live = liveOf(state.get());
    if (live?.sessionId === current?.session.sessionId || signal.aborted) return;
    unfollow();
    if (!live) return;
    const made = link({
      endpoint: live.endpoint,
      sessionId: live.sessionId,
      now: serverNow,
      async token() {
        const { token, expiresAt } = await service.token(live.sessionId);
        return { token, until: Date.parse(expiresAt) };
      },
    });
    const heed = () => {
      const next = made.state.get();
      state.update((now) => withLink(now, next));
      if (next.phase === "open" || wantsTunnel(state.get())) soon(0);
      // If it is live all the same, the next list says so, and it is tried anew.
      if (next.phase === "over") unfollow();
    };
    current = { session: live, link: made, unsubscribe: made.state.subscribe(heed) };
    heed();
  }

  function unfollow(): void {
    current?.unsubscribe();
    current?.link.close();
    current = null;
    clearTimeout(probing);
    state.update((now) => withLink(now, null));
  }

  function soon(ms: number): void {
    clearTimeout(probing);
    probing = setTimeout(() => {
      probe ??= look().finally(() => {
        probe = null;
        if (!signal.aborted && current) soon(stageOf(state.get()) === "connected" ? PROBE_MS.there : PROBE_MS.awaited);
      });
    }, ms);
  }

  /** Whether the desktop answers, and with which models. */
  async function look(): Promise<void> {
    const asked = current;
    if (!asked || document.hidden || Date.now() - touched > ABSENT_MS) return;
    const cloud = asked.link.carrier();
    if (cloud) await ask("cloud", cloud, asked);
    const address = liveOf(state.get())?.tunnel;
    if (address && wantsTunnel(state.get())) await ask("tunnel", tunnel(address, tokens), asked);
  }

  async function ask(way: Way, carrier: Carrier, asked: typeof current): Promise<void> {
    const tell = (next: (now: State) => State) => current === asked && state.update(next);
    try {
      const models = await listModels(carrier, signal);
      tell((now) => heard(now, way, "here", models, null));
    } catch (error) {
      if (aborted(error)) return;
      // Whoever answers with words of its own is there, its model server is not.
      const there = error instanceof StreamError && error.code !== "desktop_away";
      tell((now) => heard(now, way, there ? "here" : "away", null, there ? error.message : null));
    }
  }

  async function doing(what: "starting" | "stopping", act: () => Promise<unknown>): Promise<void> {
    if (state.get().doing) return;
    state.update((now) => ({ ...now, doing: what, trouble: null }));
    let trouble: string | null = null;
    try {
      await act();
    } catch (error) {
      trouble = words(error);
    }
    await refresh();
    state.update((now) => ({ ...now, doing: null, trouble }));
  }

  function hurry(): void {
    touched = Date.now();
    current?.link.hurry();
    void refresh();
    soon(0);
  }

  function touch(): void {
    if (document.hidden) return;
    const absent = Date.now() - touched > ABSENT_MS;
    touched = Date.now();
    if (absent) hurry();
  }
  const shown = () => document.hidden || hurry();
  document.addEventListener("visibilitychange", shown, { signal });
  for (const event of ["pointerdown", "pointermove", "keydown"]) document.addEventListener(event, touch, { signal, passive: true });
  void refresh();

  return {
    state,
    reach: ours,
    hurry,
    start: () => doing("starting", () => service.create()),
    stop: () => doing("stopping", async () => {
      const live = liveOf(state.get());
      if (live) await service.end(live.sessionId);
    }),
    carrier() {
      const way = wayOf(state.get());
      const address = liveOf(state.get())?.tunnel;
      if (way === "tunnel" && address) return tunnel(address, tokens);
      return way === "cloud" ? (current?.link.carrier() ?? null) : null;
    },
    close() {
      leaving.abort();
      unfollow();
      clearTimeout(polling);
      ours.close();
    },
  };
}
