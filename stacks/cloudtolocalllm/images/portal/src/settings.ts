/** What ctl has written for this page: /settings.json. */
export interface Settings {
  /** Of the service, for people. */
  name: string;
  /** The API's address: `https://api.example.org`. */
  api: string;
  /** Another issuer of tokens than the auth service of this origin; null without one. */
  oidc: Oidc | null;
}

export interface Oidc {
  issuer: string;
  /** The id by which the issuer knows this page: a public client, whose redirect address is this origin and "/". */
  client: string;
  /** For whom access tokens have to be: the API. */
  audience: string;
}

let offset = 0;

/** The server's time in ms: a desktop's clock may be wrong, and handshakes hold the time. */
export function serverNow(): number {
  return Date.now() + offset;
}

/** Throws when there are none, or they are not settings. */
export async function loadSettings(): Promise<Settings> {
  const response = await fetch("/settings.json", { cache: "no-store" });
  if (!response.ok) throw new Error(`/settings.json: ${response.status}`);
  const told = Date.parse(response.headers.get("Date") ?? "") - Date.now();
  // The header has no fractions, and took a while to come.
  if (Math.abs(told) > 3000) offset = told;
  const { name, api, oidc = null } = (await response.json()) as Partial<Settings>;
  if (typeof name !== "string" || typeof api !== "string") throw new Error("/settings.json has no name or no api");
  return { name, api: new URL(api).origin, oidc };
}
