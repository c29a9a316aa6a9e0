"""Signing keys and access tokens: RS256, 4096 bits.

A new key is published KEY_LEAD_SECONDS before it signs, so that whoever verifies knows it in time; an old one verifies
until its last token has run out.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
import uuid
from base64 import urlsafe_b64encode
from pathlib import Path
from typing import Any

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from webservice.web import Problem

from .accounts import User
from .document import Document
from .settings import Settings

LEEWAY = 30
"""Seconds that clocks may differ."""


class Key(msgspec.Struct, omit_defaults=True):
    pem: str
    signs_from: float
    verifies_until: float | None = None


class Keys(msgspec.Struct):
    """keys.json: kid → key."""

    keys: dict[str, Key] = {}


class JWK(msgspec.Struct):
    """A public key."""

    kid: str
    n: str
    e: str
    kty: str = "RSA"
    use: str = "sig"
    alg: str = "RS256"


class JWKS(msgspec.Struct):
    """The public keys that verify access tokens."""

    keys: list[JWK]


class Claims(msgspec.Struct):
    """What an access token says."""

    sub: str
    sid: str


class Keyring:
    def __init__(self, folder: Path, settings: Settings) -> None:
        self.document = Document(folder / "keys.json", Keys)
        self._settings = settings
        self._loaded: dict[str, RSAPrivateKey] = {}

    async def ensure(self) -> None:
        """Have a key; the first of several processes makes it."""
        if not self.document.read().keys:
            kid, key = await asyncio.to_thread(made, time.time())

            def edit(keys: Keys) -> None:
                if not keys.keys:
                    keys.keys[kid] = key

            await self.document.change(edit)

    async def rotate(self, *, revoke_old: bool) -> tuple[str, float]:
        """A new key: its kid, and from when it signs. Raises Problem 409 while another one waits to sign."""
        kid, key = await asyncio.to_thread(made, 0.0)

        def edit(keys: Keys) -> tuple[str, float]:
            now = time.time()
            if revoke_old:
                keys.keys.clear()
            elif any(known.signs_from > now for known in keys.keys.values()):
                raise Problem(
                    409, "rotation_under_way", "A new key is published already and begins to sign within a minute."
                )
            key.signs_from = now if revoke_old else now + self._settings.key_lead_seconds
            for known in keys.keys.values():
                ends = key.signs_from + self._settings.access_seconds + LEEWAY
                known.verifies_until = min(ends, known.verifies_until or ends)
            keys.keys[kid] = key
            return kid, key.signs_from

        return await self.document.change(edit)

    async def prune(self) -> None:
        now = time.time()

        def old(keys: Keys) -> list[str]:
            return [
                kid for kid, key in keys.keys.items() if key.verifies_until is not None and key.verifies_until < now
            ]

        def edit(keys: Keys) -> None:
            for kid in old(keys):
                del keys.keys[kid]

        if old(self.document.read()):
            await self.document.change(edit)

    def public(self) -> JWKS:
        now = time.time()
        live = {kid: key for kid, key in self.document.read().keys.items() if (key.verifies_until or now) >= now}
        return JWKS([as_jwk(kid, self._private(kid, key)) for kid, key in live.items()])

    async def sign(self, user: User, sid: str) -> str:
        now = time.time()
        kid, key = max(
            ((kid, key) for kid, key in self.document.read().keys.items() if key.signs_from <= now),
            key=lambda item: item[1].signs_from,
        )
        claims = {
            "iss": self._settings.issuer,
            "aud": self._settings.audience,
            "sub": user.id,
            "sid": sid,
            "email": user.email,
            "name": user.name,
            "role": user.role,
            "iat": int(now),
            "nbf": int(now),
            "exp": int(now) + self._settings.access_seconds,
            "jti": uuid.uuid4().hex,
        }
        private = self._private(kid, key)
        return await asyncio.to_thread(lambda: jwt.encode(claims, private, "RS256", {"kid": kid}))

    def verify(self, token: str) -> Claims:
        """Raises Problem 401."""
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = self.document.read().keys.get(kid) if isinstance(kid, str) else None
            if key is None:
                raise jwt.InvalidTokenError
            claims: dict[str, Any] = jwt.decode(
                token,
                self._private(str(kid), key).public_key(),
                algorithms=["RS256"],
                audience=self._settings.audience,
                issuer=self._settings.issuer,
                leeway=LEEWAY if key.verifies_until else 5,
                options={"require": ["exp", "iat", "nbf", "sub", "sid", "iss", "aud"]},
            )
            return msgspec.convert(claims, Claims)
        except (jwt.InvalidTokenError, msgspec.ValidationError):
            raise invalid_token() from None

    def _private(self, kid: str, key: Key) -> RSAPrivateKey:
        if kid not in self._loaded:
            private = serialization.load_pem_private_key(key.pem.encode(), None)
            if not isinstance(private, RSAPrivateKey):
                raise Problem(503, "storage_damaged", "keys.json holds a key that is not RSA.", retry_after=30)
            self._loaded[kid] = private
        return self._loaded[kid]


def invalid_token() -> Problem:
    problem = Problem(401, "invalid_token", "The access token is missing, expired or not valid.")
    problem.headers["www-authenticate"] = 'Bearer error="invalid_token"'
    return problem


def made(signs_from: float) -> tuple[str, Key]:
    """A new key and its kid, the thumbprint of RFC 7638. Takes seconds."""
    private = generate_private_key(65537, 4096)
    pem = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    return as_jwk("", private).kid, Key(pem, signs_from)


def as_jwk(kid: str, private: RSAPrivateKey) -> JWK:
    numbers = private.public_key().public_numbers()
    n, e = number(numbers.n), number(numbers.e)
    thumbprint = hashlib.sha256(f'{{"e":"{e}","kty":"RSA","n":"{n}"}}'.encode()).digest()
    return JWK(kid or urlsafe_b64encode(thumbprint).rstrip(b"=").decode(), n, e)


def number(value: int) -> str:
    return urlsafe_b64encode(value.to_bytes((value.bit_length() + 7) // 8, "big")).rstrip(b"=").decode()
