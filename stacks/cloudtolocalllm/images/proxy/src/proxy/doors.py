"""The two WebSockets: what is said at the door, and who may say what behind it."""

from __future__ import annotations

import asyncio
import time

from .frames import (
    Auth,
    Cancel,
    Close,
    Data,
    End,
    Error,
    Frame,
    Headers,
    ProtocolError,
    Ready,
    Request,
    Response,
    Window,
)
from .log import say
from .session import Session
from .settings import Settings
from .streams import Problem, Stream
from .tokens import Refused, Role, Tokens
from .websocket import WebSocket

MAX_CLIENTS = 16


class Door:
    """Lets one WebSocket in, and sees it out when its token has run out and nobody brought a fresh one."""

    def __init__(self, socket: WebSocket, role: Role, tokens: Tokens, settings: Settings) -> None:
        self._socket = socket
        self._role: Role = role
        self._tokens = tokens
        self._settings = settings
        self._end: asyncio.TimerHandle | None = None

    async def enter(self) -> None:
        """The first message. Raises Refused and ProtocolError."""
        try:
            async with asyncio.timeout(self._settings.handshake_seconds):
                frame = await self._socket.receive()
        except TimeoutError:
            frame = None
        if not isinstance(frame, Auth):
            raise Refused(Close.BAD_TOKEN, 401, "no_token", "The first message has to bring a token.")
        self.check(frame)

    def check(self, auth: Auth) -> None:
        """Any token: the connection lives as long as it, and a little longer. Raises Refused."""
        grant = self._tokens.handshake(auth, self._role)
        self.leave()
        seconds = grant.until - time.time() + self._settings.grace_seconds
        self._end = asyncio.get_running_loop().call_later(seconds, self._socket.close, Close.EXPIRED)

    def ready(self) -> None:
        self._socket.send(Ready(self._settings.session_id))

    def leave(self) -> None:
        if self._end is not None:
            self._end.cancel()


async def serve(socket: WebSocket, role: Role, session: Session, tokens: Tokens, settings: Settings) -> None:
    """One WebSocket from its first message to its end."""
    door = Door(socket, role, tokens, settings)
    try:
        await door.enter()
        await (desktop if role == "desktop" else client)(socket, session, door)
    except Refused as refused:
        say("refused", role=role, code=refused.code)
        socket.close(refused.close, refused.code)
    except ProtocolError as error:
        session.counters.errors += 1
        say("protocol error", role=role, code=error.code)
        socket.close(Close.TOO_LARGE if error.code == "too_large" else Close.PROTOCOL, error.code)
    finally:
        door.leave()
        await socket.end()


async def desktop(socket: WebSocket, session: Session, door: Door) -> None:
    door.ready()
    session.attach(socket)
    say("desktop came")
    try:
        while (frame := await socket.receive()) is not None:
            if isinstance(frame, Auth):
                door.check(frame)
                door.ready()
            else:
                session.receive(frame, socket.came)
    finally:
        session.detach(socket)
        say("desktop left", closed=socket.closed_with)


async def client(socket: WebSocket, session: Session, door: Door) -> None:
    if session.clients >= MAX_CLIENTS:
        socket.close(Close.BUSY, "too_many_clients")
        return
    session.clients += 1
    session.touch()
    door.ready()
    say("client came")
    inside = Client(socket, session)
    try:
        while (frame := await socket.receive()) is not None:
            if isinstance(frame, Auth):
                door.check(frame)
                door.ready()
            else:
                await inside.receive(frame)
    finally:
        session.clients -= 1
        inside.leave()
        say("client left", closed=socket.closed_with)


class Client:
    """What one client asks, under the numbers that it gave."""

    def __init__(self, socket: WebSocket, session: Session) -> None:
        self._socket = socket
        self._session = session
        self._streams: dict[int, Stream] = {}
        self._last = 0

    async def receive(self, frame: Frame) -> None:
        """Takes its time while the desktop is slow to take what it is sent, or this client what it asked for."""
        if isinstance(frame, Request):
            await self._ask(frame)
        elif not isinstance(frame, Data | End | Cancel | Window):
            raise ProtocolError("order", "a client asks")
        elif (stream := self._streams.get(frame.id)) is not None:
            match frame:
                case Data(body=body):
                    self._session.ask(stream, body)
                case End():
                    self._session.asked(stream)
                case Window(bytes=amount):
                    self._session.grant(stream, amount)
                case Cancel(id=number):
                    self.over(number)
                    self._session.cancel(stream)
        elif frame.id > self._last:
            raise ProtocolError("order", "a stream that was never opened")
        await self._session.drained()
        await self._socket.drained()

    def over(self, number: int) -> None:
        self._streams.pop(number, None)

    def leave(self) -> None:
        for stream in self._streams.values():
            self._session.cancel(stream)

    async def _ask(self, request: Request) -> None:
        if request.id <= self._last:
            raise ProtocolError("order", "numbers of streams go up")
        self._last = request.id
        asker = ClientAsker(self, request.id, self._socket, self._session)
        try:
            stream = await self._session.open(request.method, request.path, request.headers, asker)
        except Problem as problem:
            asker.fail(problem)
        else:
            self._streams[request.id] = stream


class ClientAsker:
    """Hands the answer to one of a client's requests on, under the client's number."""

    def __init__(self, client: Client, number: int, socket: WebSocket, session: Session) -> None:
        self._client = client
        self._number = number
        self._socket = socket
        self._session = session

    def head(self, status: int, headers: Headers) -> None:
        self._socket.send(Response(self._number, status, headers))

    def data(self, body: bytes, came: float) -> None:
        self._socket.send(Data(self._number, body))
        self._session.counters.passed_on(len(body), asyncio.get_running_loop().time() - came)

    def end(self) -> None:
        self._client.over(self._number)
        self._socket.send(End(self._number))

    def credit(self, amount: int) -> None:
        self._socket.send(Window(self._number, amount))

    def fail(self, problem: Problem) -> None:
        self._client.over(self._number)
        self._socket.send(Error(self._number, problem.code, problem.message))
