import { describe, expect, test } from "vitest";
import { Unreachable } from "../../src/page/api/errors";
import { StreamError } from "../../src/stream/carrier";
import { decode, MAX_PIECE, ProtocolError, WINDOW, type Frame } from "../../src/stream/frames";
import { streams } from "../../src/stream/streams";

function wire() {
  const sent: Frame[] = [];
  const all = streams((message) => sent.push(decode(typeof message === "string" ? message : message.buffer)));
  return { sent, all, take: (...frames: Frame[]) => frames.forEach((frame) => all.take(frame)) };
}

const never = new AbortController().signal;
const piece = (id: number, said: string): Frame => ({ type: "data", id, body: new TextEncoder().encode(said) });
const head = (id: number, status = 200): Frame => ({ type: "response", id, status, headers: {} });

async function text(body: AsyncIterable<Uint8Array>): Promise<string> {
  const decoder = new TextDecoder();
  let all = "";
  for await (const part of body) all += decoder.decode(part, { stream: true });
  return all;
}

describe("streams", () => {
  test("a request without a body, and its answer in pieces", async () => {
    const { sent, all, take } = wire();
    const asked = all.ask({ method: "GET", path: "/api/tags", signal: never });
    expect(sent).toEqual([{ type: "request", id: 1, method: "GET", path: "/api/tags", headers: { accept: "*/*" } }, { type: "end", id: 1 }]);
    take(head(1, 203), piece(1, "one "), piece(1, "two"), { type: "end", id: 1 });
    const answer = await asked;
    expect([answer.status, await text(answer.body)]).toEqual([203, "one two"]);
  });

  test("two at once are kept apart", async () => {
    const { all, take } = wire();
    const [first, second] = [all.ask({ method: "GET", path: "/a", signal: never }), all.ask({ method: "GET", path: "/b", signal: never })];
    take(head(2), piece(2, "b"), head(1), piece(1, "a"), { type: "end", id: 2 }, { type: "end", id: 1 });
    expect(await Promise.all([first, second].map(async (asked) => text((await asked).body)))).toEqual(["a", "b"]);
  });

  test("a large body is sent in pieces, and no further than the credit goes", () => {
    const { sent, all, take } = wire();
    void all.ask({ method: "POST", path: "/api/chat", body: "x".repeat(WINDOW), signal: never });
    const bodies = () => sent.filter((frame) => frame.type === "data").map(({ body }) => body.length);
    expect(bodies()).toEqual([MAX_PIECE, MAX_PIECE, MAX_PIECE, MAX_PIECE]);
    expect(sent.at(-1)?.type).toBe("data");
    take({ type: "window", id: 1, bytes: 1000 });
    expect(bodies().at(-1)).toBe(2); // the quotes of the JSON
    expect(sent.at(-1)).toEqual({ type: "end", id: 1 });
  });

  test("credit is given for what was read, not for what came", async () => {
    const { sent, all, take } = wire();
    const asked = all.ask({ method: "GET", path: "/a", signal: never });
    take(head(1));
    for (let n = 0; n < 4; n++) take(piece(1, "x".repeat(MAX_PIECE)));
    const reading = (await asked).body[Symbol.asyncIterator]();
    expect(sent.filter(({ type }) => type === "window")).toEqual([]);
    await reading.next();
    expect(sent.filter(({ type }) => type === "window")).toEqual([{ type: "window", id: 1, bytes: MAX_PIECE }]);
    expect(() => take(piece(1, "x".repeat(MAX_PIECE)), piece(1, "x"))).toThrow(ProtocolError);
  });

  test("who stops is heard at once, and what still comes is passed over", async () => {
    const { sent, all, take } = wire();
    const control = new AbortController();
    const asked = all.ask({ method: "GET", path: "/a", signal: control.signal });
    take(head(1), piece(1, "begun"));
    const read = text((await asked).body);
    control.abort();
    await expect(read).rejects.toThrow("Stopped.");
    expect(sent.at(-1)).toEqual({ type: "cancel", id: 1 });
    take(piece(1, "late"), { type: "end", id: 1 });
  });

  test("an answer that is not read to its end is cancelled", async () => {
    const { sent, all, take } = wire();
    const asked = all.ask({ method: "GET", path: "/a", signal: never });
    take(head(1), piece(1, "a"), piece(1, "b"));
    for await (const _ of (await asked).body) break;
    expect(sent.at(-1)).toEqual({ type: "cancel", id: 1 });
  });

  test("an error, before the answer and within it", async () => {
    const { all, take } = wire();
    const early = all.ask({ method: "GET", path: "/a", signal: never });
    take({ type: "error", id: 1, code: "desktop_away", message: "No desktop." });
    await expect(early).rejects.toMatchObject({ code: "desktop_away" });
    const late = all.ask({ method: "GET", path: "/a", signal: never });
    take(head(2), piece(2, "part"), { type: "error", id: 2, code: "desktop_lost", message: "Gone." });
    const reading = (await late).body[Symbol.asyncIterator]();
    expect((await reading.next()).value).toHaveLength(4);
    await expect(reading.next()).rejects.toBeInstanceOf(StreamError);
  });

  test("a connection that is gone fails what is under way, and what comes after", async () => {
    const { all } = wire();
    const asked = all.ask({ method: "GET", path: "/a", signal: never });
    all.end();
    await expect(asked).rejects.toBeInstanceOf(Unreachable);
    await expect(all.ask({ method: "GET", path: "/a", signal: never })).rejects.toBeInstanceOf(Unreachable);
  });

  test.each<Frame>([
    { type: "auth", token: "t", sessionId: "s", timestamp: 1 },
    { type: "request", id: 1, method: "GET", path: "/", headers: {} },
    { type: "end", id: 9 },
  ])("$type has no place here", (frame) => {
    expect(() => wire().all.take(frame)).toThrow(ProtocolError);
  });
});
