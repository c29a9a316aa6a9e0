"""What comes in and what goes out, as JSON."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import Meta

from .session_tokens import Role

SESSION_ID = re.compile(r"[a-z2-7]{26}")
Url = Annotated[str, Meta(max_length=500, pattern=r"^https://[a-z0-9][a-z0-9.-]*(:[0-9]{1,5})?(/[!-~]*)?$")]


class CreateBody(msgspec.Struct, forbid_unknown_fields=True):
    """Nothing has to be said."""


class TokenBody(msgspec.Struct, forbid_unknown_fields=True):
    """`client` asks, `desktop` answers."""

    role: Role


class TunnelBody(msgspec.Struct, forbid_unknown_fields=True):
    """Where the desktop can be reached while the proxy cannot; null when nowhere."""

    url: Url | None


class SessionsQuery(msgspec.Struct):
    live: bool = False
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(pattern=r"^([0-9]{16}\.[a-z2-7]{26})?$")] = ""


class Created(msgspec.Struct, rename="camel"):
    """One's session, with a token of the role `client` for its endpoint."""

    endpoint: str
    session_id: str
    name: str
    token: str
    expires_at: datetime


class SessionToken(msgspec.Struct, rename="camel"):
    """A token for the session's endpoint."""

    token: str
    expires_at: datetime


class Session(msgspec.Struct, rename="camel"):
    """A session. `reason`, once it has ended: idle, asked, unhealthy, or lost."""

    session_id: str
    name: str
    endpoint: str
    live: bool
    desktop: bool
    bytes_in: int
    bytes_out: int
    tunnel: str | None
    started: datetime
    last_activity: datetime | None
    ended: datetime | None
    reason: str | None
    seconds: int


class Sessions(msgspec.Struct):
    """A page of one's sessions, the latest first. `next` is the cursor of the next page."""

    sessions: list[Session]
    next: str | None


class UserSession(Session, kw_only=True):
    """A session and whose it is: the token's `sub`."""

    user: str


class UserSessions(msgspec.Struct):
    """A page of everybody's sessions, the latest first. `next` is the cursor of the next page."""

    sessions: list[UserSession]
    next: str | None


class Health(msgspec.Struct):
    """How it is."""

    status: str
