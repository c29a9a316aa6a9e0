import { aborted, Unreachable } from "../page/api/errors";
import type { TokenSource } from "../page/api/tokens";
import { StreamError, type Carrier } from "./carrier";

/** Else a free tunnel shows browsers a page of its own first. */
const NO_PAGE = { "ngrok-skip-browser-warning": "1" };

/** The ngrok tunnel to the person's own bridge, which wants the access token and nothing else. `url`: https, no path. */
export function tunnel(url: string, tokens: TokenSource): Carrier {
  return {
    async ask({ method, path, body, signal }) {
      const content = body === undefined ? null : { headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
      async function send(token: string): Promise<Response> {
        return fetch(new URL(path, url), {
          method,
          headers: { ...content?.headers, Authorization: `Bearer ${token}`, ...NO_PAGE },
          ...(content && { body: content.body }),
          signal,
          credentials: "omit",
          cache: "no-store",
          redirect: "error",
        }).catch((error: unknown) => {
          throw aborted(error) ? error : new Unreachable(error);
        });
      }
      if (new URL(url).protocol !== "https:") throw new StreamError("insecure_tunnel", "The tunnel's address is not https.");
      const token = await tokens.get();
      let response = await send(token);
      if (response.status === 401) response = await send(await tokens.renew(token));
      return { status: response.status, body: pieces(response) };
    },
  };
}

async function* pieces(response: Response): AsyncGenerator<Uint8Array> {
  if (!response.body) return;
  const reader = response.body.getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw aborted(error) ? error : new Unreachable(error);
  } finally {
    reader.cancel().catch(() => undefined);
  }
}
