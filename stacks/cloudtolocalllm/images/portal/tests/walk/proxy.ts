/**
 * A stand-in for a person's proxy and the bridge behind it: the handshake, the frames and their credit as the contract words them. What is
 * no frame, comes too early, without credit or for a path that is not carried is a fault of the page.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import { CLOSE, decode, encode, ReceiveWindow, SendWindow, type Frame } from "../../src/stream/frames";
import type { Model } from "./model";

interface Stream {
  method: string;
  path: string;
  body: string;
  inward: ReceiveWindow;
  outward: SendWindow;
  credit: () => void;
  over: boolean;
}

export class Proxy {
  readonly faults: string[] = [];
  /** Tokens of the session that are good, and for one handshake each. */
  readonly tokens = new Set<string>();
  desktop = false;
  /** No WebSocket is to be had. */
  barred = false;
  handshakes = 0;
  extended = 0;
  readonly #used = new Set<string>();
  readonly #clients = new Set<WebSocket>();
  readonly #server = new WebSocketServer({ noServer: true, maxPayload: 2 ** 20 });

  constructor(
    readonly sessionId: string,
    readonly model: Model,
  ) {}

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    if (this.barred) return void socket.destroy();
    if (request.url !== "/ws/client") {
      this.faults.push(`upgrade of ${request.url}`);
      return void socket.destroy();
    }
    this.#server.handleUpgrade(request, socket, head, (client) => this.#serve(client));
  }

  /** Closes all connections, with a code of the contract's or without a word. */
  cut(code?: number): void {
    for (const client of this.#clients) {
      if (code === undefined) client.terminate();
      else client.close(code);
    }
  }

  #serve(client: WebSocket): void {
    const streams = new Map<number, Stream>();
    let greeted = false;
    this.#clients.add(client);
    client.on("close", () => {
      this.#clients.delete(client);
      for (const stream of streams.values()) end(stream);
    });
    client.on("message", (data: Buffer, binary: boolean) => {
      try {
        const frame = decode(binary ? new Uint8Array(data).buffer : data.toString());
        if (frame.type === "auth") greeted = this.#greet(client, frame, greeted);
        else if (!greeted) throw new Error(`${frame.type} before the handshake`);
        else this.#take(client, streams, frame);
      } catch (error) {
        this.faults.push(String(error));
        client.close(1002);
      }
    });
  }

  /** Whether the connection may be used now. */
  #greet(client: WebSocket, auth: Extract<Frame, { type: "auth" }>, greeted: boolean): boolean {
    const refused = this.#refusal(auth);
    if (refused !== null) {
      client.close(refused);
      return false;
    }
    const { token, sessionId } = auth;
    this.#used.add(token);
    if (greeted) this.extended += 1;
    else this.handshakes += 1;
    client.send(encode({ type: "ready", sessionId }));
    return true;
  }

  #refusal({ token, sessionId, timestamp }: Extract<Frame, { type: "auth" }>): number | null {
    if (sessionId !== this.sessionId) return CLOSE.wrongSession;
    if (!this.tokens.has(token) || Math.abs(Date.now() - timestamp) > 30_000) return CLOSE.badToken;
    return this.#used.has(token) ? CLOSE.replay : null;
  }

  #take(client: WebSocket, streams: Map<number, Stream>, frame: Frame): void {
    if (frame.type === "request") {
      if (!/^\/(api|v1)\//.test(frame.path)) throw new Error(`${frame.path} is not carried`);
      if (Math.max(0, ...streams.keys()) >= frame.id) throw new Error("ids only go up");
      const stream = { method: frame.method, path: frame.path, body: "", inward: new ReceiveWindow(), outward: new SendWindow(), credit: () => undefined, over: false };
      return void streams.set(frame.id, stream);
    }
    const stream = "id" in frame ? streams.get(frame.id) : undefined;
    if (!stream) throw new Error(`${frame.type} of no stream`);
    if (frame.type === "data") {
      stream.inward.receive(frame.body.length);
      stream.body += Buffer.from(frame.body).toString();
      const bytes = stream.inward.consume(frame.body.length);
      if (bytes > 0) client.send(encode({ type: "window", id: frame.id, bytes }));
    } else if (frame.type === "end") void this.#answer(client, frame.id, stream);
    else if (frame.type === "window") {
      stream.outward.give(frame.bytes);
      stream.credit();
    } else if (frame.type === "cancel") end(stream);
    else throw new Error(`${frame.type} is not for a proxy`);
  }

  async #answer(client: WebSocket, id: number, stream: Stream): Promise<void> {
    const send = (frame: Frame) => client.send(encode(frame));
    if (!this.desktop) return send({ type: "error", id, code: "desktop_away", message: "No desktop is connected." });
    const { status, type, pieces } = this.model.reply(stream.method, stream.path, stream.body);
    send({ type: "response", id, status, headers: { "content-type": type } });
    for await (const piece of pieces) {
      let rest = Buffer.from(piece);
      while (rest.length > 0 && !stream.over) {
        const taken = stream.outward.take(Math.min(rest.length, 2 ** 16));
        if (taken === 0) await new Promise<void>((done) => (stream.credit = () => void done()));
        else send({ type: "data", id, body: new Uint8Array(rest.subarray(0, taken)) });
        rest = rest.subarray(taken);
      }
      if (stream.over) return;
      if (!this.desktop) return send({ type: "error", id, code: "desktop_lost", message: "The desktop is gone." });
    }
    if (!stream.over) send({ type: "end", id });
  }
}

function end(stream: Stream): void {
  stream.over = true;
  stream.credit();
}
