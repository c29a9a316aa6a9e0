"""The desktop's end of one open connection: requests come in as frames, answers go out as they are made."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine

import aiohttp

from ctl.bridge.frames import (
    MAX_BODY,
    MAX_STREAMS,
    Cancel,
    Close,
    Data,
    End,
    Error,
    Frame,
    ProtocolError,
    ReceiveWindow,
    Request,
    Response,
    SendWindow,
    Window,
    decode,
    encode,
    pieces,
)
from ctl.bridge.local import Local, away, problem
from ctl.bridge.near import passes
from ctl.bridge.passage import carried
from ctl.bridge.reaching import Failed
from ctl.bridge.wording import Status

Send = Callable[[Frame], Awaitable[None]]


class Gone(Exception):
    """The connection is closed."""


class Stream:
    """One request and its answer. What the reader calls never waits; `run` does all that may."""

    def __init__(self, request: Request, send: Send, local: Local, status: Status) -> None:
        self.request = request
        self._send, self._local, self._status = send, local, status
        self._arrived: deque[bytes] = deque()
        self._ended = False
        self._news = asyncio.Event()
        self._received = 0
        self._inward = ReceiveWindow()
        self._outward = SendWindow()
        self._credit = asyncio.Event()

    def take(self, frame: Data | End | Window) -> None:
        """Raises ProtocolError."""
        match frame:
            case Data(body=body):
                self._inward.receive(len(body))
                self._received += len(body)
                if self._ended or self._received > MAX_BODY:
                    raise ProtocolError("flow", "more of a body than there may be")
                self._arrived.append(body)
                self._news.set()
            case End():
                self._ended = True
                self._news.set()
            case Window(bytes=amount):
                self._outward.give(amount)
                self._credit.set()

    async def run(self) -> None:
        """Carry it to the local server and the answer back. Raises Gone."""
        began = False
        try:
            if not passes(self.request.method, self.request.path):
                await self._refuse(403, problem("not_carried", "Only /api/ and /v1/ are carried."))
            else:
                body = self._body() if await self._has_body() else None
                headers = carried(self.request.headers)
                async with self._local.ask(self.request.method, self.request.path, headers, body) as answer:
                    head = carried((name, value) for name, value in answer.headers.items())
                    await self._send(Response(self.request.id, answer.status, head))
                    began = True
                    async for piece in self._local.body(answer):
                        await self._deliver(piece)
                await self._send(End(self.request.id))
        except Failed as error:
            self._status.last_error = error.message
            if began:
                await self._send(Error(self.request.id, "local_cut", error.message[:1000]))
                return
            await self._refuse(502, away(error))
        except ProtocolError as error:
            await self._send(Error(self.request.id, "bad_answer", error.message))
            return
        async for _ in self._body():  # what is still on its way of the request is let through to its end
            pass

    async def _has_body(self) -> bool:
        while not self._arrived and not self._ended:
            self._news.clear()
            await self._news.wait()
        return bool(self._arrived)

    async def _body(self) -> AsyncIterator[bytes]:
        while await self._has_body():
            piece = self._arrived.popleft()
            yield piece
            self._status.bytes_in += len(piece)
            if given := self._inward.consume(len(piece)):
                await self._send(Window(self.request.id, given))

    async def _deliver(self, piece: bytes) -> None:
        for data in pieces(self.request.id, piece):
            rest = data.body
            while rest:
                taken = self._outward.take(len(rest))
                if not taken:
                    self._credit.clear()
                    await self._credit.wait()
                    continue
                await self._send(Data(self.request.id, rest[:taken]))
                self._status.bytes_out += taken
                rest = rest[taken:]

    async def _refuse(self, status: int, body: dict[str, object]) -> None:
        text = json.dumps(body).encode()
        head = (("content-type", "application/json"), ("content-length", str(len(text))))
        await self._send(Response(self.request.id, status, head))
        if self.request.method != "HEAD":
            await self._deliver(text)
        await self._send(End(self.request.id))


class Link:
    """All streams of one connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, local: Local, status: Status) -> None:
        self._socket, self._local, self._status = socket, local, status
        self._streams: dict[int, tuple[Stream, asyncio.Task[None]]] = {}
        self._latest = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def send(self, frame: Frame) -> None:
        """Raises Gone."""
        message = encode(frame)
        try:
            if isinstance(message, str):
                await self._socket.send_str(message)
            else:
                await self._socket.send_bytes(message)
        except (ConnectionError, RuntimeError) as error:
            raise Gone from error

    async def serve(self) -> int | None:
        """Until the connection is closed: with which code. Raises Failed if we had to close it.

        The reader never waits for anything but messages.
        """
        try:
            async for message in self._socket:
                if message.type not in (aiohttp.WSMsgType.TEXT, aiohttp.WSMsgType.BINARY):
                    break
                try:
                    self._take(decode(message.data))
                except ProtocolError as error:
                    await self._socket.close(code=Close.PROTOCOL, message=error.code.encode())
                    raise Failed(f"the proxy broke the protocol: {error.message}") from error
            return self._socket.close_code
        finally:
            await self.stop()

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, frame: Frame) -> None:
        match frame:
            case Request(id=number):
                if number <= self._latest:
                    raise ProtocolError("bad_id", "ids of streams only go up")
                self._latest = number
                self._open(frame)
            case Data(id=number) | End(id=number) | Window(id=number):
                if number > self._latest:
                    raise ProtocolError("bad_id", "there was no such stream")
                if number in self._streams:
                    self._streams[number][0].take(frame)
            case Cancel(id=number) | Error(id=number):
                if number in self._streams:
                    self._streams[number][1].cancel()
            case _:
                pass  # `ready`, after a token was renewed

    def _open(self, request: Request) -> None:
        if len(self._streams) >= MAX_STREAMS:
            self._start(self.send(Error(request.id, "too_many_streams", f"at most {MAX_STREAMS} at once")))
            return
        stream = Stream(request, self.send, self._local, self._status)
        self._status.requests += 1
        self._status.active += 1
        self._streams[request.id] = stream, self._start(stream.run(), request.id)

    def _start(self, work: Coroutine[None, None, None], number: int = 0) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(lambda done: self._ended(done, number))
        return task

    def _ended(self, task: asyncio.Task[None], number: int) -> None:
        self._tasks.discard(task)
        if self._streams.pop(number, None):
            self._status.active -= 1
        error = None if task.cancelled() else task.exception()
        if error and not isinstance(error, Gone):
            self._status.last_error = f"a fault in the bridge: {type(error).__name__}: {error}"
            if number:
                self._start(self.send(Error(number, "bridge_fault", type(error).__name__)))
