/** What the API says, as the contract of the stack words it. Moments are ISO 8601 or seconds since 1970. */

export type Moment = string | number;

export interface Session {
  sessionId: string;
  name: string;
  endpoint: string;
  live: boolean;
  /** Whether a desktop is connected, as far as the API knows: it asks the proxies every 30 s. */
  desktop: boolean;
  started: Moment;
  ended: Moment | null;
  /** Why it ended. */
  reason: string | null;
  seconds: number;
  bytesIn: number;
  bytesOut: number;
  /** The ngrok address of the desktop's bridge. */
  tunnel: string | null;
}

/** As an admin sees it. */
export interface AnyonesSession extends Session {
  user: string;
  email?: string | null;
}

export interface Token {
  token: string;
  expiresAt: Moment;
}

/** In ms since 1970. */
export function msOf(moment: Moment): number {
  return typeof moment === "number" ? moment * 1000 : Date.parse(moment);
}
