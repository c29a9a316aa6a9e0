"""Logins: each has a family of refresh tokens, of which the latest is good, and the one before it for a short while.

A token is sid.generation.mac; the key of the mac is the login's own. So the successor of a token is always the same:
two tabs that refresh at once, or an answer that got lost, do not end a login. An older token does: somebody copied it.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from pathlib import Path

import msgspec

from .document import Document

GRACE_SECONDS = 20
MOST_PER_USER = 50


class Login(msgspec.Struct):
    user: str
    key: str
    generation: int
    rotated_at: float
    expires_at: float


class Logins(msgspec.Struct):
    """logins.json: sid → login; and the ended ones whose access tokens may still live: sid → until when."""

    logins: dict[str, Login] = {}
    ended: dict[str, float] = {}


class Refreshed(msgspec.Struct):
    """What came of a refresh token: the next one, or None if the login is over. `copied`: it was ended for that."""

    user: str = ""
    sid: str = ""
    token: str | None = None
    copied: bool = False


class Register:
    """The logins of all users. `access_seconds` is how long an access token outlives its login at most."""

    def __init__(self, folder: Path, *, refresh_seconds: int, access_seconds: int) -> None:
        self.document = Document(folder / "logins.json", Logins)
        self._refresh_seconds = refresh_seconds
        self._access_seconds = access_seconds

    async def begin(self, user: str) -> tuple[str, str]:
        """Its sid and its first refresh token."""
        now = time.time()
        sid = secrets.token_urlsafe(16)
        login = Login(user, secrets.token_urlsafe(32), 0, now, now + self._refresh_seconds)

        def edit(logins: Logins) -> None:
            self._forget(logins, now)
            own = sorted((known.rotated_at, key) for key, known in logins.logins.items() if known.user == user)
            for _, key in own[: max(0, len(own) - MOST_PER_USER + 1)]:
                self._end(logins, key, now)
            logins.logins[sid] = login

        await self.document.change(edit)
        return sid, token_of(sid, login)

    def user_of(self, token: str) -> str | None:
        sid = token.partition(".")[0]
        login = self.document.read().logins.get(sid)
        return login.user if login else None

    async def refresh(self, token: str) -> Refreshed:
        def edit(logins: Logins) -> Refreshed:
            now = time.time()
            sid, login, generation = found(logins, token)
            if login is None:
                return Refreshed()
            if login.expires_at < now:
                self._end(logins, sid, now)
                return Refreshed()
            if generation == login.generation:
                login.generation += 1
                login.rotated_at = now
                login.expires_at = now + self._refresh_seconds
            elif generation != login.generation - 1 or now > login.rotated_at + GRACE_SECONDS:
                self._end(logins, sid, now)
                return Refreshed(login.user, sid, None, copied=True)
            return Refreshed(login.user, sid, token_of(sid, login))

        return await self.document.change(edit)

    async def end(self, token: str) -> bool:
        """Whether there was such a login."""

        def edit(logins: Logins) -> bool:
            sid, login, _ = found(logins, token)
            if login is not None:
                self._end(logins, sid, time.time())
            return login is not None

        return await self.document.change(edit)

    async def end_all(self, user: str, *, but: str = "") -> None:
        def edit(logins: Logins) -> None:
            for sid in [sid for sid, login in logins.logins.items() if login.user == user and sid != but]:
                self._end(logins, sid, time.time())

        await self.document.change(edit)

    def alive(self, sid: str) -> bool:
        return sid in self.document.read().logins

    def ended(self) -> dict[str, int]:
        now = time.time()
        return {sid: int(until) for sid, until in self.document.read().ended.items() if until > now}

    async def prune(self) -> None:
        await self.document.change(lambda logins: self._forget(logins, time.time()))

    def _end(self, logins: Logins, sid: str, now: float) -> None:
        del logins.logins[sid]
        logins.ended[sid] = now + self._access_seconds + 60

    def _forget(self, logins: Logins, now: float) -> None:
        logins.ended = {sid: until for sid, until in logins.ended.items() if until > now}
        logins.logins = {sid: login for sid, login in logins.logins.items() if login.expires_at > now}


def token_of(sid: str, login: Login) -> str:
    mac = hmac.new(login.key.encode(), f"{sid}.{login.generation}".encode(), hashlib.sha256).hexdigest()
    return f"{sid}.{login.generation}.{mac}"


def found(logins: Logins, token: str) -> tuple[str, Login | None, int]:
    """The login of a token that is genuine, of whatever generation."""
    sid, _, rest = token.partition(".")
    number = rest.partition(".")[0]
    login = logins.logins.get(sid)
    if login is None or not (number.isdecimal() and number.isascii() and len(number) < 10):
        return sid, None, 0
    generation = int(number)
    as_then = Login(login.user, login.key, generation, 0, 0)
    genuine = hmac.compare_digest(token_of(sid, as_then).encode(), token.encode("utf-8", "replace"))
    return sid, login if genuine else None, generation
