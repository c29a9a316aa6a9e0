"""Stand-ins for the bench: a desktop behind a proxy, the same answers without one, and who reads them.

An answer is a line every `ms` milliseconds, for ever, each with the machine's clock at the time of sending. All of this
runs in one process, so it does as little as it can: it is no client to copy (its WebSocket masks with zeros).
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import cast

from proxy.frames import Cancel, Request, Response, decode, encode
from world import Proxy, auth, token
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import Ping, Pong, TextMessage

STAMP = re.compile(rb'"stamp":(\d+)')
LINE = b'{"model":"standin","stamp":%d,"message":{"role":"assistant","content":"word "},"done":false}\n'
UPGRADE = (
    b"GET /ws/desktop HTTP/1.1\r\nhost: %b\r\nupgrade: websocket\r\nconnection: Upgrade\r\n"
    b"sec-websocket-version: 13\r\nsec-websocket-key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
NDJSON = (("content-type", "application/x-ndjson"),)


Send = Callable[[bytes], None]


def host(proxy: Proxy | None) -> str:
    """By which the ingress knows where to."""
    return f"p{proxy.port if proxy else 0}.bench"


class Pace:
    """Calls `send` with a line every `ms` milliseconds, whatever the last one cost."""

    def __init__(self, transport: asyncio.Transport, send: Send, ms: float) -> None:
        self._transport = transport
        self._send = send
        self._step = ms / 1000
        self._loop = asyncio.get_running_loop()
        self._next = self._loop.time() + self._step
        self._timer = self._loop.call_at(self._next, self._tick)

    def stop(self) -> None:
        self._timer.cancel()

    def _tick(self) -> None:
        if not self._transport.is_closing():
            self._send(LINE % time.monotonic_ns())
            self._next += self._step
            self._timer = self._loop.call_at(self._next, self._tick)


class Desktop(asyncio.Protocol):
    """Behind a proxy: it answers every request in its way. `ready` is done when the proxy has let it in."""

    def __init__(self, proxy: Proxy, ms: float) -> None:
        self._host = host(proxy)
        self._first = auth(proxy.session, "desktop", seconds=1200)
        self._ms = ms
        self._ws: Connection | None = None
        self._paces: dict[int, Pace] = {}
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(UPGRADE % self._host.encode())

    def data_received(self, data: bytes) -> None:
        if self._ws is None:
            data = data.partition(b"\r\n\r\n")[2]
            self._ws = Connection(ConnectionType.CLIENT)
            self._transport.write(self._ws.send(TextMessage(self._first)))
        self._ws.receive_data(data)
        for event in self._ws.events():
            if isinstance(event, Ping):
                self._transport.write(self._ws.send(Pong(event.payload)))
            elif isinstance(event, TextMessage) and not self.ready.done():
                self.ready.set_result(None)
            elif isinstance(event, TextMessage):
                self._heard(self._ws, event.data)

    def _heard(self, ws: Connection, message: str) -> None:
        frame = decode(message)
        if isinstance(frame, Request):
            head = encode(Response(frame.id, 200, NDJSON))
            assert isinstance(head, str)
            self._transport.write(ws.send(TextMessage(head)))
            number = frame.id.to_bytes(4, "big")
            self._paces[frame.id] = Pace(self._transport, lambda line: self._piece(number + line), self._ms)
        elif isinstance(frame, Cancel) and (pace := self._paces.pop(frame.id, None)):
            pace.stop()

    def _piece(self, body: bytes) -> None:
        size = len(body)
        length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
        self._transport.write(b"\x82" + length + bytes(4) + body)


class Direct(asyncio.Protocol):
    """The same answer over HTTP, without a proxy."""

    def __init__(self, ms: float) -> None:
        self._ms = ms

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, _data: bytes) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        Pace(self._transport, lambda line: self._transport.write(b"%x\r\n%b\r\n" % (len(line), line)), self._ms)


class Reader(asyncio.Protocol):
    """Asks, and notes how old each line is when it comes, in milliseconds, in `seen`."""

    def __init__(self, proxy: Proxy | None, seen: list[float]) -> None:
        bearer = token(proxy.session, seconds=1200) if proxy else "none"
        self._ask = (
            f"POST /api/chat HTTP/1.1\r\nhost: {host(proxy)}\r\nauthorization: Bearer {bearer}\r\n"
            "content-length: 2\r\n\r\n{}"
        ).encode()
        self.seen = seen
        self.lost = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self.transport.write(self._ask)

    def connection_lost(self, _exc: Exception | None) -> None:
        self.lost = True

    def data_received(self, data: bytes) -> None:
        now = time.monotonic_ns()
        self.seen.extend((now - int(stamp)) / 1e6 for stamp in STAMP.findall(data))
