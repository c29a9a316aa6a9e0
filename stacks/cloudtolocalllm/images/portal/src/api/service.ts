import type { Http } from "../page/api/http";
import type { AnyonesSession, Session, Token } from "./types";

/** The API's paths, one function each. */
export interface Service {
  sessions(signal?: AbortSignal): Promise<Session[]>;
  /** Of all people, live. For admins. */
  everyones(signal?: AbortSignal): Promise<AnyonesSession[]>;
  /** Begins a session, or takes up the one that is live. */
  create(): Promise<{ sessionId: string; endpoint: string; name: string }>;
  end(sessionId: string): Promise<void>;
  token(sessionId: string): Promise<Token>;
}

export function service(http: Http, api: string): Service {
  const path = (sessionId: string) => `${api}/api/streaming/${encodeURIComponent(sessionId)}`;
  const list = async <T>(address: string, signal?: AbortSignal) =>
    (await http.json<{ sessions: T[] }>("GET", address, signal ? { signal } : {})).sessions;
  return {
    sessions: (signal) => list<Session>(`${api}/api/streaming/sessions?limit=30`, signal),
    everyones: (signal) => list<AnyonesSession>(`${api}/api/admin/streaming/sessions?live=true&limit=200`, signal),
    create: () => http.json("POST", `${api}/api/streaming/create`, { body: {} }),
    end: (sessionId) => http.json("DELETE", path(sessionId)),
    token: (sessionId) => http.json("POST", `${path(sessionId)}/token`, { body: { role: "client" } }),
  };
}
