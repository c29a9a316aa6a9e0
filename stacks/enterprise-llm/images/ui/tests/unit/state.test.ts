import { describe, expect, test } from "vitest";
import type { Message, Session } from "../../src/api/types";
import { NEW_CHAT, reduce, type Action, type Chat, type Failure } from "../../src/chat/state";

const AT = "2030-01-02T03:04:05Z";
const SESSION: Session = { id: "s1", title: "T", model: "m", created_at: AT, updated_at: AT };
const LOST: Failure = { kind: "lost", message: "", retryAt: null };
const DOWN: Failure = { kind: "unavailable", message: "", retryAt: 5000 };

const send: Action = { type: "send", text: "Hi", key: "k1", model: "m" };
const accepted: Action = { type: "event", event: { event: "session", session: SESSION, user_message: { id: "u1" } }, at: AT };
const tokens = (text: string): Action => ({ type: "tokens", text });
const done = (content?: string): Action => ({
  type: "event",
  event: { event: "done", session: SESSION, message: { id: "a1", finish_reason: "stop", ...(content === undefined ? {} : { content }) } },
  at: AT,
});
const run = (...actions: Action[]): Chat => actions.reduce(reduce, NEW_CHAT);
const said = (chat: Chat) => chat.turns.map((turn) => `${turn.role}: ${turn.content}`);
const message = (id: string, role: Message["role"], content: string, finish: string | null = null): Message => ({ id, role, content, model: null, finish_reason: finish, created_at: AT });

describe("a chat", () => {
  test("a message is pending until the gateway has it, then the answer grows and is whole", () => {
    expect(run(send)).toMatchObject({ phase: "waiting", pending: { text: "Hi" }, turns: [] });
    const begun = run(send, accepted);
    expect(begun).toMatchObject({ pending: null, session: SESSION });
    expect(said(begun)).toEqual(["user: Hi"]);
    const growing = run(send, accepted, tokens("Hel"), tokens("lo"));
    expect(growing).toMatchObject({ phase: "answering", live: { text: "Hello" } });
    // What has been said is the same thing at each token: its part of the page is not rendered again.
    expect(growing.turns).toBe(reduce(growing, tokens("!")).turns);
    const whole = reduce(growing, done());
    expect(said(whole)).toEqual(["user: Hi", "assistant: Hello"]);
    expect(whole).toMatchObject({ phase: "idle", live: null, failure: null });
  });

  test("the gateway's own text of the answer is the one that holds", () => {
    expect(said(run(send, accepted, tokens("Hel"), done("Hello!")))).toEqual(["user: Hi", "assistant: Hello!"]);
  });

  test("stopped: what has come stays; tokens that come afterwards are dropped", () => {
    const chat = run(send, accepted, tokens("Hel"), { type: "stopped", at: AT }, tokens("lo"), done());
    expect(said(chat)).toEqual(["user: Hi", "assistant: Hel"]);
    expect(chat.turns[1]?.finishReason).toBe("stopped");
  });

  test("an answer that is asked for again gives way when the new one is sure to come", () => {
    const asked = run(send, accepted, tokens("One"), done(), { type: "retry", model: "m" });
    expect(said(asked)).toEqual(["user: Hi", "assistant: One"]);
    expect(said(reduce(asked, accepted))).toEqual(["user: Hi"]);
    expect(said(reduce(asked, { type: "failed", failure: DOWN, at: AT }))).toEqual(["user: Hi", "assistant: One"]);
  });

  test("stopped before its first word, the new answer leaves the old one where it was", () => {
    const chat = run(send, accepted, tokens("One"), done(), { type: "retry", model: "m" }, accepted, { type: "stopped", at: AT });
    expect(said(chat)).toEqual(["user: Hi", "assistant: One"]);
  });

  test("a message without an answer says so, when nothing is under way for it", () => {
    expect(run(send, accepted, { type: "stopped", at: AT }).failure?.kind).toBe("unanswered");
    expect(run({ type: "loaded", transcript: { session: SESSION, messages: [message("u1", "user", "Hi")] } }).failure?.kind).toBe("unanswered");
    expect(run(send, accepted).failure).toBeNull();
  });

  test("failed before the gateway had it: the message is still pending, and can be taken back", () => {
    const chat = run(send, { type: "failed", failure: DOWN, at: AT });
    expect(chat).toMatchObject({ phase: "idle", pending: { text: "Hi" }, failure: DOWN });
    expect(reduce(chat, { type: "withdrawn" })).toMatchObject({ pending: null, failure: null });
  });

  test("settled: the message had arrived", () => {
    const chat = run(send, { type: "failed", failure: DOWN, at: AT }, { type: "settled", transcript: { session: SESSION, messages: [message("u1", "user", "Hi")] } });
    expect(chat).toMatchObject({ pending: null, failure: DOWN, session: SESSION });
    expect(said(chat)).toEqual(["user: Hi"]);
  });

  test("settled: the same words, said earlier, are not the message that is on its way", () => {
    const before = [message("u1", "user", "Hi"), message("a1", "assistant", "Hello", "stop")];
    const chat = [send, { type: "failed", failure: DOWN, at: AT }, { type: "settled", transcript: { session: SESSION, messages: before } }].reduce(
      (now, action) => reduce(now, action as Action),
      run({ type: "loaded", transcript: { session: SESSION, messages: before } }),
    );
    expect(chat.pending?.text).toBe("Hi");
  });

  test("settled: the answer was whole after all", () => {
    const messages = [message("u1", "user", "Hi"), message("a1", "assistant", "Hello", "stop")];
    const chat = run(send, accepted, tokens("Hel"), { type: "failed", failure: LOST, at: AT }, { type: "settled", transcript: { session: SESSION, messages } });
    expect(chat.failure).toBeNull();
    expect(said(chat)).toEqual(["user: Hi", "assistant: Hello"]);
  });

  test("settled: where the gateway has nothing of the answer, what was seen stays", () => {
    const chat = run(send, accepted, tokens("Hel"), { type: "failed", failure: LOST, at: AT }, { type: "settled", transcript: { session: SESSION, messages: [message("u1", "user", "Hi")] } });
    expect(chat.failure).toBe(LOST);
    expect(said(chat)).toEqual(["user: Hi", "assistant: Hel"]);
  });
});
