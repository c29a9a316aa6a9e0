import { aborted, failure, Unreachable } from "./errors";
import { sseParser } from "./sse";
import type { TokenSource } from "./tokens";
import type { AnswerEvent } from "./types";

export interface Call {
  body?: unknown;
  signal?: AbortSignal;
  /** Let the request outlive the page. */
  keepalive?: boolean;
}

export interface Http {
  /** One request and its JSON; undefined for 204. Throws ApiError, Unreachable, SignedOut, and AbortError when `signal` says so. */
  json<T>(method: string, path: string, call?: Call): Promise<T>;
  /** One POST whose answer comes as server-sent events. The same errors; Unreachable too when it breaks off. */
  events(path: string, call: Call): AsyncGenerator<AnswerEvent>;
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

    async *events(path, call) {
      const response = await request("POST", path, call, "text/event-stream");
      if (!response.ok) throw await failure(response);
      if (!response.body) throw new Unreachable();
      const parser = sseParser();
      const reader = response.body.getReader();
      try {
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return;
          for (const { event, data } of parser.push(value)) {
            const told = answerEvent(event, data);
            if (told) yield told;
          }
        }
      } catch (error) {
        throw aborted(error) ? error : new Unreachable(error);
      } finally {
        reader.cancel().catch(() => undefined);
      }
    },
  };
}

/** Null for an event that this page does not know, so that the service may learn new ones. */
function answerEvent(event: string, data: string): AnswerEvent | null {
  if (event !== "session" && event !== "token" && event !== "done" && event !== "error") return null;
  return { ...(JSON.parse(data) as object), event } as AnswerEvent;
}
