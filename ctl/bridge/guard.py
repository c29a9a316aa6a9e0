"""Who may come in through the tunnel: only callers with a valid access token of the person whose desktop this is."""

from __future__ import annotations

import time
from typing import Any

import aiohttp
import jwt
from aiohttp import web

from ctl.bridge.doors import Handler, carry
from ctl.bridge.local import Local, problem
from ctl.bridge.login import Login, claims_of
from ctl.bridge.reaching import Failed, ask
from ctl.bridge.wording import Status

LEEWAY = 30
KEYS_SECONDS = 300.0
AGAIN_SECONDS = 10.0
"""How often keys are asked for at most when a token names one that is not known."""


class Barred(Exception):
    """A caller who may not come in."""


class Guard:
    """Compares tokens with this person's own: the same issuer, audience and subject, signed by the issuer (RS256)."""

    def __init__(self, http: aiohttp.ClientSession, to: str, own: dict[str, Any]) -> None:
        self._http, self._to, self._own = http, to, own
        self._keys: dict[str, jwt.PyJWK] = {}
        self._asked = float("-inf")

    @classmethod
    async def of(cls, http: aiohttp.ClientSession, to: str, login: Login) -> Guard:
        """Raises AuthFailed, Failed."""
        own = claims_of(await login.token())
        if not all(own.get(name) for name in ("iss", "aud", "sub")):
            raise Failed("the tunnel needs access tokens that are JWTs with iss, aud and sub")
        guard = cls(http, to, own)
        await guard._fetch()
        return guard

    async def check(self, authorization: str) -> None:
        """Raises Barred, Failed."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise Barred
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid", "")))
            claims = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self._own["aud"],
                issuer=self._own["iss"],
                leeway=LEEWAY,
                options={"require": ["exp", "iss", "aud", "sub"]},
            )
        except jwt.PyJWTError:
            raise Barred from None
        if claims["sub"] != self._own["sub"]:
            raise Barred

    async def _key(self, kid: str) -> jwt.PyJWK:
        if not kid:  # none of the keys has no name
            raise Barred
        age = time.monotonic() - self._asked
        if age > KEYS_SECONDS or (kid not in self._keys and age > AGAIN_SECONDS):
            try:
                await self._fetch()
            except Failed:
                # While nobody can be asked, the keys count that are known.
                if kid not in self._keys:
                    raise
        if kid not in self._keys:
            raise Barred
        return self._keys[kid]

    async def _fetch(self) -> None:
        self._asked = time.monotonic()
        data = (await ask(self._http, "GET", await self._place())).data
        try:
            self._keys = {key.key_id: key for key in jwt.PyJWKSet.from_dict(data).keys if key.key_id}
        except (jwt.PyJWTError, AttributeError, TypeError) as error:
            raise Failed(f"{self._to} answered with something that is no set of keys") from error

    async def _place(self) -> str:
        """Where the keys are: an issuer that is an address says so itself, as OpenID Connect has it."""
        issuer = str(self._own["iss"])
        if not issuer.startswith("https://"):
            return f"{self._to}/.well-known/jwks.json"
        data = (await ask(self._http, "GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")).data
        found = str(data.get("jwks_uri", "")) if isinstance(data, dict) else ""
        if not found.startswith("https://"):
            raise Failed(f"{issuer} does not say where its keys are")
        return found


def guarded(guard: Guard, portal: str, local: Local, status: Status) -> Handler:
    """The tunnel's door. Pages of the portal may read its answers, and no others."""

    async def handle(request: web.Request) -> web.StreamResponse:
        cors = {}
        if request.headers.get("Origin") == portal:
            cors = {"Access-Control-Allow-Origin": portal, "Vary": "Origin"}
            if request.method == "OPTIONS":
                return web.Response(status=204, headers={**cors, **_PREFLIGHT})
        try:
            await guard.check(request.headers.get("Authorization", ""))
        except Barred:
            body = problem("invalid_token", "The access token is missing, expired, not valid, or somebody else's.")
            return web.json_response(body, status=401, headers={**cors, "WWW-Authenticate": "Bearer"})
        except Failed as error:
            status.last_error = error.message
            body = problem("keys_unavailable", "Tokens cannot be verified at the moment.")
            return web.json_response(body, status=503, headers={**cors, "Retry-After": "10"})
        return await carry(request, local, status, cors)

    return handle


_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, DELETE",
    "Access-Control-Allow-Headers": "authorization, content-type, ngrok-skip-browser-warning",
    "Access-Control-Max-Age": "600",
}
