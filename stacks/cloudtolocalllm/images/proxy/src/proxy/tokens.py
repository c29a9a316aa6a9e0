"""Who may come in: session tokens, signed with this session's own key, each good for one role and for a while."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from itsdangerous import BadData, URLSafeTimedSerializer

from .frames import Auth, Close

Role = Literal["client", "desktop", "control"]
RANDOM = re.compile(r"[0-9a-f]{16}")


class Refused(Exception):
    """A token that does not open this door. `close` is for a WebSocket; `status`, `code` and `message` for HTTP."""

    def __init__(self, close: Close, status: int, code: str, message: str) -> None:
        super().__init__(code)
        self.close = close
        self.status = status
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Grant:
    session_id: str
    role: Role
    until: int
    """Unix seconds."""
    id: str
    made: float
    """Unix seconds."""


class Tokens:
    """Checks tokens, and remembers those that opened a WebSocket until they have run out.

    That memory goes with the process. What was made before the process is therefore no good for a handshake, but for
    5 s: who asks for a token while the container starts has one of those.
    """

    def __init__(self, session_id: str, key: str, now: Callable[[], float], clock_seconds: int) -> None:
        self._session_id = session_id
        self._serializer = URLSafeTimedSerializer(key, salt="session")
        self._now = now
        self._clock_seconds = clock_seconds
        self._earliest = int(now()) - 5
        self._used: dict[str, int] = {}

    def check(self, token: str, role: Role) -> Grant:
        """For a request. Raises Refused."""
        try:
            payload, made = self._serializer.loads(token, return_timestamp=True)
        except BadData:
            raise Refused(Close.BAD_TOKEN, 401, "bad_token", "This is no token of this session.") from None
        grant = self._grant(payload, made.timestamp())
        if grant.until <= self._now():
            raise Refused(Close.BAD_TOKEN, 401, "expired", "The token has run out.")
        if grant.session_id != self._session_id or grant.role != role:
            raise Refused(Close.WRONG_SESSION, 403, "wrong_role", "The token is for something else.")
        return grant

    def handshake(self, auth: Auth, role: Role) -> Grant:
        """For the first message of a WebSocket and for each that extends it. Raises Refused."""
        grant = self.check(auth.token, role)
        now = self._now()
        if auth.sessionId != self._session_id:
            raise Refused(Close.WRONG_SESSION, 403, "wrong_session", "That is another session.")
        if abs(auth.timestamp / 1000 - now) > self._clock_seconds:
            raise Refused(Close.BAD_TOKEN, 401, "old_message", "The message is old, or a clock is wrong.")
        if grant.made < self._earliest:
            raise Refused(Close.BAD_TOKEN, 401, "old_token", "The token is older than this proxy.")
        self._used = {known: until for known, until in self._used.items() if until > now}
        if grant.id in self._used:
            raise Refused(Close.REPLAY, 401, "replay", "The token was used before.")
        self._used[grant.id] = grant.until
        return grant

    @staticmethod
    def _grant(payload: object, made: float) -> Grant:
        match payload:
            case {
                "sid": str(sid),
                "role": "client" | "desktop" | "control" as role,
                "until": int(until),
                "id": str(number),
            }:
                if RANDOM.fullmatch(number):
                    return Grant(sid, role, until, number, made)
        raise Refused(Close.BAD_TOKEN, 401, "bad_token", "This is no token of this session.")
