"""A stand-in for the cloud: the auth service, the API of sessions and a session's proxy, in one HTTP server.

It is as strict as the contract (tokens once, timestamps, credit); a test can make it fail in the ways that it names.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import jwt
from aiohttp import WSMsgType, web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from ctl.bridge.frames import (
    Auth,
    Cancel,
    Close,
    Data,
    End,
    Error,
    Frame,
    ReceiveWindow,
    Request,
    Response,
    SendWindow,
    Window,
    decode,
    encode,
    pieces,
)

EMAIL, PASSWORD, SUB = "ada@example.com", "a-long-password", "user-1"
KEY = generate_private_key(65537, 2048)
OTHER_KEY = generate_private_key(65537, 2048)


def token(sub: str = SUB, seconds: float = 600, key: RSAPrivateKey = KEY, **claims: Any) -> str:
    now = int(time.time())
    said = {"iss": "auth", "aud": "gateway", "sub": sub, "exp": now + int(seconds), "jti": uuid.uuid4().hex, **claims}
    return jwt.encode({name: value for name, value in said.items() if value is not None}, key, "RS256", {"kid": "k1"})


class Exchange:
    """One request of a web client, and what came back."""

    def __init__(self, cloud: Cloud, number: int, *, reads: bool) -> None:
        self.cloud, self.number, self.reads = cloud, number, reads
        self.head: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        self.pieces: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.error: Error | None = None
        self.size = 0
        self.inward, self.credit = ReceiveWindow(), SendWindow()
        self.given = asyncio.Event()

    async def take(self, frame: Frame) -> None:
        match frame:
            case Response():
                self.head.set_result(frame)
            case Data(body=body):
                self.inward.receive(len(body))
                self.size += len(body)
                self.pieces.put_nowait(body)
                if self.reads:
                    await self.give(len(body))
            case End():
                self.pieces.put_nowait(None)
            case Error():
                self.error = frame
                self.pieces.put_nowait(None)
                if not self.head.done():
                    self.head.cancel()
            case Window(bytes=amount):
                self.credit.give(amount)
                self.given.set()
            case _:
                raise AssertionError(frame)

    async def give(self, amount: int) -> None:
        if credit := self.inward.consume(amount):
            await self.cloud.send(Window(self.number, credit))

    async def send_body(self, body: bytes) -> None:
        for piece in pieces(self.number, body):
            rest = piece.body
            while rest:
                self.given.clear()
                if taken := self.credit.take(len(rest)):
                    await self.cloud.send(Data(self.number, rest[:taken]))
                    rest = rest[taken:]
                else:
                    await self.given.wait()
        await self.cloud.send(End(self.number))

    async def rest(self) -> bytes:
        found = []
        while (piece := await self.pieces.get()) is not None:
            found.append(piece)
        return b"".join(found)

    async def cancel(self) -> None:
        await self.cloud.send(Cancel(self.number))


@dataclass
class Cloud:
    base: str = ""
    endpoint: str = ""
    """Of the session; this server's own proxy without it."""
    sign: Callable[[str, float], str] | None = None
    """Role and end → a session token, for a real proxy."""
    password: str = PASSWORD
    access_seconds: float = 600
    session_seconds: float = 600
    clock: float = 0.0
    """How far this server's clock is ahead."""
    live: bool = True
    recorded: str = "s1"
    """The session that is in the list while it is live."""
    silent: bool = False
    """Answers no pings."""
    refuses: dict[str, int] = field(default_factory=dict)
    """Path → status, until it is taken away."""
    close_with: int | None = None
    """Answers the handshake so."""
    asked: list[str] = field(default_factory=list)
    tunnels: list[str | None] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)
    """Session tokens of handshakes and renewals."""
    exchanges: dict[int, Exchange] = field(default_factory=dict)
    good: set[str] = field(default_factory=set)
    refresh: str = ""
    socket: web.WebSocketResponse | None = None
    there: asyncio.Event = field(default_factory=asyncio.Event)
    number: int = 0

    # --- auth and API ---

    async def handle(self, request: web.Request) -> web.StreamResponse:
        what = f"{request.method} {request.path}"
        self.asked.append(what)
        if status := self.refuses.get(request.path):
            return self.say({"error": {"code": "refused", "message": "as the test wants it"}}, status)
        body = json.loads(await request.read() or b"null")
        match what.split():
            case ["POST", "/auth/login"]:
                if body != {"email": EMAIL, "password": self.password, "cookie": False}:
                    return self.say({"error": {"code": "invalid_credentials", "message": "wrong"}}, 401)
                return self.logged_in()
            case ["POST", "/auth/refresh"]:
                if body != {"refresh_token": self.refresh}:
                    return self.say({"error": {"code": "over", "message": "over"}}, 401)
                return self.logged_in()
            case ["POST", "/auth/logout"]:
                self.refresh = ""
                return web.Response(status=204)
            case ["GET", "/.well-known/jwks.json"]:
                key = {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(KEY.public_key())), "kid": "k1", "use": "sig"}
                return self.say({"keys": [key]})
            case ["GET", "/ws/desktop"]:
                return await self.desktop(request)
        if not self.is_in(request):
            return self.say({"error": {"code": "invalid_token", "message": "expired"}}, 401)
        match what.split():
            case ["POST", "/api/streaming/create"]:
                self.live = True
                return self.say(
                    {
                        "endpoint": self.endpoint or self.base,
                        "sessionId": "s1",
                        "name": "ada",
                        "token": "",
                        "expiresAt": 0,
                    }
                )
            case ["GET", "/api/streaming/sessions"]:
                return self.say({"sessions": [{"sessionId": self.recorded, "live": self.live}], "next": None})
            case ["POST", "/api/streaming/s1/token"]:
                assert body == {"role": "desktop"}
                until = int(self.now() + self.session_seconds)
                fresh = self.sign("desktop", until) if self.sign else uuid.uuid4().hex
                self.good.add(fresh)
                return self.say({"token": fresh, "expiresAt": datetime.fromtimestamp(until, UTC).isoformat()})
            case ["PUT", "/api/streaming/s1/tunnel"]:
                self.tunnels.append(body["url"])
                return self.say({})
        return self.say({"error": {"code": "not_found", "message": "the stand-in does not know this"}}, 404)

    def logged_in(self) -> web.Response:
        self.refresh = uuid.uuid4().hex
        said = {"access_token": token(seconds=self.access_seconds), "token_type": "Bearer", "user": {}}
        return self.say({**said, "expires_in": self.access_seconds, "refresh_token": self.refresh})

    def is_in(self, request: web.Request) -> bool:
        text = request.headers.get("Authorization", "").removeprefix("Bearer ")
        try:
            jwt.decode(text, KEY.public_key(), ["RS256"], audience="gateway", issuer="auth")
        except jwt.InvalidTokenError:
            return False
        return True

    def now(self) -> float:
        return time.time() + self.clock

    def say(self, data: Any, status: int = 200) -> web.Response:
        date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(self.now()))
        return web.json_response(data, status=status, headers={"Date": date})

    # --- the proxy ---

    async def desktop(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=2**20, autoping=not self.silent)
        await socket.prepare(request)
        first = decode((await socket.receive()).data)
        if code := self.close_with or self.fault(first):
            await socket.close(code=code)
            return socket
        if self.socket is not None:
            await self.socket.close(code=Close.REPLACED)
        self.socket, self.number = socket, 0
        await socket.send_str('{"type":"ready","sessionId":"s1"}')
        self.there.set()
        try:
            async for message in socket:
                if message.type not in (WSMsgType.TEXT, WSMsgType.BINARY):
                    continue
                frame = decode(message.data)
                if isinstance(frame, Auth):
                    assert not self.fault(frame)
                else:
                    assert not isinstance(frame, Request)
                    await self.exchanges[frame.id].take(frame)
        finally:
            if self.socket is socket:
                self.socket = None
                self.there.clear()
        return socket

    def fault(self, frame: Frame) -> int:
        """The close code for a handshake that is not as it should be."""
        assert isinstance(frame, Auth) and frame.sessionId == "s1"
        if frame.token in self.shown:
            return Close.REPLAY
        if frame.token not in self.good or abs(frame.timestamp / 1000 - self.now()) > 30:
            return Close.BAD_TOKEN
        self.shown.append(frame.token)
        return 0

    async def send(self, frame: Frame) -> None:
        assert self.socket is not None
        message = encode(frame)
        await (self.socket.send_str(message) if isinstance(message, str) else self.socket.send_bytes(message))

    async def ask(
        self, method: str, path: str, body: bytes = b"", *, headers: dict[str, str] | None = None, reads: bool = True
    ) -> Exchange:
        await asyncio.wait_for(self.there.wait(), 20)
        self.number += 1
        exchange = self.exchanges[self.number] = Exchange(self, self.number, reads=reads)
        await self.send(Request(self.number, method, path, tuple((headers or {}).items())))
        await exchange.send_body(body)
        return exchange

    async def close(self, code: int) -> None:
        await asyncio.wait_for(self.there.wait(), 20)
        assert self.socket is not None
        await self.socket.close(code=code)

    def cut(self) -> None:
        """As a cable that is pulled out."""
        assert self.socket is not None
        assert self.socket._req is not None and self.socket._req.transport is not None
        self.socket._req.transport.abort()


@asynccontextmanager
async def cloud_server(cloud: Cloud | None = None, tls: ssl.SSLContext | None = None) -> AsyncIterator[Cloud]:
    cloud = cloud or Cloud()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", cloud.handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    scheme = "https" if tls else "http"
    cloud.base = f"{scheme}://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield cloud
    finally:
        await runner.cleanup()
