import { Unreachable } from "../page/api/errors";
import { StreamError, type Answer, type Ask, type Carrier } from "./carrier";
import { encode, MAX_PIECE, ProtocolError, ReceiveWindow, SendWindow, type Frame } from "./frames";

/** All streams of one connection. */
export interface Streams extends Carrier {
  /** A frame that came. Throws ProtocolError for one that has no place here. */
  take(frame: Frame): void;
  /** The connection is gone: what is under way fails. */
  end(): void;
}

interface Stream {
  readonly id: number;
  /** The body of the request that is not sent yet. */
  rest: Uint8Array<ArrayBuffer> | null;
  readonly outward: SendWindow;
  readonly inward: ReceiveWindow;
  readonly arrived: Uint8Array[];
  status: number | null;
  ended: boolean;
  failure: Error | null;
  /** Wakes who waits for something to come. */
  news: () => void;
}

export function streams(send: (message: string | Uint8Array<ArrayBuffer>) => void): Streams {
  const open = new Map<number, Stream>();
  let latest = 0;
  let gone = false;

  function push(stream: Stream): void {
    while (stream.rest) {
      const size = stream.outward.take(Math.min(stream.rest.length, MAX_PIECE));
      if (size > 0) send(encode({ type: "data", id: stream.id, body: stream.rest.slice(0, size) }));
      if (size === 0) return;
      stream.rest = size < stream.rest.length ? stream.rest.slice(size) : null;
      if (!stream.rest) send(encode({ type: "end", id: stream.id }));
    }
  }

  /** Over for good: nothing is sent for it any more, and what still comes is passed over. */
  function fail(stream: Stream, failure: Error): void {
    open.delete(stream.id);
    stream.failure ??= failure;
    stream.rest = null;
    stream.news();
  }

  function cancel(stream: Stream, reason: Error): void {
    if (open.has(stream.id)) send(encode({ type: "cancel", id: stream.id }));
    fail(stream, reason);
  }

  async function until(stream: Stream, ready: () => boolean): Promise<void> {
    while (!ready()) {
      if (stream.failure) throw stream.failure;
      await new Promise<void>((wake) => (stream.news = wake));
    }
  }

  async function* body(stream: Stream, release: () => void): AsyncGenerator<Uint8Array> {
    try {
      for (;;) {
        await until(stream, () => stream.arrived.length > 0 || stream.ended);
        const piece = stream.arrived.shift();
        if (!piece) return;
        const credit = stream.inward.consume(piece.length);
        if (credit > 0 && open.has(stream.id)) send(encode({ type: "window", id: stream.id, bytes: credit }));
        yield piece;
      }
    } finally {
      release();
      cancel(stream, new DOMException("Not read to its end.", "AbortError"));
    }
  }

  async function ask({ method, path, body: content, signal }: Ask): Promise<Answer> {
    signal.throwIfAborted();
    if (gone) throw new Unreachable();
    const id = (latest += 1);
    const rest = content === undefined ? null : new TextEncoder().encode(JSON.stringify(content));
    const stream: Stream = {
      id, rest, outward: new SendWindow(), inward: new ReceiveWindow(), arrived: [], status: null, ended: false, failure: null, news: () => undefined,
    };
    open.set(id, stream);
    const stop = () => cancel(stream, new DOMException("Stopped.", "AbortError"));
    const release = () => signal.removeEventListener("abort", stop);
    signal.addEventListener("abort", stop);
    const headers: Record<string, string> = { accept: "*/*" };
    if (rest) Object.assign(headers, { "content-type": "application/json", "content-length": String(rest.length) });
    send(encode({ type: "request", id, method, path, headers }));
    if (rest) push(stream);
    else send(encode({ type: "end", id }));
    try {
      await until(stream, () => stream.status !== null);
    } catch (error) {
      release();
      throw error;
    }
    return { status: stream.status ?? 0, body: body(stream, release) };
  }

  return {
    ask,
    take(frame) {
      if (frame.type === "ready") return;
      if (!("id" in frame) || frame.type === "request") throw new ProtocolError(`"${frame.type}" is not for a browser`);
      if (frame.id > latest) throw new ProtocolError("there was no such stream");
      const stream = open.get(frame.id);
      if (!stream) return;
      switch (frame.type) {
        case "response":
          stream.status = frame.status;
          break;
        case "data":
          stream.inward.receive(frame.body.length);
          stream.arrived.push(frame.body);
          break;
        case "end":
          stream.ended = true;
          open.delete(stream.id);
          break;
        case "window":
          stream.outward.give(frame.bytes);
          push(stream);
          break;
        case "cancel":
          return fail(stream, new StreamError("cancelled", "The other side broke the answer off."));
        case "error":
          return fail(stream, new StreamError(frame.code, frame.message));
      }
      stream.news();
    },
    end() {
      gone = true;
      for (const stream of open.values()) fail(stream, new Unreachable());
    },
  };
}
