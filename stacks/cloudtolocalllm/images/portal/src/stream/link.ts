import { ApiError, SignedOut } from "../page/api/errors";
import { store, type Store } from "../page/store";
import type { Carrier } from "./carrier";
import { connect, Refused, type Connection, type Door } from "./connection";
import { CLOSE } from "./frames";

export type LinkState =
  | { phase: "connecting"; failures: number }
  | { phase: "open"; failures: 0 }
  /** `until`: when it is tried again, on this page's clock. */
  | { phase: "waiting"; failures: number; until: number }
  /** For good: the session is none of this person's, or no more. */
  | { phase: "over"; failures: number };

/** The connection to the proxy, made again whenever it breaks. */
export interface Link {
  readonly state: Store<LinkState>;
  /** Null unless it is open. */
  carrier(): Carrier | null;
  /** Do not wait any longer. */
  hurry(): void;
  close(): void;
}

export interface SessionToken {
  token: string;
  /** Unix time in ms. */
  until: number;
}

interface Options extends Door {
  /** A fresh token of the session. Throws ApiError 404 when the session is over, SignedOut, Unreachable. */
  token: () => Promise<SessionToken>;
}

const LONGEST_MS = 15_000;
/** A token is replaced this long before it runs out. */
const EARLY_MS = 60_000;

/**
 * What follows a closed connection: ms to wait, or null if it is over. A token that is refused is replaced at once, but only
 * once. `failures`: how often in a row no connection was had, this time included. `chance`: 0 to 1, so that not all pages come back at the same moment.
 */
export function pause(code: number, failures: number, chance: number): number | null {
  if (code === CLOSE.wrongSession) return null;
  const token = code === CLOSE.badToken || code === CLOSE.expired || code === CLOSE.replay;
  if (token && failures <= 1) return 0;
  if (code === CLOSE.busy) return LONGEST_MS;
  return Math.min(1000 * 2 ** Math.max(0, failures - 1), LONGEST_MS) * (0.75 + chance / 2);
}

export function link(options: Options): Link {
  const state = store<LinkState>({ phase: "connecting", failures: 0 });
  let connection: Connection | null = null;
  let wake = () => undefined as void;
  const leaving = new AbortController();

  /** The code with which it ended. Raises what `token` does. */
  async function once(): Promise<number> {
    const first = await options.token();
    if (leaving.signal.aborted) return CLOSE.silent;
    connection = await connect(options, first.token);
    const stop = renewing(connection, first.until);
    try {
      if (leaving.signal.aborted) connection.close();
      else state.set({ phase: "open", failures: 0 });
      return await connection.closed;
    } finally {
      stop();
      connection = null;
    }
  }

  /** Shows fresh tokens as long as the connection lasts; one that cannot be had now is asked for again. */
  function renewing(current: Connection, first: number): () => void {
    let timer: ReturnType<typeof setTimeout>;
    const wait = (ms: number) => {
      timer = setTimeout(() => void renew(), Math.max(ms, 1000));
    };
    async function renew(): Promise<void> {
      try {
        const { token, until } = await options.token();
        current.extend(token);
        wait(until - options.now() - EARLY_MS);
      } catch {
        wait(5000);
      }
    }
    wait(first - options.now() - EARLY_MS);
    return () => clearTimeout(timer);
  }

  async function run(): Promise<void> {
    let failures = 0;
    while (!leaving.signal.aborted) {
      state.set({ phase: "connecting", failures });
      let code: number = CLOSE.silent;
      try {
        code = await once();
        failures = 0;
      } catch (error) {
        if (error instanceof Refused) ({ code } = error);
        else if (error instanceof ApiError && error.status === 404) code = CLOSE.wrongSession;
        else if (error instanceof SignedOut) return state.set({ phase: "over", failures });
      }
      failures += 1;
      const ms = pause(code, failures, Math.random());
      if (ms === null) return state.set({ phase: "over", failures });
      if (ms > 0 && !leaving.signal.aborted) await waited(ms, failures);
    }
  }

  async function waited(ms: number, failures: number): Promise<void> {
    state.set({ phase: "waiting", failures, until: Date.now() + ms });
    await new Promise<void>((done) => {
      const timer = setTimeout(done, ms);
      wake = () => {
        clearTimeout(timer);
        done();
      };
    });
  }

  const hurry = () => wake();
  addEventListener("online", hurry);
  void run();
  return {
    state,
    hurry,
    carrier: () => connection?.streams ?? null,
    close() {
      leaving.abort();
      removeEventListener("online", hurry);
      connection?.close();
      wake();
    },
  };
}
