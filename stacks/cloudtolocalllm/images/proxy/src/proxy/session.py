"""The session: one desktop, those who ask, and the streams between them. It outlives the desktop's connection."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

from .counters import Counters, resident_bytes
from .frames import (
    MAX_STREAMS,
    Cancel,
    Close,
    Data,
    End,
    Error,
    Frame,
    Headers,
    ProtocolError,
    Request,
    Response,
    Window,
    pieces,
)
from .passage import allowed, carried
from .streams import Asker, Problem, Stream

LOST = Problem(502, "desktop_lost", "The connection to the desktop broke while it answered.")
TOO_MANY = Problem(429, "too_many_streams", f"At most {MAX_STREAMS} requests at a time.", retry_after=1)
IDLE = Problem(504, "timeout", "Nothing moved on this request for too long.")
NOT_ALLOWED = Problem(403, "not_allowed", "Only the model's API can be asked.")


class Line(Protocol):
    """A connection to the desktop."""

    def send(self, frame: Frame) -> None: ...

    async def drained(self) -> None: ...

    def close(self, code: int) -> None: ...


class Session:
    """Streams have numbers that only go up, over all connections of the desktop."""

    def __init__(self, session_id: str, reconnect_seconds: float) -> None:
        self.id = session_id
        self.counters = Counters(time.time())
        self.clients = 0
        self._reconnect_seconds = reconnect_seconds
        self._desktop: Line | None = None
        self._arrived = asyncio.Event()
        self._lost_at: float | None = None
        self._streams: dict[int, Stream] = {}
        self._waiting = 0
        self._last = 0
        self._loop = asyncio.get_running_loop()

    @property
    def under_way(self) -> int:
        return len(self._streams) + self._waiting

    def touch(self) -> None:
        self.counters.last_activity = time.time()

    def facts(self) -> dict[str, object]:
        counted = self.counters
        return {
            "sessionId": self.id,
            "started": int(counted.started),
            "lastActivity": int(counted.last_activity),
            "clients": self.clients,
            "desktop": self._desktop is not None,
            "streams": self.under_way,
            "requests": counted.requests,
            "errors": counted.errors,
            "bytesIn": counted.bytes_in,
            "bytesOut": counted.bytes_out,
            "latencyMs": counted.latency(),
            "residentBytes": resident_bytes(),
        }

    # The desktop's side

    def attach(self, line: Line) -> None:
        """A desktop is there; one that was before is sent away."""
        if self._desktop is not None:
            before = self._desktop
            self.detach(before)
            before.close(Close.REPLACED)
        self._desktop = line
        self._arrived.set()
        self.touch()

    def detach(self, line: Line) -> None:
        """The connection is gone, and with it the streams on it. Those that wait for a desktop go on waiting."""
        if self._desktop is not line:
            return
        self._desktop = None
        self._arrived.clear()
        self._lost_at = self._loop.time()
        for stream in list(self._streams.values()):
            self._fail(stream, LOST)

    def receive(self, frame: Frame, came: float) -> None:
        """A frame from the desktop. Raises ProtocolError if it has no place here."""
        if not isinstance(frame, Response | Data | End | Error | Cancel | Window):
            raise ProtocolError("order", "a desktop answers")
        stream = self._streams.get(frame.id)
        if stream is None:
            if frame.id > self._last:
                raise ProtocolError("order", "a stream that was never opened")
            return
        self._moved(stream)
        match frame:
            case Data(body=body):
                stream.receive(len(body))
                stream.asker.data(body, came)
            case Response(status=status, headers=headers):
                stream.answer()
                stream.asker.head(status, carried(headers))
            case End():
                stream.receive(0)
                del self._streams[stream.id]
                stream.asker.end()
            case Window(bytes=amount):
                stream.up.give(amount)
                stream.asker.credit(amount)
            case Error(code=code, message=message):
                self._fail(stream, Problem(502, code, message))
            case Cancel():
                self._fail(stream, Problem(502, "cancelled", "The desktop gave up."))

    # The side of those who ask

    async def open(self, method: str, path: str, headers: Headers, asker: Asker) -> Stream:
        """Send a request to the desktop, after a wait for one that was there just now. Raises Problem."""
        self.touch()
        self.counters.requests += 1
        if not allowed(method, path):
            raise self.counted(NOT_ALLOWED)
        if self.under_way >= MAX_STREAMS:
            raise self.counted(TOO_MANY)
        desktop = self._desktop or await self._returning()
        stream = Stream(self._last + 1, asker)
        try:
            desktop.send(Request(stream.id, method, path, carried(headers)))
        except ProtocolError:
            raise self.counted(Problem(400, "bad_request", "The request cannot be passed on.")) from None
        self._last = stream.id
        self._streams[stream.id] = stream
        return stream

    async def drained(self) -> None:
        """Wait until the desktop has taken most of what was sent."""
        if self._desktop is not None:
            await self._desktop.drained()

    def ask(self, stream: Stream, body: bytes) -> None:
        """A piece of the request's body, within the credit. Raises ProtocolError if it is not."""
        if self._open(stream):
            try:
                stream.ask(len(body))
            except Problem as problem:
                self._send(Cancel(stream.id))
                self._fail(stream, problem)
                return
            self.counters.bytes_in += len(body)
            self._moved(stream)
            for piece in pieces(stream.id, body):
                self._send(piece)

    def asked(self, stream: Stream) -> None:
        if self._open(stream) and not stream.asked:
            stream.asked = True
            self._send(End(stream.id))

    def grant(self, stream: Stream, amount: int) -> None:
        """Credit that the asker gives. Raises ProtocolError if that is too much."""
        if self._open(stream):
            stream.down.grant(amount)
            self._moved(stream)
            self._send(Window(stream.id, amount))

    def consume(self, stream: Stream, amount: int) -> None:
        """The asker took that much of the answer; the desktop hears of it now and then."""
        if self._open(stream) and (given := stream.down.consume(amount)):
            self._moved(stream)
            self._send(Window(stream.id, given))

    def cancel(self, stream: Stream) -> None:
        """The asker does not want the answer any more."""
        if self._streams.pop(stream.id, None) is not None:
            self._send(Cancel(stream.id))

    def sweep(self, idle_seconds: float) -> None:
        """End the streams on which nothing moved for so long."""
        before = self._loop.time() - idle_seconds
        for stream in [each for each in self._streams.values() if each.moved < before]:
            self._send(Cancel(stream.id))
            self._fail(stream, IDLE)

    def end(self) -> None:
        """The session is over: the desktop is sent away."""
        if self._desktop is not None:
            self._desktop.close(Close.GOING_AWAY)

    def counted(self, problem: Problem) -> Problem:
        self.counters.errors += 1
        return problem

    async def _returning(self) -> Line:
        left = 0.0
        if self._lost_at is not None:
            left = self._lost_at + self._reconnect_seconds - self._loop.time()
        self._waiting += 1
        try:
            async with asyncio.timeout(max(0.0, left)):
                while self._desktop is None:
                    await self._arrived.wait()
                return self._desktop
        except TimeoutError:
            away = Problem(503, "desktop_away", "No desktop is connected to this session.", retry_after=5)
            raise self.counted(away) from None
        finally:
            self._waiting -= 1

    def _open(self, stream: Stream) -> bool:
        return stream.id in self._streams

    def _send(self, frame: Frame) -> None:
        if self._desktop is not None:
            self._desktop.send(frame)

    def _moved(self, stream: Stream) -> None:
        stream.moved = self._loop.time()
        self.touch()

    def _fail(self, stream: Stream, problem: Problem) -> None:
        if self._streams.pop(stream.id, None) is not None:
            self.counters.errors += 1
            stream.asker.fail(problem)
