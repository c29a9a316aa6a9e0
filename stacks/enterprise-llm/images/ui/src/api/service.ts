import type { Http } from "../page/api/http";
import type { Role, User } from "../page/api/types";
import { answer } from "./answer";
import type { AnswerEvent, Models, Session, SessionPage, Transcript, UserPage } from "./types";

/** The services' paths, one function each. */
export interface Service {
  models(): Promise<Models>;
  sessions(query: string, cursor: string | null, signal?: AbortSignal): Promise<SessionPage>;
  transcript(id: string): Promise<Transcript>;
  rename(id: string, title: string): Promise<Session>;
  /** `leaving`: the page is about to go away. */
  remove(id: string, leaving?: boolean): Promise<void>;
  chat(message: string, session: string | null, model: string | null, signal: AbortSignal): AsyncGenerator<AnswerEvent>;
  retry(session: string, model: string | null, signal: AbortSignal): AsyncGenerator<AnswerEvent>;
  changePassword(current: string, replacement: string): Promise<void>;
  users(query: string, cursor: string | null, signal?: AbortSignal): Promise<UserPage>;
  addUser(user: { email: string; password: string; name: string; role: Role }): Promise<User>;
  changeUser(id: string, change: { disabled?: boolean; role?: Role; name?: string }): Promise<User>;
  rotateKey(): Promise<{ kid: string }>;
}

export function service(http: Http): Service {
  const optional = (model: string | null) => (model === null ? {} : { model });
  return {
    models: () => http.json("GET", "/api/models"),
    sessions: (query, cursor, signal) => http.json("GET", `/api/sessions?${page(query, cursor, 30)}`, signal ? { signal } : {}),
    transcript: (id) => http.json("GET", `/api/sessions/${encodeURIComponent(id)}`),
    rename: (id, title) => http.json("PATCH", `/api/sessions/${encodeURIComponent(id)}`, { body: { title } }),
    remove: (id, leaving = false) => http.json("DELETE", `/api/sessions/${encodeURIComponent(id)}`, { keepalive: leaving }),
    chat: (message, session, model, signal) =>
      answer(http, "/api/chat", {
        body: { message, ...(session === null ? {} : { session_id: session }), ...optional(model), stream: true },
        signal,
      }),
    retry: (session, model, signal) =>
      answer(http, `/api/sessions/${encodeURIComponent(session)}/retry`, { body: { ...optional(model), stream: true }, signal }),
    changePassword: (current, replacement) =>
      http.json("POST", "/auth/password", { body: { current, new: replacement } }),
    users: (query, cursor, signal) => http.json("GET", `/auth/users?${page(query, cursor, 50)}`, signal ? { signal } : {}),
    addUser: (user) => http.json("POST", "/auth/users", { body: user }),
    changeUser: (id, change) => http.json("PATCH", `/auth/users/${encodeURIComponent(id)}`, { body: change }),
    rotateKey: () => http.json("POST", "/auth/keys/rotate"),
  };
}

function page(query: string, cursor: string | null, limit: number): URLSearchParams {
  const wanted = new URLSearchParams({ limit: String(limit) });
  if (query !== "") wanted.set("query", query);
  if (cursor !== null) wanted.set("cursor", cursor);
  return wanted;
}
