/** What the services say, as their contract words it. Times are ISO 8601. */

import type { User } from "../page/api/types";

export interface Models {
  models: { id: string; name: string }[];
  default: string | null;
  /** A line for people, when the models are a stand-in. */
  notice: string | null;
}

export interface Session {
  id: string;
  title: string | null;
  model: string | null;
  created_at: string;
  updated_at: string;
}

export interface Message {
  id: string;
  role: "user" | "assistant" | "system";
  content: string;
  model: string | null;
  finish_reason: string | null;
  created_at: string;
}

export interface SessionPage {
  sessions: Session[];
  next: string | null;
}

export interface Transcript {
  session: Session;
  messages: Message[];
}

export interface UserPage {
  users: User[];
  next: string | null;
}

/** The events of an answer, in the order in which they come: one `session`, tokens, then `done` or `error`. */
export type AnswerEvent =
  | { event: "session"; session: Session; user_message: { id: string } }
  | { event: "token"; text: string }
  | { event: "done"; message: { id: string; content?: string; finish_reason: string | null }; session: Session }
  | { event: "error"; code: string; message: string; retry_after?: number };
