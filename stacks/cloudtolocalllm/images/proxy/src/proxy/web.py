"""One connection over HTTP/1.1: h11 on asyncio's streams."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping

import h11

from .closing import READ, see_out
from .streams import Problem
from .websocket import WebSocket

HEAD_SECONDS = 20
"""How long the head of the first request may take to come."""
KEPT_SECONDS = 130
"""How long a connection is kept for the next one: longer than proxies do, so that they are the ones who close it."""
MAX_HEAD = 2**15
ALWAYS = {
    "x-content-type-options": "nosniff",
    # What a model's server answers is data, never a page of this origin.
    "content-security-policy": "default-src 'none'; sandbox",
    "cache-control": "no-store",
    # nginx hands every piece on as it comes.
    "x-accel-buffering": "no",
}


class Gone(Exception):
    """The other side closed the connection, or sent what is no HTTP."""


class Http:
    """`extra` are the headers that answers to the present request get beside their own."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._h11 = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD)
        self._seconds = HEAD_SECONDS
        self.extra: Mapping[str, str] = {}
        self.bodiless = False
        """The answer to the present request has no body, whatever its head says."""

    async def request(self) -> h11.Request | None:
        """The next one; None if there is none. Raises Gone, after an answer if there is somebody to hear it."""
        try:
            async with asyncio.timeout(self._seconds):
                event = await self.event()
        except TimeoutError:
            return None
        self._seconds = KEPT_SECONDS
        if not isinstance(event, h11.Request):
            return None
        self.bodiless = event.method == b"HEAD"
        return event

    async def event(self) -> object:
        """One of h11's, or its PAUSED. Raises Gone at the end of the connection, wherever that comes."""
        try:
            while (event := self._h11.next_event()) is h11.NEED_DATA:
                if self._h11.they_are_waiting_for_100_continue:
                    await self.send(h11.InformationalResponse(status_code=100, headers=[]))
                self._h11.receive_data(await self._read())
        except h11.RemoteProtocolError as error:
            if self._h11.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                await self.problem(Problem(error.error_status_hint, "bad_request", "That is no proper request."))
            raise Gone from None
        if isinstance(event, h11.ConnectionClosed):
            raise Gone
        return event

    async def send(self, *events: h11.Event) -> None:
        """Returns when the other side has taken most of what was sent. Raises Gone."""
        self.write(*events)
        await self.drained()

    def write(self, *events: h11.Event) -> None:
        self._writer.write(b"".join(self._h11.send(event) or b"" for event in events))

    async def drained(self) -> None:
        """Raises Gone."""
        try:
            await self._writer.drain()
        except OSError:
            raise Gone from None

    async def left(self) -> None:
        """Returns when the other side is gone. What it sends meanwhile is its next request."""
        size = 0
        while data := await self._read():
            self._h11.receive_data(data)
            size += len(data)
            if size > MAX_HEAD:
                await asyncio.Event().wait()

    async def answer(self, status: int, value: object, headers: Mapping[str, str] | None = None) -> None:
        """A whole answer, in JSON; None is an empty one. Raises Gone."""
        body = b"" if value is None else json.dumps(value, separators=(",", ":")).encode()
        given = {**ALWAYS, **self.extra, **(headers or {}), "content-length": str(len(body))}
        if body:
            given["content-type"] = "application/json"
        if not self._heard_out():
            given["connection"] = "close"
        head = h11.Response(status_code=status, headers=list(given.items()))
        await self.send(head, *([h11.Data(body)] if body and not self.bodiless else []), h11.EndOfMessage())

    async def problem(self, problem: Problem) -> None:
        headers = {} if problem.retry_after is None else {"retry-after": str(problem.retry_after)}
        if problem.status == 401:
            headers["www-authenticate"] = "Bearer"
        await self.answer(problem.status, {"error": {"code": problem.code, "message": problem.message}}, headers)

    def next(self) -> bool:
        """Whether the connection can be used once more."""
        if self._h11.our_state is not h11.DONE or not self._heard_out():
            return False
        self._h11.start_next_cycle()
        return True

    def upgrade(self, acceptance: h11.InformationalResponse, ping_seconds: float) -> WebSocket:
        self.write(acceptance)
        rest, _ = self._h11.trailing_data
        return WebSocket(self._reader, self._writer, rest, ping_seconds)

    def cut_off(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self._writer.transport.abort)

    async def close(self) -> None:
        await see_out(self._reader, self._writer)

    def _heard_out(self) -> bool:
        """Whether the request has come to its end; what has come of a body that nobody wanted is dropped."""
        try:
            while self._h11.their_state is h11.SEND_BODY and self._h11.next_event() is not h11.NEED_DATA:
                pass
        except h11.RemoteProtocolError:
            pass
        return self._h11.their_state is h11.DONE

    async def _read(self) -> bytes:
        try:
            return await self._reader.read(READ)
        except OSError:
            return b""
