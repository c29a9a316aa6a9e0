import { describe, expect, test } from "vitest";
import { sseParser, type ServerEvent } from "../../src/page/api/sse";

const TEXT = 'retry: 10\r\n: hello\n\nevent: token\ndata: {"text":"Grüße, 世界 🎉"}\n\nevent:done\rdata:a\rdata:  b\r\rdata\n\nid: 7\nevent: lost\n\ndata: last\r\n\r\ndata: never ended';
const EVENTS: ServerEvent[] = [
  { event: "token", data: '{"text":"Grüße, 世界 🎉"}' },
  { event: "done", data: "a\n b" },
  { event: "message", data: "" },
  { event: "message", data: "last" },
];
const BYTES = new TextEncoder().encode(TEXT);

function parsed(...cuts: number[]): ServerEvent[] {
  const parser = sseParser();
  const edges = [0, ...cuts, BYTES.length];
  return edges.slice(1).flatMap((end, i) => parser.push(BYTES.slice(edges[i], end)));
}

describe("server-sent events", () => {
  test("in one piece", () => expect(parsed()).toEqual(EVENTS));

  test("cut at every byte, inside characters and line ends", () => {
    for (let cut = 0; cut <= BYTES.length; cut++) expect(parsed(cut), `cut at ${cut}`).toEqual(EVENTS);
  });

  test("byte by byte", () => expect(parsed(...BYTES.keys())).toEqual(EVENTS));

  test("a byte order mark is no part of the first field", () => {
    expect(sseParser().push(new TextEncoder().encode("\ufeffdata: x\n\n"))).toEqual([{ event: "message", data: "x" }]);
  });

  test("an event is told as soon as its empty line is there", () => {
    const parser = sseParser();
    const push = (text: string) => parser.push(new TextEncoder().encode(text));
    expect(push("data: x\n")).toEqual([]);
    expect(push("\n")).toEqual([{ event: "message", data: "x" }]);
  });
});
