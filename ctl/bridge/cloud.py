"""The session in the cloud: made at the API, and reached through its proxy by WebSocket."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import aiohttp

from ctl.bridge.closing import Closing, meaning
from ctl.bridge.frames import MAX_MESSAGE, Auth, ProtocolError, Ready, decode, encode
from ctl.bridge.login import Login
from ctl.bridge.reaching import Answer, Answered, Failed, address, ask, failed
from ctl.core.errors import AuthFailed

HANDSHAKE_SECONDS = 15.0
HEARTBEAT = 20.0
SPARE = 60.0
"""Seconds before its end at which a session's token is renewed, or half of its life if that is less."""
HURRY = 5.0
"""Seconds until the next try when renewing a token failed."""


@dataclass(frozen=True, slots=True)
class Session:
    """The person's session. `endpoint` is the proxy's address, https."""

    id: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class SessionToken:
    """`until`: when it ends, on the server's clock; `ahead`: how many seconds that clock is before ours."""

    text: str = field(repr=False)
    until: float
    ahead: float

    @property
    def left(self) -> float:
        return self.until - (time.time() + self.ahead)


class Closed(Failed):
    """The proxy closed the connection."""

    def __init__(self, closing: Closing) -> None:
        super().__init__(closing.message)
        self.closing = closing


class Api:
    """Sessions, as the API of the stack gives them. All raise AuthFailed, Failed."""

    def __init__(self, http: aiohttp.ClientSession, url: str, login: Login) -> None:
        self._http, self._url, self._login = http, url, login
        self._accepted = False

    async def session(self) -> Session:
        """The live one, or a new one."""
        data = (await self._ask("POST", "create", {})).data
        try:
            return Session(str(data["sessionId"]), address(str(data["endpoint"]), "the session's address"))
        except (KeyError, TypeError):
            raise Failed(f"{self._url} answered with something that is no session") from None

    async def live(self) -> str | None:
        """The id of the session that is there now, if somebody has started one."""
        data = (await self._ask("GET", "sessions?live=true")).data
        try:
            return next((str(one["sessionId"]) for one in data["sessions"] if one["live"]), None)
        except (KeyError, TypeError):
            raise Failed(f"{self._url} answered with something that is no list of sessions") from None

    async def token(self, session: Session) -> SessionToken:
        """A fresh one for the desktop's side."""
        answer = await self._ask("POST", f"{session.id}/token", {"role": "desktop"})
        try:
            until = _moment(answer.data["expiresAt"])
            return SessionToken(str(answer.data["token"]), until, answer.now - time.time())
        except (KeyError, TypeError, ValueError):
            raise Failed(f"{self._url} answered with something that is no token") from None

    async def put_tunnel(self, session: Session, url: str | None) -> None:
        await self._ask("PUT", f"{session.id}/tunnel", {"url": url})

    async def _ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Answer:
        url = f"{self._url}/api/streaming/{path}"
        token = await self._login.token()
        for again in (True, False):
            try:
                answer = await ask(self._http, method, url, token=token, body=body)
            except Answered as error:
                if error.status == 401 and again:
                    token = await self._login.token(other_than=token)
                    continue
                # Who was accepted before meets a passing fault, as after a change of keys.
                if error.status not in (401, 403) or self._accepted:
                    raise
                raise AuthFailed(
                    f"the login is not accepted for streaming sessions: {error.message}",
                    hint="the API and the issuer of the tokens have to belong together: --to, --api",
                ) from error
            self._accepted = True
            break
        return answer


def _moment(text: Any) -> float:
    """Seconds since 1970, of a number or of ISO 8601."""
    return float(text) if isinstance(text, int | float) else datetime.fromisoformat(str(text)).timestamp()


@asynccontextmanager
async def connected(
    http: aiohttp.ClientSession, api: Api, session: Session
) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """The open connection, its handshake done, its token renewed as long as it lasts. Raises AuthFailed, Failed."""
    token = await api.token(session)
    url = "ws" + session.endpoint.removeprefix("http") + "/ws/desktop"
    try:
        socket = await http.ws_connect(
            url, heartbeat=HEARTBEAT, max_msg_size=MAX_MESSAGE, compress=0, timeout=aiohttp.ClientWSTimeout(ws_close=3)
        )
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise failed(error, session.endpoint) from error
    renewing: asyncio.Task[None] | None = None
    try:
        await _shake_hands(socket, session, token)
        renewing = asyncio.create_task(_renew(socket, api, session, token))
        yield socket
    finally:
        if renewing:
            renewing.cancel()
        await socket.close(code=1000)


async def _shake_hands(socket: aiohttp.ClientWebSocketResponse, session: Session, token: SessionToken) -> None:
    try:
        await socket.send_str(_auth(session, token))
        async with asyncio.timeout(HANDSHAKE_SECONDS):
            message = await socket.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            frame = decode(message.data)
            if isinstance(frame, Ready) and frame.sessionId == session.id:
                return
            raise Failed(f"{session.endpoint}: its answer to the handshake is not for this session")
    except ProtocolError as error:
        raise Failed(f"{session.endpoint}: its answer to the handshake is none: {error.message}") from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise failed(error, session.endpoint) from error
    raise Closed(meaning(socket.close_code))


def _auth(session: Session, token: SessionToken) -> str:
    """By the server's clock: this desktop's own may be wrong."""
    return str(encode(Auth(token.text, session.id, int((time.time() + token.ahead) * 1000))))


async def _renew(socket: aiohttp.ClientWebSocketResponse, api: Api, session: Session, token: SessionToken) -> None:
    """Before the token ends, show a fresh one. What fails is tried again until the proxy closes the connection.

    A refused login is not: the next connection will meet it, and too many of them lock an account.
    """
    wait = token.left - min(SPARE, token.left / 2)
    while True:
        await asyncio.sleep(max(wait, 1.0))
        try:
            token = await api.token(session)
            await socket.send_str(_auth(session, token))
        except AuthFailed:
            return
        except (Failed, ConnectionError, RuntimeError):
            wait = HURRY
        else:
            wait = token.left - min(SPARE, token.left / 2)
