import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { decode, encode, MAX_PIECE, ProtocolError, ReceiveWindow, SendWindow, WINDOW, type Frame } from "../../src/stream/frames";

const FRAMES: Frame[] = [
  { type: "auth", token: "abc.def-_", sessionId: "a2", timestamp: 1_900_000_000_000 },
  { type: "ready", sessionId: "a2" },
  { type: "request", id: 1, method: "POST", path: "/api/chat?x=%20", headers: { "content-type": "application/json" } },
  { type: "response", id: 4_294_967_295, status: 200, headers: {} },
  { type: "data", id: 258, body: new Uint8Array([0, 1, 255]) },
  { type: "end", id: 7 },
  { type: "cancel", id: 7 },
  { type: "error", id: 7, code: "desktop_away", message: "Nobody is there: „…“ 🙂" },
  { type: "window", id: 7, bytes: 65_536 },
];

const received = (message: string | Uint8Array<ArrayBuffer>) => decode(typeof message === "string" ? message : message.buffer);

describe("frames", () => {
  test.each(FRAMES)("$type comes out as it went in", (frame) => {
    expect(received(encode(frame))).toEqual(frame);
  });

  test("a piece of a body: the stream's id in 4 bytes, then the bytes", () => {
    expect(encode({ type: "data", id: 258, body: new Uint8Array([9]) })).toEqual(new Uint8Array([0, 0, 1, 2, 9]));
  });

  test.each([
    "", "null", "[]", "7", "{}", '{"type":"hello"}', '{"type":"end"}', '{"type":"end","id":0}', '{"type":"end","id":1.5}', '{"type":"end","id":"1"}',
    '{"type":"end","id":1,"more":1}', '{"type":"response","id":1,"status":99,"headers":{}}', '{"type":"response","id":1,"status":200,"headers":{"a":1}}',
    '{"type":"response","id":1,"status":200,"headers":[]}', '{"type":"window","id":1,"bytes":0}', '{"type":"data","id":1,"body":""}', '{"type":"toString"}',
  ])("no frame: %s", (message) => {
    expect(() => decode(message)).toThrow(ProtocolError);
  });

  test.each([0, 4, 5 + MAX_PIECE])("no piece: %i bytes", (size) => {
    expect(() => decode(new Uint8Array(size).fill(1).buffer)).toThrow(ProtocolError);
  });

  test("no piece: of stream 0", () => {
    expect(() => decode(new Uint8Array(5).buffer)).toThrow(ProtocolError);
  });
});

// The protocol's home; it only needs Python.
const HOME = join(import.meta.dirname, "../../../../../../ctl/bridge/frames.py");
const ECHO = `
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("frames", sys.argv[1])
frames = importlib.util.module_from_spec(spec)
sys.modules["frames"] = frames
spec.loader.exec_module(frames)
out = {"piece": frames.MAX_PIECE, "window": frames.WINDOW, "frames": []}
for text, raw in json.load(sys.stdin):
    again = frames.encode(frames.decode(text if text is not None else bytes(raw)))
    out["frames"].append([again, None] if isinstance(again, str) else [None, list(again)])
print(json.dumps(out))
`;

test.skipIf(!existsSync(HOME))("ctl/bridge/frames.py reads and writes the same", () => {
  const sent = FRAMES.map((frame) => encode(frame)).map((message) => (typeof message === "string" ? [message, null] : [null, [...message]]));
  const answer = JSON.parse(execFileSync("python3", ["-c", ECHO, HOME], { input: JSON.stringify(sent), encoding: "utf8" })) as {
    piece: number; window: number; frames: [string | null, number[] | null][];
  };
  expect([answer.piece, answer.window]).toEqual([MAX_PIECE, WINDOW]);
  expect(answer.frames.map(([text, raw]) => decode(text ?? new Uint8Array(raw ?? []).buffer))).toEqual(FRAMES);
});

describe("credit", () => {
  test("no more is sent than was given", () => {
    const window = new SendWindow();
    expect(window.take(200_000)).toBe(200_000);
    expect(window.take(200_000)).toBe(WINDOW - 200_000);
    expect(window.take(1)).toBe(0);
    window.give(10);
    expect(window.take(200)).toBe(10);
  });

  test("it is given back in quarters", () => {
    const window = new ReceiveWindow();
    window.receive(WINDOW);
    expect(window.consume(WINDOW / 4 - 1)).toBe(0);
    expect(window.consume(1)).toBe(WINDOW / 4);
    expect(() => window.receive(WINDOW / 4 + 1)).toThrow(ProtocolError);
    window.receive(WINDOW / 4);
  });
});
