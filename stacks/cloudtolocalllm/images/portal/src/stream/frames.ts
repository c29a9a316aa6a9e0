/**
 * What the browser and the proxy say to each other, one WebSocket message a frame. The protocol's home is ctl/bridge/frames.py;
 * a test holds this file against it.
 */

/** Bytes of a body in one frame, at most. */
export const MAX_PIECE = 2 ** 16;
/** Bytes that may be on their way in one direction of a stream before the receiver has given credit. */
export const WINDOW = 256 * 2 ** 10;
/** Bytes of a WebSocket message, at most. */
const MAX_MESSAGE = 2 ** 20;

/** Why a WebSocket was closed, beside the codes that the protocol has for everybody. */
export const CLOSE = { silent: 1006, busy: 1013, badToken: 4401, wrongSession: 4403, expired: 4408, replay: 4409 } as const;

export type Headers = Record<string, string>;

export type Frame =
  | { type: "auth"; token: string; sessionId: string; timestamp: number }
  | { type: "ready"; sessionId: string }
  | { type: "request"; id: number; method: string; path: string; headers: Headers }
  | { type: "response"; id: number; status: number; headers: Headers }
  | { type: "data"; id: number; body: Uint8Array<ArrayBuffer> }
  | { type: "end"; id: number }
  | { type: "cancel"; id: number }
  | { type: "error"; id: number; code: string; message: string }
  | { type: "window"; id: number; bytes: number };

/** A message that is no frame, or a frame that has no place where it came. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

const whole = (least: number, most: number) => (value: unknown) => Number.isInteger(value) && Number(value) >= least && Number(value) <= most;
const text = (value: unknown) => typeof value === "string";
const isId = whole(1, 2 ** 32 - 1);

const RULES: Record<string, (value: unknown) => boolean> = {
  id: isId,
  sessionId: text,
  token: text,
  timestamp: whole(0, 2 ** 53 - 1),
  method: text,
  path: text,
  status: whole(200, 599),
  bytes: whole(1, 2 ** 31 - 1),
  code: text,
  message: text,
  headers: (value) => typeof value === "object" && value !== null && !Array.isArray(value) && Object.values(value).every(text),
};

const MEMBERS: Record<string, readonly string[]> = {
  auth: ["token", "sessionId", "timestamp"],
  ready: ["sessionId"],
  request: ["id", "method", "path", "headers"],
  response: ["id", "status", "headers"],
  end: ["id"],
  cancel: ["id"],
  error: ["id", "code", "message"],
  window: ["id", "bytes"],
};

export function encode(frame: Frame): string | Uint8Array<ArrayBuffer> {
  if (frame.type !== "data") return JSON.stringify(frame);
  const message = new Uint8Array(4 + frame.body.length);
  new DataView(message.buffer).setUint32(0, frame.id);
  message.set(frame.body, 4);
  return message;
}

/** Throws ProtocolError for whatever is not a frame. */
export function decode(message: string | ArrayBuffer): Frame {
  return typeof message === "string" ? control(message) : piece(message);
}

function piece(message: ArrayBuffer): Frame {
  if (message.byteLength < 5 || message.byteLength > 4 + MAX_PIECE) throw new ProtocolError("a piece has an id and 1 to 65536 bytes");
  const id = new DataView(message).getUint32(0);
  if (!isId(id)) throw new ProtocolError("0 is no stream");
  return { type: "data", id, body: new Uint8Array(message, 4) };
}

function control(message: string): Frame {
  if (message.length > MAX_MESSAGE) throw new ProtocolError("the message is too large");
  let value: unknown;
  try {
    value = JSON.parse(message);
  } catch {
    throw new ProtocolError("the message is no JSON");
  }
  const { type, ...members } = (typeof value === "object" ? (value ?? {}) : {}) as Record<string, unknown>;
  const expected = typeof type === "string" && Object.hasOwn(MEMBERS, type) ? MEMBERS[type] : undefined;
  if (!expected) throw new ProtocolError("the message has no type that is known");
  const fits = Object.keys(members).length === expected.length && expected.every((name) => RULES[name]?.(members[name]));
  if (!fits) throw new ProtocolError(`a frame "${String(type)}" has ${expected.join(", ")}, and nothing else`);
  return value as Frame;
}

/** What may still be sent in one direction of a stream, in bytes. */
export class SendWindow {
  #credit = WINDOW;

  /** How many of the `wanted` bytes may be sent now, which are then spent. */
  take(wanted: number): number {
    const taken = Math.min(wanted, this.#credit);
    this.#credit -= taken;
    return taken;
  }

  give(amount: number): void {
    this.#credit += amount;
  }
}

/** What the other side may still send in one direction of a stream, in bytes, and what was consumed of it. */
export class ReceiveWindow {
  #open = WINDOW;
  #consumed = 0;

  /** Throws ProtocolError if the other side had no credit for that. */
  receive(amount: number): void {
    if (amount > this.#open) throw new ProtocolError("more was sent than there was credit for");
    this.#open -= amount;
  }

  /** The credit to give now for what was consumed: nothing until it is a quarter of the window. */
  consume(amount: number): number {
    this.#consumed += amount;
    if (this.#consumed < WINDOW / 4) return 0;
    const given = this.#consumed;
    this.#consumed = 0;
    this.#open += given;
    return given;
  }
}
