"""Who asks: access tokens verified offline against the published keys, and the list of those to refuse."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Generic, TypeVar

import aiohttp
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from .api import Call
from .environment import Environment
from .web import Problem

log = logging.getLogger("webservice")

T = TypeVar("T")
LEEWAY = 10
"""Seconds that clocks may differ."""
POLL_SECONDS = 5
MIN_REFRESH_SECONDS = 2
"""Between two downloads that unknown key ids cause: an attacker who makes some up does not hammer the issuer."""
DISCOVERY_SECONDS = 600
CACHE = 10_000


@dataclass(frozen=True)
class Trust:
    """Whose tokens are believed: one issuer's, for one audience, signed with RS256 by a key that it has published.

    Without a place of the keys the issuer, a URL then, is asked for it: OpenID Connect Discovery. Where `domains` are
    named, only e-mail addresses of these are let in.
    """

    issuer: str
    audience: str
    jwks_file: Path | None = None
    jwks_url: str = ""
    revoked_file: Path | None = None
    revoked_url: str = ""
    domains: frozenset[str] = frozenset()
    roles_claim: str = "role"


def trust(env: Environment) -> Trust:
    """What the environment says of it; what is wrong is said by `env.done()`."""
    web = ("http", "https")
    found = Trust(
        issuer=env.text("ISSUER", "auth"),
        audience=env.text("AUDIENCE", "gateway"),
        jwks_file=env.path("JWKS_FILE"),
        jwks_url=env.url("JWKS_URL", "", web),
        revoked_file=env.path("REVOKED_FILE"),
        revoked_url=env.url("REVOKED_URL", "", web),
        domains=frozenset(domain.lower() for domain in env.words("ALLOWED_DOMAINS")),
        roles_claim=env.text("ROLES_CLAIM", "role"),
    )
    if found.jwks_file and found.jwks_url:
        env.refuse("only one of JWKS_FILE and JWKS_URL may be set")
    if not (found.jwks_file or found.jwks_url or found.issuer.startswith(("https://", "http://"))):
        env.refuse("one of JWKS_FILE and JWKS_URL has to be set, unless ISSUER is a URL that can be asked for it")
    return found


class JWK(msgspec.Struct):
    kty: str
    kid: str = ""
    n: str = ""
    e: str = ""
    use: str = "sig"
    alg: str = "RS256"


class JWKS(msgspec.Struct):
    keys: list[JWK]


class Revoked(msgspec.Struct):
    users: dict[str, float] = {}
    logins: dict[str, float] = {}


class Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str


class Claims(msgspec.Struct, frozen=True):
    """What a good token says. `exp` is in seconds since 1970; no e-mail is an empty one."""

    sub: Annotated[str, msgspec.Meta(pattern=r"\A[^\x00-\x1f\x7f]{1,255}\Z")]
    exp: int
    email: str = ""
    sid: str = ""
    roles: tuple[str, ...] = ()


class Source(Generic[T]):
    """Something published in a file or at a URL; keeps what it last had while it cannot be read."""

    def __init__(self, file: Path | None, url: str, parse: Callable[[bytes], T]) -> None:
        self.value: T | None = None
        self._file, self._url, self._parse = file, url, parse
        self._seen: tuple[int, int, int] | None = None
        self._looked = -1e9
        self._loading = asyncio.Lock()
        self._troubled = False

    @property
    def given(self) -> bool:
        return bool(self._file or self._url)

    def move(self, url: str) -> None:
        """Ask that URL from now on."""
        self._url = url

    def glance(self, seconds: float) -> None:
        """Look at the file, if that was not done within `seconds`. Costs a stat."""
        now = time.monotonic()
        if self._file is None or now - self._looked < seconds:
            return
        self._looked = now
        try:
            status = self._file.stat()
            seen = (status.st_ino, status.st_mtime_ns, status.st_size)
            if seen != self._seen:
                self._take(self._file.read_bytes())
                self._seen = seen
        except OSError as error:
            self._trouble(error)

    async def fetch(self, http: aiohttp.ClientSession, seconds: float) -> None:
        """Ask the URL, if that was not done within `seconds`; callers at the same time wait for one answer."""
        async with self._loading:
            if not self._url or time.monotonic() - self._looked < seconds:
                return
            self._looked = time.monotonic()
            try:
                async with http.get(self._url, timeout=aiohttp.ClientTimeout(total=3)) as answer:
                    answer.raise_for_status()
                    self._take(await answer.content.read(2**20))
            except (aiohttp.ClientError, TimeoutError) as error:
                self._trouble(error)

    def _take(self, raw: bytes) -> None:
        try:
            self.value = self._parse(raw)
        except (msgspec.MsgspecError, jwt.PyJWTError, ValueError) as error:
            self._trouble(error)
        else:
            if self._troubled:
                log.info("readable again", extra={"fields": {"source": str(self._file or self._url)}})
            self._troubled = False

    def _trouble(self, error: Exception) -> None:
        if not self._troubled:
            fields = {"source": str(self._file or self._url), "type": type(error).__name__}
            log.warning("cannot be read; what was read last is kept", extra={"fields": fields})
        self._troubled = True


def parse_keys(raw: bytes) -> dict[str, RSAPublicKey]:
    keys: dict[str, RSAPublicKey] = {}
    for key in msgspec.json.decode(raw, type=JWKS).keys:
        if key.kty != "RSA" or key.use != "sig" or key.alg != "RS256":
            continue
        public = jwt.PyJWK(msgspec.to_builtins(key), "RS256").key
        if isinstance(public, RSAPublicKey) and public.key_size >= 2048:
            keys[key.kid] = public
    return keys


class Verifier:
    def __init__(self, trust: Trust) -> None:
        self._trust = trust
        self._keys: Source[dict[str, RSAPublicKey]] = Source(trust.jwks_file, trust.jwks_url, parse_keys)
        self._revoked: Source[Revoked] = Source(
            trust.revoked_file, trust.revoked_url, lambda raw: msgspec.json.decode(raw, type=Revoked)
        )
        discovery = "" if self._keys.given else f"{trust.issuer.rstrip('/')}/.well-known/openid-configuration"
        self._discovery: Source[str] = Source(None, discovery, self._keys_place)
        self._http: aiohttp.ClientSession | None = None
        self._good: dict[str, Claims] = {}
        self._good_for: dict[str, RSAPublicKey] | None = None

    @property
    def ready(self) -> bool:
        """Whether there are keys, and the list of refused tokens where one was promised."""
        self._keys.glance(1)
        self._revoked.glance(1)
        return bool(self._keys.value) and not (self._revoked.given and self._revoked.value is None)

    async def poll(self, http: aiohttp.ClientSession) -> None:
        """Runs beside the requests, for ever."""
        self._http = http
        while True:
            if self._discovery.given:
                await self._discovery.fetch(http, DISCOVERY_SECONDS if self._discovery.value else 1)
                self._keys.move(self._discovery.value or "")
            await self._keys.fetch(http, POLL_SECONDS / 2)
            await self._revoked.fetch(http, POLL_SECONDS / 2)
            await asyncio.sleep(POLL_SECONDS if self.ready else 1)

    async def caller(self, call: Call) -> Claims:
        """Who calls: sets `call.user`. Raises as `verify` does."""
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise refused()
        claims = call.user = await self.verify(token.strip())
        call.scope["user_id"] = claims.sub
        return claims

    async def verify(self, token: str) -> Claims:
        """Raises Problem 401, 403, and 503 while there are no keys."""
        self._keys.glance(1)
        self._revoked.glance(1)
        if not self.ready:
            raise Problem(503, "keys_unavailable", "Logins cannot be checked for now.", retry_after=2)
        if self._good_for is not self._keys.value:
            self._good.clear()
            self._good_for = self._keys.value
        claims = self._good.get(token)
        if claims is None or claims.exp + LEEWAY <= time.time():
            claims = self._check(token, await self._key(token))
            if len(self._good) >= CACHE:
                self._good.clear()
            self._good[token] = claims
        revoked = self._revoked.value
        if revoked is not None and (claims.sub in revoked.users or claims.sid in revoked.logins):
            raise refused()
        domains = self._trust.domains
        _, at, domain = claims.email.lower().rpartition("@")
        if domains and not (at and domain in domains):
            raise Problem(403, "domain_not_allowed", "Accounts of this e-mail domain may not use this service.")
        return claims

    async def _key(self, token: str) -> RSAPublicKey:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError:
            raise refused() from None
        kid = header.get("kid")
        if header.get("alg") != "RS256" or not isinstance(kid, str):
            raise refused()
        if kid not in (self._keys.value or {}):
            self._keys.glance(0)
            if self._http is not None and kid not in (self._keys.value or {}):
                await self._keys.fetch(self._http, MIN_REFRESH_SECONDS)
        key = (self._keys.value or {}).get(kid)
        if key is None:
            raise refused()
        return key

    def _keys_place(self, raw: bytes) -> str:
        found = msgspec.json.decode(raw, type=Discovery)
        if found.issuer != self._trust.issuer or not found.jwks_uri.startswith(("https://", "http://")):
            raise ValueError
        return found.jwks_uri

    def _check(self, token: str, key: RSAPublicKey) -> Claims:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self._trust.audience,
                issuer=self._trust.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
            roles = claims.get(self._trust.roles_claim, [])
            return msgspec.convert({**claims, "roles": [roles] if isinstance(roles, str) else roles}, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError):
            raise refused() from None


def refused() -> Problem:
    problem = Problem(401, "invalid_token", "The access token is missing, expired or not valid.")
    problem.headers["www-authenticate"] = 'Bearer error="invalid_token"'
    return problem
