import { Unreachable } from "../page/api/errors";
import { CLOSE, decode, encode } from "./frames";
import { streams, type Streams } from "./streams";

/** One open WebSocket, its handshake done. */
export interface Connection {
  streams: Streams;
  /** Shows a fresh token, by which the connection may go on. */
  extend(token: string): void;
  close(): void;
  /** The code with which it was closed. */
  closed: Promise<number>;
}

/** Closed before its handshake was done, with this code. */
export class Refused extends Unreachable {
  constructor(readonly code: number) {
    super();
  }
}

export interface Door {
  /** Where the session is: `https://<name>.users.<domain>`. */
  endpoint: string;
  sessionId: string;
  /** The server's time, in ms. */
  now: () => number;
}

/** How long the proxy may take for the handshake. */
const PATIENCE_MS = 12_000;
const NORMAL = 1000;
const PROTOCOL = 3002; // 1002 is not a page's to say

/** Throws Refused. */
export async function connect({ endpoint, sessionId, now }: Door, token: string): Promise<Connection> {
  const socket = new WebSocket(`${endpoint.replace(/^http/, "ws")}/ws/client`);
  socket.binaryType = "arraybuffer";
  const told = streams((message) => {
    if (socket.readyState === WebSocket.OPEN) socket.send(message);
  });
  const greet = (fresh: string) => socket.send(encode({ type: "auth", token: fresh, sessionId, timestamp: Math.round(now()) }));

  let code: number | null = null;
  let announce: (code: number) => void;
  const closed = new Promise<number>((done) => (announce = done));
  const ended = new AbortController();
  const end = (why: number) => {
    code ??= why;
    ended.abort();
    clearTimeout(timer);
    told.end();
    announce(code);
  };
  const silent = () => {
    end(CLOSE.silent);
    socket.close(NORMAL);
  };
  const timer = setTimeout(silent, PATIENCE_MS);

  const ready = new Promise<void>((done) => {
    socket.addEventListener("open", () => greet(token));
    socket.addEventListener("message", ({ data }: MessageEvent<string | ArrayBuffer>) => {
      try {
        const frame = decode(data);
        if (frame.type === "ready") done();
        told.take(frame);
      } catch {
        end(PROTOCOL);
        socket.close(PROTOCOL);
      }
    });
  });
  socket.addEventListener("close", (event) => end(event.code));
  // A network that is gone is known at once; the socket itself would find out much later.
  addEventListener("offline", silent, { signal: ended.signal });

  const early = await Promise.race([ready, closed]);
  clearTimeout(timer);
  if (typeof early === "number") throw new Refused(early);
  return {
    streams: told,
    closed,
    extend(fresh) {
      if (socket.readyState === WebSocket.OPEN) greet(fresh);
    },
    close() {
      end(NORMAL);
      socket.close(NORMAL);
    },
  };
}
