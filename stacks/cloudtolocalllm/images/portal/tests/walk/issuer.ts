/**
 * A stand-in for an issuer of OpenID Connect with one person, who is logged in there already: discovery, the code flow with PKCE, refresh tokens
 * that are good once, log-out. What a strict issuer would refuse is a fault of the page.
 */
import { createHash, randomUUID } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { json } from "../page/answers";
import type { Logins, User } from "../page/logins";

export const ISSUER = "login.example.net";
export const OIDC = { issuer: `https://${ISSUER}/`, client: "portal", audience: "cloudtolocalllm" };

export class Issuer {
  readonly faults: string[] = [];
  /** Nobody is let in. */
  barred = false;
  seconds = 600;
  refreshed = 0;
  readonly #codes = new Map<string, { challenge: string; nonce: string; redirect: string }>();
  readonly #refresh = new Set<string>();

  constructor(
    readonly logins: Logins,
    readonly user: User,
    readonly home: string,
  ) {}

  async handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? "/", `https://${ISSUER}`);
    response.setHeader("Access-Control-Allow-Origin", "*");
    switch (`${request.method} ${pathname}`) {
      case "GET /.well-known/openid-configuration": {
        const at = (path: string) => `https://${ISSUER}/${path}`;
        return json(response, 200, { issuer: OIDC.issuer, authorization_endpoint: at("authorize?tenant=1"), token_endpoint: at("token"), end_session_endpoint: at("logout") });
      }
      case "GET /authorize":
        return this.#authorize(searchParams, response);
      case "POST /token":
        return this.#token(new URLSearchParams(await text(request)), response);
      case "GET /logout":
        if (searchParams.get("post_logout_redirect_uri") !== this.home || !searchParams.has("id_token_hint")) this.faults.push(`log-out: ${searchParams}`);
        return redirect(response, this.home, {});
      default:
        this.faults.push(`${request.method} ${pathname}`);
        return json(response, 404, {});
    }
  }

  #authorize(asked: URLSearchParams, response: ServerResponse): void {
    const told = (name: string) => asked.get(name) ?? "";
    const right = told("client_id") === OIDC.client && told("redirect_uri") === this.home && told("response_type") === "code" && told("audience") === OIDC.audience && told("code_challenge_method") === "S256" && told("tenant") === "1";
    if (!right || told("state").length < 20 || told("nonce").length < 20) this.faults.push(`authorize: ${asked}`);
    if (this.barred) return redirect(response, this.home, { error: "access_denied", error_description: "You are not invited yet.", state: told("state") });
    const code = randomUUID();
    this.#codes.set(code, { challenge: told("code_challenge"), nonce: told("nonce"), redirect: told("redirect_uri") });
    return redirect(response, this.home, { code, state: told("state") });
  }

  #token(asked: URLSearchParams, response: ServerResponse): void {
    let nonce: string | undefined;
    if (asked.get("grant_type") === "authorization_code") {
      const code = this.#codes.get(asked.get("code") ?? "");
      this.#codes.delete(asked.get("code") ?? "");
      const challenge = createHash("sha256").update(asked.get("code_verifier") ?? "").digest("base64url");
      if (!code || code.challenge !== challenge || code.redirect !== asked.get("redirect_uri")) return json(response, 400, { error: "invalid_grant" });
      ({ nonce } = code);
    } else {
      if (!this.#refresh.delete(asked.get("refresh_token") ?? "")) return json(response, 400, { error: "invalid_grant" });
      this.refreshed += 1;
    }
    const [refresh, { id, email, name, role }] = [randomUUID(), this.user];
    this.#refresh.add(refresh);
    const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const idToken = `${part({ alg: "none" })}.${part({ sub: id, email, name, role, nonce })}.`;
    json(response, 200, { access_token: this.logins.issue(this.user), token_type: "Bearer", expires_in: this.seconds, id_token: idToken, refresh_token: refresh });
  }
}

function redirect(response: ServerResponse, to: string, values: Record<string, string>): void {
  const address = new URL(to);
  for (const [name, value] of Object.entries(values)) address.searchParams.set(name, value);
  response.writeHead(302, { Location: address.href }).end();
}

async function text(request: IncomingMessage): Promise<string> {
  let all = "";
  for await (const chunk of request) all += String(chunk);
  return all;
}
