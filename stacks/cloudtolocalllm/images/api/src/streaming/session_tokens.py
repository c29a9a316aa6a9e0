"""The tokens that a session's proxy accepts. It knows only the key of its own session, never a person's login."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from typing import Literal

from itsdangerous import URLSafeTimedSerializer

Role = Literal["client", "desktop"]
SECONDS = 15 * 60


def session_key(streaming_key: str, session: str) -> str:
    return hmac.new(streaming_key.encode(), session.encode(), hashlib.sha256).hexdigest()


def sign(streaming_key: str, session: str, role: Role, until: int) -> str:
    """`until` in seconds since 1970."""
    claims = {"sid": session, "role": role, "until": until, "id": secrets.token_hex(8)}
    signed = URLSafeTimedSerializer(session_key(streaming_key, session), salt="session").dumps(claims)
    return signed if isinstance(signed, str) else signed.decode()


def ends(login_ends: int) -> int:
    """When a token that is made now ends: never after the login for which it is made."""
    return min(int(time.time()) + SECONDS, login_ends)
