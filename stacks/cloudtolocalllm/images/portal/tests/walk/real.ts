/**
 * The real proxy of the image beside this one, as a process, and a stand-in for the desktop that is connected to it. It needs a Python with the
 * proxy's three dependencies: PORTAL_PYTHON names one, else python3 is asked.
 */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { createHash, createHmac, randomBytes } from "node:crypto";
import { existsSync } from "node:fs";
import type { IncomingMessage } from "node:http";
import { connect, createServer, type AddressInfo } from "node:net";
import { join } from "node:path";
import type { Duplex } from "node:stream";
import { vi } from "vitest";
import { WebSocket } from "ws";
import { decode, encode } from "../../src/stream/frames";
import { ORIGIN } from "./cloud";
import { Desktop } from "./desktop";
import type { Model } from "./model";

const SOURCE = process.env["PORTAL_PROXY"] ?? join(import.meta.dirname, "../../../proxy/src");
const PYTHON = process.env["PORTAL_PYTHON"] ?? "python3";

export function hasProxy(): boolean {
  try {
    execFileSync(PYTHON, ["-c", "import h11, itsdangerous, wsproto"], { stdio: "ignore" });
    return existsSync(join(SOURCE, "proxy/__main__.py"));
  } catch {
    return false;
  }
}

export class RealProxy {
  readonly key = randomBytes(32).toString("hex");
  port = 0;
  #process: ChildProcess | null = null;
  #desktop: WebSocket | null = null;

  constructor(
    readonly sessionId: string,
    readonly model: Model,
  ) {}

  async start(): Promise<void> {
    this.port ||= await freePort();
    const env = { ...process.env, PYTHONPATH: SOURCE, SESSION_ID: this.sessionId, SESSION_KEY: this.key, PORTAL_ORIGIN: ORIGIN, HOST: "127.0.0.1", PORT: String(this.port) };
    this.#process = spawn(PYTHON, ["-m", "proxy"], { env, stdio: ["ignore", "ignore", "inherit"] });
    await vi.waitFor(() => fetch(`http://127.0.0.1:${this.port}/health`), { timeout: 30_000 });
  }

  /** As a machine would that loses its power. */
  async kill(): Promise<void> {
    const ended = new Promise((done) => this.#process?.once("exit", done));
    this.#process?.kill("SIGKILL");
    await ended;
  }

  /** As nginx does it. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const way = connect(this.port, "127.0.0.1", () => {
      const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${String(value)}\r\n`);
      way.write(`GET ${request.url} HTTP/1.1\r\n${headers.join("")}\r\n`);
      way.write(head);
      way.pipe(socket).pipe(way);
    });
    way.on("error", () => socket.destroy());
    socket.on("error", () => way.destroy());
  }

  async connectDesktop(): Promise<void> {
    const socket = new WebSocket(`ws://127.0.0.1:${this.port}/ws/desktop`);
    this.#desktop = socket;
    await new Promise((done) => socket.once("open", done));
    const desktop = new Desktop(this.model, (message) => socket.send(message));
    socket.send(encode({ type: "auth", token: this.token("desktop"), sessionId: this.sessionId, timestamp: Date.now() }));
    await new Promise<void>((done) => {
      socket.on("message", (data: Buffer, binary: boolean) => {
        const frame = decode(binary ? new Uint8Array(data).buffer : data.toString());
        if (frame.type === "ready") done();
        else desktop.take(frame);
      });
    });
    socket.on("close", () => desktop.end());
  }

  disconnectDesktop(): void {
    this.#desktop?.close();
  }

  /** As the API signs it: itsdangerous' URLSafeTimedSerializer with the salt "session". */
  token(role: "client" | "desktop"): string {
    const part = (value: Buffer | string) => Buffer.from(value).toString("base64url");
    const seconds = Math.floor(Date.now() / 1000);
    const moment = Buffer.alloc(4);
    moment.writeUInt32BE(seconds);
    const payload = { sid: this.sessionId, role, until: seconds + 600, id: randomBytes(8).toString("hex") };
    const value = `${part(JSON.stringify(payload))}.${part(moment)}`;
    const key = createHash("sha1").update(`sessionsigner${this.key}`).digest();
    return `${value}.${part(createHmac("sha1", key).update(value).digest())}`;
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  await new Promise((done) => server.close(done));
  return port;
}
