import type { Session } from "../api/types";
import type { LinkState } from "../stream/link";
import type { Models } from "../stream/models";

/** A way to the desktop. */
export type Way = "cloud" | "tunnel";
/** Whether the desktop answers on a way. */
export type Presence = "unknown" | "away" | "here";

/** What the page knows of the person's sessions and of their desktop. */
export interface State {
  /** Newest first; null until they came. */
  sessions: readonly Session[] | null;
  doing: "starting" | "stopping" | null;
  /** Why the last thing that the person wanted could not be done. */
  trouble: string | null;
  /** To the proxy; null without a live session. */
  link: LinkState | null;
  desktop: Readonly<Record<Way, Presence>>;
  /** As last heard. */
  models: Models | null;
  /** What the desktop says when it is there and its model server is not. */
  complaint: string | null;
}

export const NOTHING: State = {
  sessions: null, doing: null, trouble: null, link: null, desktop: { cloud: "unknown", tunnel: "unknown" }, models: null, complaint: null,
};

export type Stage = "loading" | "none" | "connecting" | "lost" | "waiting" | "connected";

export function liveOf({ sessions }: State): Session | null {
  return sessions?.find((session) => session.live) ?? null;
}

/** Another session, or none, knows nothing of the one before. */
export function withSessions(state: State, sessions: readonly Session[]): State {
  const next = { ...state, sessions };
  const same = liveOf(state)?.sessionId === liveOf(next)?.sessionId;
  return same ? next : { ...next, link: null, desktop: NOTHING.desktop, models: null, complaint: null };
}

/** What a request to the desktop showed. */
export function heard(state: State, way: Way, presence: Presence, models: Models | null, complaint: string | null): State {
  return { ...state, desktop: { ...state.desktop, [way]: presence }, models: models ?? state.models, complaint };
}

/** A connection that is gone says nothing of the desktop any more. */
export function withLink(state: State, link: LinkState | null): State {
  return { ...state, link, desktop: link?.phase === "open" ? state.desktop : { ...state.desktop, cloud: "unknown" } };
}

/** The tunnel is worth a try: there is one, and the proxy, or the desktop behind it, cannot be had. */
export function wantsTunnel(state: State): boolean {
  if ((liveOf(state)?.tunnel ?? null) === null || !state.link) return false;
  return state.link.phase === "open" ? state.desktop.cloud === "away" : state.link.failures > 0;
}

/** The way that requests take now; null when there is none. */
export function wayOf(state: State): Way | null {
  if (wantsTunnel(state) && state.desktop.tunnel === "here") return "tunnel";
  return state.link?.phase === "open" ? "cloud" : null;
}

export function stageOf(state: State): Stage {
  if (!state.sessions) return "loading";
  const live = liveOf(state);
  if (!live) return "none";
  const way = wayOf(state);
  if (way && state.desktop[way] === "here") return "connected";
  if (!state.link || state.link.phase === "over") return "connecting";
  if (state.link.phase !== "open") return state.link.failures > 0 ? "lost" : "connecting";
  return state.desktop.cloud === "away" ? "waiting" : "connecting";
}

const REASONS: Record<string, string> = {
  asked: "you stopped it",
  idle: "10 minutes without use",
  unhealthy: "its proxy did not answer",
  lost: "its proxy was lost",
};

export function reasonOf(session: Session): string {
  if (session.live) return "";
  const { reason } = session;
  if (reason === null || reason === "") return "not known";
  return REASONS[reason] ?? reason.replaceAll("_", " ");
}
