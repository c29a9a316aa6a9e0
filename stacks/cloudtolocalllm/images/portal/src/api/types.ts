/** What the API says, as its document words it. Moments are ISO 8601. */

export interface Session {
  sessionId: string;
  name: string;
  endpoint: string;
  live: boolean;
  /** Whether a desktop is connected, as far as the API knows: it asks the proxies every 30 s. */
  desktop: boolean;
  started: string;
  ended: string | null;
  /** Why it ended: idle, asked, unhealthy, lost. */
  reason: string | null;
  seconds: number;
  bytesIn: number;
  bytesOut: number;
  /** The ngrok address of the desktop's bridge. */
  tunnel: string | null;
}

/** As an admin sees it. */
export interface AnyonesSession extends Session {
  /** Whose it is: the token's `sub`. */
  user: string;
}

export interface Token {
  token: string;
  expiresAt: string;
}
