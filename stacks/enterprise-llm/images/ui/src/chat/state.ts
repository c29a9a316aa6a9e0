import type { AnswerEvent, Message, Session, Transcript } from "../api/types";

/** One message as the page shows it. `id` is null until the gateway has said that it is stored, and for what it never was. */
export interface Turn {
  key: string;
  id: string | null;
  role: "user" | "assistant";
  content: string;
  model: string | null;
  finishReason: string | null;
  at: string | null;
}

/** Why there is no (whole) answer, and what can be done about it. */
export interface Failure {
  kind: "unanswered" | "unavailable" | "limited" | "unreachable" | "lost" | "signed-out" | "gone" | "refused";
  message: string;
  /** When to try again, in the page's clock; null: at once. */
  retryAt: number | null;
}

export interface Live {
  text: string;
  model: string | null;
  /** It was asked for in place of the last answer, which is `replaced` once the new one is on its way. */
  replaces: boolean;
  replaced: Turn | null;
}

export interface Chat {
  session: Session | null;
  turns: readonly Turn[];
  /** The message that is on its way and that nobody has said to have stored. */
  pending: { text: string; key: string } | null;
  /** The answer that is coming; its text is empty until the first token. */
  live: Live | null;
  phase: "idle" | "loading" | "waiting" | "answering";
  failure: Failure | null;
}

export const NEW_CHAT: Chat = { session: null, turns: [], pending: null, live: null, phase: "idle", failure: null };

export type Action =
  | { type: "load" }
  | { type: "loaded"; transcript: Transcript }
  | { type: "renamed"; session: Session }
  | { type: "send"; text: string; key: string; model: string | null }
  | { type: "retry"; model: string | null }
  | { type: "event"; event: AnswerEvent; at: string }
  | { type: "tokens"; text: string }
  | { type: "stopped"; at: string }
  | { type: "failed"; failure: Failure; at: string }
  | { type: "dismissed" }
  | { type: "withdrawn" }
  | { type: "settled"; transcript: Transcript };

/** What a chat becomes. Pure: times and keys come with the action. */
export function reduce(chat: Chat, action: Action): Chat {
  switch (action.type) {
    case "load":
      return { ...chat, phase: "loading", failure: null };
    case "loaded":
      return atRest({ ...NEW_CHAT, session: action.transcript.session, turns: turnsOf(action.transcript.messages) });
    case "renamed":
      return { ...chat, session: action.session };
    case "send":
      return {
        ...chat,
        pending: { text: action.text, key: action.key },
        live: { text: "", model: action.model, replaces: false, replaced: null },
        phase: "waiting",
        failure: null,
      };
    case "retry":
      return { ...chat, live: { text: "", model: action.model, replaces: answered(chat), replaced: null }, phase: "waiting", failure: null };
    case "event":
      return chat.live === null ? chat : answer(chat, action.event, action.at);
    case "tokens":
      return chat.live === null ? chat : { ...chat, live: { ...chat.live, text: chat.live.text + action.text }, phase: "answering" };
    case "stopped":
      return atRest({ ...cut(chat, "stopped", action.at), phase: "idle" });
    case "failed":
      return { ...cut(chat, "error", action.at), phase: "idle", failure: action.failure };
    case "dismissed":
      return atRest({ ...chat, failure: null });
    case "withdrawn":
      return { ...chat, pending: null, failure: null };
    case "settled":
      return settle(chat, action.transcript);
  }
}

function answer(chat: Chat, event: AnswerEvent, at: string): Chat {
  switch (event.event) {
    case "session": {
      const turns = stored(chat, event.user_message.id, at);
      const last = turns.at(-1);
      // The answer that is asked for again gives way only now, when a new one is sure to come.
      const { live } = chat;
      if (!live?.replaces || last?.role !== "assistant") return { ...chat, session: event.session, pending: null, turns };
      return { ...chat, session: event.session, pending: null, turns: turns.slice(0, -1), live: { ...live, replaced: last } };
    }
    case "token":
      return reduce(chat, { type: "tokens", text: event.text });
    case "done": {
      const { live } = chat;
      const turn: Turn = {
        key: event.message.id,
        id: event.message.id,
        role: "assistant",
        content: event.message.content ?? live?.text ?? "",
        model: event.session.model ?? live?.model ?? null,
        finishReason: event.message.finish_reason,
        at,
      };
      return { ...chat, session: event.session, turns: [...chat.turns, turn], live: null, phase: "idle", failure: null };
    }
    case "error":
      return chat; // told by `failed`, which knows the clock
  }
}

/** The turns with the pending message among them. */
function stored(chat: Chat, id: string, at: string): readonly Turn[] {
  if (!chat.pending || chat.turns.some((turn) => turn.id === id)) return chat.turns;
  const { key, text } = chat.pending;
  return [...chat.turns, { key, id, role: "user", content: text, model: null, finishReason: null, at }];
}

/** A message that nothing is under way for and that has no answer says so, and offers to ask again. */
function atRest(chat: Chat): Chat {
  const unanswered = chat.failure === null && chat.pending === null && chat.turns.at(-1)?.role === "user";
  return unanswered ? { ...chat, failure: { kind: "unanswered", message: "", retryAt: null } } : chat;
}

/** The answer ends here; what has come of it stays, and where nothing has, the one that it was to replace. */
function cut(chat: Chat, reason: string, at: string): Chat {
  if (!chat.live) return chat;
  if (chat.live.text === "") return { ...chat, live: null, turns: chat.live.replaced ? [...chat.turns, chat.live.replaced] : chat.turns };
  const { text, model } = chat.live;
  const turn: Turn = { key: `cut-${at}`, id: null, role: "assistant", content: text, model, finishReason: reason, at };
  return { ...chat, live: null, turns: [...chat.turns, turn] };
}

/**
 * What the gateway has stored, after a connection that broke off: did the message arrive, how far did the answer come?
 * The text that this page has seen is kept where the gateway has less of it.
 */
function settle(chat: Chat, { session, messages }: Transcript): Chat {
  const turns = turnsOf(messages);
  const known = new Set(chat.turns.map((turn) => turn.id));
  const asked = turns.findLast((turn) => turn.role === "user");
  const arrived = chat.pending !== null && asked !== undefined && asked.content === chat.pending.text && !known.has(asked.id);
  const pending = arrived ? null : chat.pending;
  const seen = chat.turns.at(-1);
  const last = turns.at(-1);
  if (pending === null && last?.role === "user" && seen?.role === "assistant" && seen.id === null) turns.push(seen);
  const whole = pending === null && last?.role === "assistant" && last.finishReason !== "error" && last.finishReason !== "stopped";
  return { ...chat, session, turns, pending, live: null, phase: "idle", failure: whole ? null : chat.failure };
}

export function turnsOf(messages: readonly Message[]): Turn[] {
  return messages.flatMap((message) =>
    message.role === "system"
      ? []
      : {
          key: message.id,
          id: message.id,
          role: message.role,
          content: message.content,
          model: message.model,
          finishReason: message.finish_reason,
          at: message.created_at,
        },
  );
}

/** Whether the last message is an answer. */
export function answered(chat: Chat): boolean {
  return chat.pending === null && chat.turns.at(-1)?.role === "assistant";
}

/** Whether a message is on its way or an answer is coming. */
export function busy(chat: Chat): boolean {
  return chat.phase === "waiting" || chat.phase === "answering";
}
