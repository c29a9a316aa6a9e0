"""Tokens that nobody may believe."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from world import Issuer

FORGERIES = (
    "alg none", "HS256 with the public key", "another key", "RS512", "no kid", "unknown kid", "expired", "not yet",
    "another issuer", "another audience", "no exp", "no sub", "changed", "sub with a NUL",
)  # fmt: skip


def part(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def forged(issuer: Issuer, how: str) -> str:
    """A token that is good but for one thing."""
    now = int(time.time())
    claims = issuer.claims()
    private = issuer.keys["first"]
    if how == "alg none":
        return f"{part({'alg': 'none', 'kid': 'first'})}.{part(claims)}."
    if how == "HS256 with the public key":  # by hand: the library refuses to do it
        pem = private.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        body = f"{part({'alg': 'HS256', 'kid': 'first', 'typ': 'JWT'})}.{part(claims)}"
        mac = base64.urlsafe_b64encode(hmac.new(pem, body.encode(), hashlib.sha256).digest()).rstrip(b"=").decode()
        return f"{body}.{mac}"
    if how == "another key":
        return jwt.encode(claims, rsa.generate_private_key(65537, 2048), "RS256", {"kid": "first"})
    if how == "RS512":
        return jwt.encode(claims, private, "RS512", {"kid": "first"})
    if how == "no kid":
        return jwt.encode(claims, private, "RS256")
    if how == "unknown kid":
        return jwt.encode(claims, private, "RS256", {"kid": "unknown"})
    changes: dict[str, dict[str, Any]] = {
        "expired": {"iat": now - 700, "nbf": now - 700, "exp": now - 100},
        "not yet": {"nbf": now + 300},
        "another issuer": {"iss": "somebody"},
        "another audience": {"aud": "somebody"},
        "no exp": {"exp": None},
        "no sub": {"sub": None},
        "sub with a NUL": {"sub": "ada\x00"},
    }
    if how == "changed":
        head, _, rest = issuer.token().partition(".")
        return f"{head}.{part({**claims, 'sub': 'eve'})}.{rest.partition('.')[2]}"
    return issuer.token(**changes[how])
