/** A way to the model server on a person's desktop: through the proxy in the cloud, or the ngrok tunnel. */
export interface Carrier {
  /** One request. Throws StreamError, Unreachable, SignedOut, and AbortError when `signal` says so; `body` throws the same. */
  ask(request: Ask): Promise<Answer>;
}

export interface Ask {
  method: "GET" | "POST";
  path: string;
  /** Sent as JSON. */
  body?: unknown;
  signal: AbortSignal;
}

export interface Answer {
  status: number;
  body: AsyncIterable<Uint8Array>;
}

/** The proxy or the bridge could not carry a request through, or not to its end. */
export class StreamError extends Error {
  override name = "StreamError";

  constructor(
    /** Its own word: `desktop_away`, say. */
    readonly code: string,
    message: string,
  ) {
    super(message);
  }
}
