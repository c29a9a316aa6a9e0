import { SignedOut, Unreachable } from "../page/api/errors";
import type { Login, User } from "../page/api/types";
import type { Entry } from "../page/identity";
import { store } from "../page/store";
import type { Oidc } from "../settings";

/**
 * Log-in at an issuer of OpenID Connect: the code flow with PKCE. The tokens are in memory only; after a reload the person goes
 * through the issuer again, which knows them by its own cookie.
 */

/** Why the issuer let nobody in. */
export const trouble = store<string | null>(null);

interface Discovered {
  authorization_endpoint: string;
  token_endpoint: string;
  end_session_endpoint?: string;
}

interface Answer {
  access_token: string;
  expires_in: number;
  id_token?: string;
  refresh_token?: string;
}

interface Claims {
  sub: string;
  nonce?: string;
  name?: string;
  email?: string;
  role?: string;
}

const KEPT = "oidc";
let refreshToken: string | null = null;
let idToken: string | null = null;

const home = () => `${location.origin}/`;

async function discover({ issuer }: Oidc): Promise<Discovered> {
  const response = await reached(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`);
  if (!response.ok) throw new Unreachable();
  return (await response.json()) as Discovered;
}

/** Throws Unreachable. */
async function reached(address: string, body?: URLSearchParams): Promise<Response> {
  const response = await fetch(address, body ? { method: "POST", body, cache: "no-store" } : {}).catch((error: unknown) => {
    throw new Unreachable(error);
  });
  if (response.status >= 500) throw new Unreachable();
  return response;
}

/** Leads to the issuer's log-in page. Throws Unreachable. */
export async function leave(oidc: Oidc): Promise<void> {
  const { authorization_endpoint } = await discover(oidc);
  const [verifier, state, nonce] = [random(), random(), random()];
  sessionStorage.setItem(KEPT, JSON.stringify({ verifier, state, nonce }));
  const challenge = base64url(new Uint8Array(await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier))));
  const address = new URL(authorization_endpoint);
  const wanted = {
    response_type: "code", client_id: oidc.client, redirect_uri: home(), scope: "openid profile email offline_access", audience: oidc.audience,
    state, nonce, code_challenge: challenge, code_challenge_method: "S256",
  };
  for (const [name, value] of Object.entries(wanted)) address.searchParams.set(name, value);
  location.assign(address);
}

/** What the issuer sent the browser back with, once; null if it did not. Throws SignedOut if it is not what was asked for. */
function returned(): { code: string; verifier: string; nonce: string } | null {
  const told = new URLSearchParams(location.search);
  const kept = sessionStorage.getItem(KEPT);
  sessionStorage.removeItem(KEPT);
  if (!told.has("state")) return null;
  history.replaceState(null, "", location.pathname + location.hash);
  const { verifier, state, nonce } = JSON.parse(kept ?? "{}") as { verifier?: string; state?: string; nonce?: string };
  const code = told.get("code");
  if (code === null) trouble.set(told.get("error_description") ?? told.get("error") ?? "The issuer let nobody in.");
  if (code === null || !verifier || !nonce || told.get("state") !== state) throw new SignedOut();
  return { code, verifier, nonce };
}

export function entryAt(oidc: Oidc, name: string): Entry {
  async function tokensFor(grant: Record<string, string>, nonce: string | null): Promise<Login> {
    const { token_endpoint } = await discover(oidc);
    const body = new URLSearchParams({ client_id: oidc.client, ...grant });
    const response = await reached(token_endpoint, body);
    if (!response.ok) throw new SignedOut();
    const told = (await response.json()) as Answer;
    // From the issuer itself, over TLS: its signature need not be looked at.
    const claims = claimsOf(told.id_token ?? idToken ?? told.access_token);
    if (nonce !== null && claims.nonce !== nonce) throw new SignedOut();
    refreshToken = told.refresh_token ?? refreshToken;
    idToken = told.id_token ?? idToken;
    return { access_token: told.access_token, token_type: "Bearer", expires_in: told.expires_in, user: userOf(claims, told.access_token) };
  }

  return {
    config: async () => ({ name, registration: { open: false, domains: [] } }),
    async refresh() {
      const back = returned();
      if (back) return tokensFor({ grant_type: "authorization_code", code: back.code, code_verifier: back.verifier, redirect_uri: home() }, back.nonce);
      if (refreshToken === null) throw new SignedOut();
      return tokensFor({ grant_type: "refresh_token", refresh_token: refreshToken }, null);
    },
    async logout() {
      const hint = idToken;
      refreshToken = null;
      idToken = null;
      const { end_session_endpoint } = await discover(oidc);
      if (!end_session_endpoint) return;
      const address = new URL(end_session_endpoint);
      address.searchParams.set("client_id", oidc.client);
      address.searchParams.set("post_logout_redirect_uri", home());
      if (hint !== null) address.searchParams.set("id_token_hint", hint);
      location.assign(address);
    },
  };
}

/** What the API takes from the access token decides; this only says which pages are worth to be shown. */
function userOf({ sub, name, email, role }: Claims, access: string): User {
  let admin = role === "admin";
  try {
    admin ||= claimsOf(access).role === "admin";
  } catch {
    // An access token that only the issuer can read.
  }
  return { id: sub, email: email ?? sub, name: name ?? email ?? sub, role: admin ? "admin" : "user", disabled: false };
}

/** Throws SignedOut for what is no JWT. */
export function claimsOf(token: string): Claims {
  try {
    const payload = (token.split(".")[1] ?? "").replaceAll("-", "+").replaceAll("_", "/");
    const claims = JSON.parse(new TextDecoder().decode(Uint8Array.from(atob(payload), (c) => c.charCodeAt(0)))) as Claims;
    if (typeof claims.sub === "string") return claims;
  } catch {
    // Said below.
  }
  throw new SignedOut();
}

function random(): string {
  return base64url(crypto.getRandomValues(new Uint8Array(32)));
}

function base64url(bytes: Uint8Array): string {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}
