/** A stand-in for the bridge on a desktop: it answers the frames of requests with what the model server says, as far as there is credit. */
import { encode, ReceiveWindow, SendWindow, type Frame } from "../../src/stream/frames";
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

export class Desktop {
  readonly #streams = new Map<number, Stream>();

  constructor(
    readonly model: Model,
    readonly send: (message: string | Uint8Array) => void,
    readonly gone: () => boolean = () => false,
  ) {}

  /** A frame from who asks. Throws for one that has no place here. */
  take(frame: Frame): void {
    if (frame.type === "request") {
      if (!/^\/(api|v1)\//.test(frame.path)) throw new Error(`${frame.path} is not carried`);
      if (Math.max(0, ...this.#streams.keys()) >= frame.id) throw new Error("ids only go up");
      this.#streams.set(frame.id, { method: frame.method, path: frame.path, body: "", inward: new ReceiveWindow(), outward: new SendWindow(), credit: () => undefined, over: false });
      return;
    }
    const stream = "id" in frame ? this.#streams.get(frame.id) : undefined;
    if (!stream) throw new Error(`${frame.type} of no stream`);
    if (frame.type === "data") {
      stream.inward.receive(frame.body.length);
      stream.body += Buffer.from(frame.body).toString();
      const bytes = stream.inward.consume(frame.body.length);
      if (bytes > 0) this.send(encode({ type: "window", id: frame.id, bytes }));
    } else if (frame.type === "end") void this.#answer(frame.id, stream);
    else if (frame.type === "window") {
      stream.outward.give(frame.bytes);
      stream.credit();
    } else if (frame.type === "cancel") over(stream);
    else throw new Error(`${frame.type} is not for a desktop`);
  }

  end(): void {
    for (const stream of this.#streams.values()) over(stream);
  }

  async #answer(id: number, stream: Stream): Promise<void> {
    const send = (frame: Frame) => this.send(encode(frame));
    if (this.gone()) return send({ type: "error", id, code: "desktop_away", message: "No desktop is connected to this session." });
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
      if (this.gone()) return send({ type: "error", id, code: "desktop_lost", message: "The desktop is gone." });
    }
    if (!stream.over) send({ type: "end", id });
  }
}

function over(stream: Stream): void {
  stream.over = true;
  stream.credit();
}
