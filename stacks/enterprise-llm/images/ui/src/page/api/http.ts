import { aborted, failure, Unreachable } from "./errors";
import type { TokenSource } from "./tokens";

export interface Call {
  body?: unknown;
  signal?: AbortSignal;
  /** Let the request outlive the page. */
  keepalive?: boolean;
}

export interface Http {
  /** One request and its JSON; undefined for 204. Throws ApiError, Unreachable, SignedOut, and AbortError when `signal` says so. */
  json<T>(method: string, path: string, call?: Call): Promise<T>;
  /** One POST whose answer comes as server-sent events: their bytes. The same errors. */
  stream(path: string, call: Call): Promise<ReadableStream<Uint8Array>>;
}

/** One request, without a token. */
export async function send(method: string, path: string, call: Call = {}, headers: Record<string, string> = {}): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(path, {
      method,
      headers: { ...(call.body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: call.body === undefined ? null : JSON.stringify(call.body),
      signal: call.signal ?? null,
      keepalive: call.keepalive ?? false,
      credentials: "same-origin",
      cache: "no-store",
    });
  } catch (error) {
    throw aborted(error) ? error : new Unreachable(error);
  }
  return response;
}

export async function decoded<T>(response: Response): Promise<T> {
  if (!response.ok) throw await failure(response);
  if (response.status === 204) return undefined as T;
  try {
    return (await response.json()) as T;
  } catch (error) {
    throw aborted(error) ? error : new Unreachable(error);
  }
}

/** Requests that carry the token; one that is refused with 401 is made once more with a new one. */
export function authorised(tokens: TokenSource): Http {
  async function request(method: string, path: string, call: Call, accept: string): Promise<Response> {
    const token = await tokens.get();
    const response = await send(method, path, call, { Authorization: `Bearer ${token}`, Accept: accept });
    if (response.status !== 401) return response;
    const renewed = await tokens.renew(token);
    return send(method, path, call, { Authorization: `Bearer ${renewed}`, Accept: accept });
  }

  return {
    async json<T>(method: string, path: string, call: Call = {}) {
      return decoded<T>(await request(method, path, call, "application/json"));
    },

    async stream(path, call) {
      const response = await request("POST", path, call, "text/event-stream");
      if (!response.ok) throw await failure(response);
      if (!response.body) throw new Unreachable();
      return response.body;
    },
  };
}
