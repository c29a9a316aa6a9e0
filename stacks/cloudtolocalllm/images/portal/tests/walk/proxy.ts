/**
 * A stand-in for a person's proxy, with the desktop behind it: the handshake and the frames as the contract words them. What is no
 * frame, comes too early, without credit or for a path that is not carried is a fault of the page.
 */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer, type WebSocket } from "ws";
import { CLOSE, decode, encode, type Frame } from "../../src/stream/frames";
import { Desktop } from "./desktop";
import type { Model } from "./model";

type Auth = Extract<Frame, { type: "auth" }>;

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
    const desktop = new Desktop(this.model, (message) => client.send(message), () => !this.desktop);
    let greeted = false;
    this.#clients.add(client);
    client.on("close", () => {
      this.#clients.delete(client);
      desktop.end();
    });
    client.on("message", (data: Buffer, binary: boolean) => {
      try {
        const frame = decode(binary ? new Uint8Array(data).buffer : data.toString());
        if (frame.type === "auth") greeted = this.#greet(client, frame, greeted);
        else if (!greeted) throw new Error(`${frame.type} before the handshake`);
        else desktop.take(frame);
      } catch (error) {
        this.faults.push(String(error));
        client.close(1002);
      }
    });
  }

  /** Whether the connection may be used now. */
  #greet(client: WebSocket, auth: Auth, greeted: boolean): boolean {
    const refused = this.#refusal(auth);
    if (refused !== null) {
      client.close(refused);
      return false;
    }
    this.#used.add(auth.token);
    if (greeted) this.extended += 1;
    else this.handshakes += 1;
    client.send(encode({ type: "ready", sessionId: this.sessionId }));
    return true;
  }

  #refusal({ token, sessionId, timestamp }: Auth): number | null {
    if (sessionId !== this.sessionId) return CLOSE.wrongSession;
    if (!this.tokens.has(token) || Math.abs(Date.now() - timestamp) > 30_000) return CLOSE.badToken;
    return this.#used.has(token) ? CLOSE.replay : null;
  }
}
