"""Answers under way: one task each, stopped when the client goes, when its time is over, or when the process ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Literal, TypeVar

import msgspec
from starlette.types import Message, Receive, Send

from webservice.web import Problem

from .metrics import Metrics
from .settings import Settings

R = TypeVar("R")
Why = Literal["gone", "time", "draining"]
BEAT = b":\n\n"
encode = msgspec.json.encode


class Out:
    """The answer's way to the client: server-sent events, or nothing until a whole answer is there."""

    def __init__(self, send: Send, headers: Mapping[str, str]) -> None:
        self._send = send
        self._headers = headers
        self.started = False
        self.stopped: Why | None = None
        self.asking = False
        """Whether the work waits for the model, so that it can be stopped."""
        self._last = time.monotonic()
        self._sending: float | None = None
        self._whole = True

    async def begin(self) -> None:
        headers = {**self._headers, "content-type": "text/event-stream; charset=utf-8", "x-accel-buffering": "no"}
        self.started = True
        head = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self._guarded({"type": "http.response.start", "status": 200, "headers": head})

    async def write(self, events: bytes) -> None:
        self._last = time.monotonic()
        self._whole = events.endswith(b"\n\n")
        await self._guarded({"type": "http.response.body", "body": events, "more_body": True})

    async def end(self) -> None:
        if self.started:
            await self._guarded({"type": "http.response.body", "body": b""})

    async def _guarded(self, message: Message) -> None:
        if self.stopped == "gone":
            return
        self._sending = time.monotonic()
        try:
            await self._send(message)
        finally:
            self._sending = None

    def stalled(self, seconds: float) -> bool:
        """Whether the client has not read for so long."""
        return self._sending is not None and time.monotonic() - self._sending > seconds

    async def beat(self, seconds: float) -> None:
        """A comment, if nothing was sent for so long, so that no proxy thinks that the connection is dead."""
        if self.started and self._whole and self._sending is None and time.monotonic() - self._last >= seconds - 0.1:
            await self.write(BEAT)


def event(name: str, value: object) -> bytes:
    return b"event: " + name.encode() + b"\ndata: " + encode(value) + b"\n\n"


class Streams:
    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._open: dict[asyncio.Task[None], tuple[str, Out]] = {}

    def admit(self, owner: str) -> None:
        """Raises Problem 503 if the process has enough to do, 429 if this user has."""
        if len(self._open) >= self._settings.max_streams:
            raise Problem(503, "busy", "Too many answers are under way. Try again.", retry_after=3)
        if sum(who == owner for who, _ in self._open.values()) >= self._settings.max_streams_per_user:
            raise Problem(429, "too_many_streams", "Too many of your answers are under way.", retry_after=3)

    async def run(self, receive: Receive, out: Out, owner: str, work: Callable[[], Awaitable[None]]) -> None:
        """Do the work; return or raise as it does. While `out.asking`, it is cancelled when `out.stopped` says why."""
        task = asyncio.ensure_future(self._finished(work, out))
        self._open[task] = owner, out
        self._metrics.streams.inc()
        task.add_done_callback(self._forget)
        gone = asyncio.create_task(disconnected(receive))
        beat, stall = self._settings.heartbeat_seconds, self._settings.stall_seconds
        deadline = time.monotonic() + self._settings.stream_seconds
        try:
            while not task.done():
                watched = {task} if gone.done() else {task, gone}
                await asyncio.wait(watched, timeout=beat, return_when=asyncio.FIRST_COMPLETED)
                if task.done():
                    break
                if out.stalled(stall):
                    stop(task, out, "gone")
                    if not out.asking:
                        task.cancel()  # out of the sending that it hangs in
                elif gone.done():
                    stop(task, out, "gone")
                elif time.monotonic() > deadline:
                    stop(task, out, "time")
                else:
                    await out.beat(beat)
        except asyncio.CancelledError:
            stop(task, out, "draining")  # and it is waited for by `finish`
            raise
        finally:
            gone.cancel()
        task.result()

    async def finish(self, *, after: float) -> None:
        """Give what is under way `after` seconds, then stop it; return when its answers are stored."""
        if self._open:
            await asyncio.wait(list(self._open), timeout=after)
        for task, (_, out) in list(self._open.items()):
            stop(task, out, "draining")
        if self._open:
            await asyncio.wait(list(self._open), timeout=15)

    async def _finished(self, work: Callable[[], Awaitable[None]], out: Out) -> None:
        await work()
        await out.end()

    def _forget(self, task: asyncio.Task[None]) -> None:
        del self._open[task]
        self._metrics.streams.dec()
        if not task.cancelled():
            task.exception()  # seen


def stop(task: asyncio.Task[None], out: Out, why: Why) -> None:
    if out.stopped is None:
        out.stopped = why
        if out.asking:
            task.cancel()
    elif why == "gone":
        out.stopped = why


async def disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
