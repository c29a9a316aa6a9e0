import { aborted, ApiError, SignedOut, Unreachable, words } from "../page/api/errors";
import type { Service } from "../api/service";
import type { AnswerEvent, Session, Transcript } from "../api/types";
import type { Drafts } from "./drafts";
import { answered, busy, NEW_CHAT, reduce, type Action, type Chat, type Failure } from "./state";
import { store, type Store } from "../page/store";

export interface Surroundings {
  service: Service;
  drafts: Drafts;
  now: () => number;
  /** Calls back before the next picture is drawn, or soon where none is. */
  frame: (task: () => void) => void;
  wait: (ms: number) => Promise<void>;
  /** The gateway has told something of a chat. */
  onSession: (session: Session) => void;
  /** This chat, new until now, has its session. */
  onBegun: (conversation: Conversation, session: Session) => void;
  onUnreachable: () => void;
}

/** One chat: its state, and what can be done with it. It goes on in the background when another one is looked at. */
export interface Conversation {
  /** Its own, from before it has an id. */
  readonly key: string;
  readonly chat: Store<Chat>;
  load(): Promise<void>;
  send(text: string, model: string | null): Promise<void>;
  /** The last answer again; or the message again, if it never arrived. */
  retry(model: string | null): Promise<void>;
  stop(): void;
  dismiss(): void;
  /** Takes back a message that never arrived, and returns its text. */
  withdraw(): string;
  rename(session: Session): void;
  /** After a connection that broke off: find out what the gateway has, and show that. */
  reconcile(): Promise<void>;
  /** What stands in the box to type in when this chat is opened. */
  draft(): string;
  type(text: string): void;
}

let made = 0;

const ENDED: ReadonlySet<Failure["kind"]> = new Set(["unreachable", "lost", "unavailable"]);
/** A new chat's message is looked for among this many chats. */
const NEWEST = 3;

export function conversation(id: string | null, around: Surroundings): Conversation {
  const chat: Store<Chat> = store(NEW_CHAT);
  const dispatch = (action: Action) => chat.update((now) => reduce(now, action));
  const at = () => new Date(around.now()).toISOString();
  const outbox = () => `${id ?? "new"}:sending`;
  let running: AbortController | null = null;

  /** Runs one answer to its end; every way in which it can end leaves a state that says so. */
  async function run(events: (signal: AbortSignal) => AsyncGenerator<AnswerEvent>): Promise<void> {
    const control = new AbortController();
    running = control;
    const tokens = collector((text) => dispatch({ type: "tokens", text }), around.frame);
    let begun = false;
    try {
      for await (const event of events(control.signal)) {
        if (control.signal.aborted) break;
        if (event.event === "token") {
          tokens.add(event.text);
          continue;
        }
        tokens.flush();
        dispatch({ type: "event", event, at: at() });
        if (event.event === "session") {
          begun = true;
          begin(event.session);
        } else if (event.event === "done") {
          around.onSession(event.session);
          return;
        } else {
          fail({ kind: "unavailable", message: event.message, retryAt: moment(event.retry_after ?? null) });
          return;
        }
      }
      tokens.flush();
      if (!control.signal.aborted) throw new Unreachable();
    } catch (error) {
      tokens.flush();
      if (!aborted(error) && !control.signal.aborted) await ended(error, begun);
    } finally {
      if (running === control) running = null;
    }
  }

  function begin(session: Session): void {
    around.drafts.write(outbox(), "");
    around.onSession(session);
    if (id !== null) return;
    around.drafts.write(session.id, around.drafts.read(null));
    around.drafts.write(null, "");
    id = session.id;
    around.onBegun(self, session);
  }

  async function ended(error: unknown, begun: boolean): Promise<void> {
    const stored = storedOf(error);
    if (stored) {
      dispatch({ type: "event", event: { event: "session", ...stored }, at: at() });
      begin(stored.session);
    }
    const failure = begun && error instanceof Unreachable ? LOST : failureOf(error, moment);
    fail(failure);
    if (error instanceof Unreachable) around.onUnreachable();
    // Whether it was stored all the same, the gateway knows.
    else if (failure.kind === "unavailable" && chat.get().pending) await self.reconcile();
  }

  function fail(failure: Failure): void {
    dispatch({ type: "failed", failure, at: at() });
  }

  function moment(seconds: number | null): number | null {
    return seconds === null ? null : around.now() + seconds * 1000;
  }

  /** The chat that a message began whose session this page has not heard of. */
  async function sought(text: string): Promise<Transcript | null> {
    const { sessions } = await around.service.sessions("", null);
    const transcripts = await Promise.all(sessions.slice(0, NEWEST).map((session) => around.service.transcript(session.id)));
    return transcripts.find(({ messages }) => messages.length <= 2 && messages[0]?.content === text) ?? null;
  }

  const self: Conversation = {
    key: `chat-${(made += 1)}`,
    chat,

    async load() {
      if (id === null || busy(chat.get())) return;
      dispatch({ type: "load" });
      try {
        const transcript = await around.service.transcript(id);
        const unsent = around.drafts.read(outbox());
        around.drafts.write(outbox(), "");
        const arrived = transcript.messages.findLast((message) => message.role === "user")?.content === unsent;
        if (unsent !== "" && !arrived) around.drafts.write(id, joined(unsent, around.drafts.read(id)));
        dispatch({ type: "loaded", transcript });
      } catch (error) {
        const none = error instanceof ApiError && (error.status === 404 || error.status === 422);
        fail(none ? GONE : failureOf(error, moment));
        if (error instanceof Unreachable) around.onUnreachable();
      }
    },

    async send(text, model) {
      if (busy(chat.get())) return;
      around.drafts.write(id, "");
      around.drafts.write(outbox(), text);
      dispatch({ type: "send", text, key: `sent-${at()}`, model });
      await run((signal) => around.service.chat(text, id, model, signal));
    },

    async retry(model) {
      const { pending, phase } = chat.get();
      if (busy(chat.get()) || phase === "loading") return;
      if (pending) return self.send(pending.text, model);
      const session = id;
      if (session === null) return;
      dispatch({ type: "retry", model });
      await run((signal) => around.service.retry(session, model, signal));
    },

    stop() {
      if (!busy(chat.get())) return;
      const unheard = chat.get().pending !== null;
      running?.abort();
      running = null;
      dispatch({ type: "stopped", at: at() });
      // Stopped before the gateway said a word: it may have the message or not.
      if (unheard) {
        fail({ kind: "refused", message: "Stopped before the message was accepted.", retryAt: null });
        void self.reconcile();
      }
    },

    dismiss: () => dispatch({ type: "dismissed" }),

    withdraw() {
      const text = chat.get().pending?.text ?? "";
      around.drafts.write(outbox(), "");
      dispatch({ type: "withdrawn" });
      return text;
    },

    rename: (session) => dispatch({ type: "renamed", session }),

    async reconcile() {
      const { pending, turns } = chat.get();
      if (busy(chat.get()) || (id === null && pending === null)) return;
      if (id !== null && pending === null && turns.length === 0) return self.load();
      try {
        let transcript = id === null ? await sought(pending?.text ?? "") : await around.service.transcript(id);
        // The gateway may still be at storing what it had of the answer when it saw the connection go.
        if (transcript && transcript.messages.at(-1)?.role === "user" && answered(chat.get())) {
          await around.wait(1500);
          transcript = await around.service.transcript(transcript.session.id);
        }
        if (!transcript || busy(chat.get())) return;
        dispatch({ type: "settled", transcript });
        if (chat.get().pending === null) begin(transcript.session);
      } catch (error) {
        if (error instanceof Unreachable) around.onUnreachable();
      }
    },

    type: (text) => around.drafts.write(id, text),

    draft: () => joined(id === null ? around.drafts.read(outbox()) : "", around.drafts.read(id)),
  };
  return self;
}

const GONE: Failure = { kind: "gone", message: "This chat no longer exists.", retryAt: null };
const LOST: Failure = { kind: "lost", message: "The connection broke off before the answer was whole.", retryAt: null };

function failureOf(error: unknown, moment: (seconds: number | null) => number | null): Failure {
  const message = words(error);
  if (error instanceof Unreachable) return { kind: "unreachable", message, retryAt: null };
  if (error instanceof SignedOut) return { kind: "signed-out", message, retryAt: null };
  if (!(error instanceof ApiError)) return { kind: "refused", message, retryAt: null };
  const retryAt = moment(error.retryAfter);
  if (error.status === 429) return { kind: "limited", message, retryAt };
  if (error.status === 503) return { kind: "unavailable", message, retryAt };
  if (error.code === "session_not_found") return GONE;
  return { kind: "refused", message, retryAt };
}

/** Whether the server, when it can be reached again, has something to say about a chat. */
export function unsettled(chat: Chat): boolean {
  return chat.failure !== null && ENDED.has(chat.failure.kind);
}

/** What was stored all the same, where the gateway says so: the message whose answer failed, and its chat. */
function storedOf(error: unknown): { session: Session; user_message: { id: string } } | null {
  if (!(error instanceof ApiError)) return null;
  const { session, user_message } = (error.body ?? {}) as { session?: Session; user_message?: { id: string } };
  return session && user_message ? { session, user_message } : null;
}

function joined(first: string, second: string): string {
  return [first, second].filter((text) => text !== "").join("\n\n");
}

/** Tokens may come by the hundred between two pictures; the page takes them once for each. */
function collector(take: (text: string) => void, frame: (task: () => void) => void) {
  let text = "";
  let due = false;
  function flush(): void {
    if (text === "") return;
    const all = text;
    text = "";
    take(all);
  }
  return {
    flush,
    add(more: string) {
      text += more;
      if (due) return;
      due = true;
      frame(() => {
        due = false;
        flush();
      });
    },
  };
}
