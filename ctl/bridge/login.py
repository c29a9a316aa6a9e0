"""Access tokens: by e-mail and password, from a command, or one that is given."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp
import jwt

from ctl.bridge.reaching import Answered, Failed, ask
from ctl.core.errors import AuthFailed
from ctl.core.secret import Secret

EARLY = 60.0
"""Seconds before its end at which a token counts as run out, or a quarter of its life if that is less."""
COMMAND_SECONDS = 60.0


class Login(Protocol):
    """Where access tokens come from."""

    async def token(self, *, other_than: str = "") -> str:
        """One that is good for a while. `other_than` was refused. Raises AuthFailed, Failed."""
        ...

    async def end(self) -> None:
        """Nothing more is asked for."""
        ...


@dataclass(frozen=True, slots=True)
class Lasting:
    """A token and until when it is used, on this machine's monotonic clock."""

    text: str = field(repr=False)
    until: float

    @classmethod
    def of(cls, text: str, seconds: float) -> Lasting:
        return cls(text, time.monotonic() + seconds - min(EARLY, seconds / 4))

    def serves(self, other_than: str) -> bool:
        return bool(self.text) and self.text != other_than and time.monotonic() < self.until


NOTHING = Lasting("", 0.0)


class PasswordLogin:
    """The auth service at `/auth`: log in once, refresh from then on, log in anew if that login was ended."""

    def __init__(self, http: aiohttp.ClientSession, to: str, email: str, password: Secret) -> None:
        self._http, self._to, self._email, self._password = http, to, email, password
        self._access = NOTHING
        self._refresh = ""
        self._turn = asyncio.Lock()

    async def token(self, *, other_than: str = "") -> str:
        async with self._turn:
            if not self._access.serves(other_than):
                await self._renew()
            return self._access.text

    async def _renew(self) -> None:
        if self._refresh:
            try:
                return self._take(await self._post("refresh", {"refresh_token": self._refresh}))
            except Answered as error:
                if error.status not in (401, 403):
                    raise
                self._refresh = ""
        body = {"email": self._email, "password": self._password.reveal(), "cookie": False}
        try:
            self._take(await self._post("login", body))
        except Answered as error:
            if error.status in (400, 401, 403, 404, 422):
                raise refused(error, self._email) from error
            raise

    async def _post(self, what: str, body: dict[str, Any]) -> Any:
        return (await ask(self._http, "POST", f"{self._to}/auth/{what}", body=body)).data

    def _take(self, data: Any) -> None:
        try:
            self._access = Lasting.of(str(data["access_token"]), float(data["expires_in"]))
            self._refresh = str(data["refresh_token"])
        except (KeyError, TypeError, ValueError):
            raise Failed(f"{self._to}/auth answered with something that is no login") from None

    async def end(self) -> None:
        """Log out, if the service is there to hear it."""
        if self._refresh:
            try:
                async with asyncio.timeout(2):
                    await self._post("logout", {"refresh_token": self._refresh})
            except (Failed, TimeoutError):
                pass


def refused(error: Answered, email: str) -> AuthFailed:
    if error.status == 404:
        return AuthFailed(
            f"no logins are served there: {error.message}",
            hint="--to is the portal's own address; with another issuer of tokens, --token-command",
        )
    hint = "ask an admin" if error.code == "disabled" else "--email and CTL_BRIDGE_PASSWORD, or ask an admin"
    return AuthFailed(f"the login of {email} was refused: {error.message}", hint=hint)


class CommandLogin:
    """A command whose output is an access token, of whatever issuer."""

    def __init__(self, command: str) -> None:
        self._command = command
        self._access = NOTHING
        self._had = False
        self._turn = asyncio.Lock()

    async def token(self, *, other_than: str = "") -> str:
        async with self._turn:
            if not self._access.serves(other_than):
                self._access = await self._run()
                self._had = True
            return self._access.text

    async def _run(self) -> Lasting:
        process = await asyncio.create_subprocess_shell(
            self._command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                said, _ = await process.communicate()
        except TimeoutError:
            raise self._wrong(f"took longer than {COMMAND_SECONDS:.0f} s") from None
        finally:
            if process.returncode is None:
                process.kill()
        text = said.decode("utf-8", "replace").strip()
        if process.returncode:
            raise self._wrong(f"ended with {process.returncode}")
        if not text or len(text.split()) != 1:
            raise self._wrong("printed no token")
        return Lasting.of(text, seconds_of(text))

    def _wrong(self, what: str) -> Exception:
        """The first time it ends the program: the command is wrong. Later it may be the network that it needs."""
        if self._had:
            return Failed(f"the token command {what}")
        return AuthFailed(
            f"the token command {what}", hint=f"it is to print an access token and nothing else: {self._command}"
        )

    async def end(self) -> None:
        return


class GivenToken:
    """One token from the environment, that nobody renews."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def token(self, *, other_than: str = "") -> str:
        text = self._token.reveal()
        if text == other_than or seconds_of(text) <= 0:
            raise AuthFailed(
                "the token in CTL_BRIDGE_TOKEN has run out or is not accepted",
                hint="--email logs in and renews by itself, --token-command takes a new one each time",
            )
        return text

    async def end(self) -> None:
        return


def seconds_of(token: str) -> float:
    """How long a token is still good: what it says itself, unverified. Five minutes if it says nothing."""
    until = claims_of(token).get("exp")
    return float(until) - time.time() if isinstance(until, int | float) else 300.0


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, unverified; nothing if it is no JWT."""
    try:
        return jwt.decode(token, options={"verify_signature": False})
    except jwt.InvalidTokenError:
        return {}
