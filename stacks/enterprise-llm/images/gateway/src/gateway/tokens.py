"""Who asks: access tokens verified offline against the published keys, and the list of those to refuse."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Generic, TypeVar

import aiohttp
import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from .settings import Settings
from .web import Problem

log = logging.getLogger("gateway")

T = TypeVar("T")
LEEWAY = 10
"""Seconds that clocks may differ."""
POLL_SECONDS = 5
MIN_REFRESH_SECONDS = 2
"""Between two downloads that unknown key ids cause: an attacker who makes some up does not hammer the auth service."""
CACHE = 10_000


class JWK(msgspec.Struct):
    kid: str
    kty: str
    n: str = ""
    e: str = ""
    use: str = "sig"
    alg: str = "RS256"


class JWKS(msgspec.Struct):
    keys: list[JWK]


class Revoked(msgspec.Struct):
    users: dict[str, float] = {}
    logins: dict[str, float] = {}


class Claims(msgspec.Struct, frozen=True):
    sub: str
    email: str
    exp: int
    sid: str = ""


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
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._keys: Source[dict[str, RSAPublicKey]] = Source(settings.jwks_file, settings.jwks_url, parse_keys)
        self._revoked: Source[Revoked] = Source(
            settings.revoked_file, settings.revoked_url, lambda raw: msgspec.json.decode(raw, type=Revoked)
        )
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
            await self._keys.fetch(http, POLL_SECONDS / 2)
            await self._revoked.fetch(http, POLL_SECONDS / 2)
            await asyncio.sleep(POLL_SECONDS if self.ready else 1)

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
        domains = self._settings.allowed_domains
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

    def _check(self, token: str, key: RSAPublicKey) -> Claims:
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["RS256"],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY,
                options={"require": ["exp", "iat", "nbf", "sub", "iss", "aud"]},
            )
            return msgspec.convert(claims, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError):
            raise refused() from None


def refused() -> Problem:
    problem = Problem(401, "invalid_token", "The access token is missing, expired or not valid.")
    problem.headers["www-authenticate"] = 'Bearer error="invalid_token"'
    return problem
