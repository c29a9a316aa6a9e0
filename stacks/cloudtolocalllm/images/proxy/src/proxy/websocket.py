"""One WebSocket: wsproto's framing on asyncio's streams, with a ping, a limit on messages, and an end."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Iterable

import h11
from wsproto import ConnectionType
from wsproto.connection import Connection, ConnectionState
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import generate_accept_token

from .closing import CLOSE_SECONDS, READ, see_out
from .frames import MAX_MESSAGE, WINDOW, Close, Frame, ProtocolError, decode, encode


def acceptance(request: h11.Request) -> h11.InformationalResponse | None:
    """The answer to a request that wants to become a WebSocket; None if it is not a proper one."""
    given: dict[bytes, bytes] = dict(request.headers)
    try:
        nonce = base64.b64decode(given.get(b"sec-websocket-key", b""), validate=True)
    except binascii.Error:
        return None
    connection = {each.strip().lower() for each in given.get(b"connection", b"").split(b",")}
    if (
        request.method != b"GET"
        or given.get(b"upgrade", b"").lower() != b"websocket"
        or b"upgrade" not in connection
        or given.get(b"sec-websocket-version") != b"13"
        or len(nonce) != 16
    ):
        return None
    accept = generate_accept_token(given[b"sec-websocket-key"])
    headers = [(b"upgrade", b"websocket"), (b"connection", b"Upgrade"), (b"sec-websocket-accept", accept)]
    return h11.InformationalResponse(status_code=101, headers=headers)


class WebSocket:
    """After the handshake. `closed_with` is the code with which this side, or else the other, ended it."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, rest: bytes, ping_seconds: float
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._connection = Connection(ConnectionType.SERVER, trailing_data=rest)
        self._loop = asyncio.get_running_loop()
        self._parts: list[str | bytes] = []
        self._size = 0
        self._open = True
        self._heard = self._listening = False
        self._pinging = self._loop.create_task(self._ping(ping_seconds))
        self.closed_with: int | None = None
        self.came = self._loop.time()
        """The loop's time at which the last bytes were read."""
        writer.transport.set_write_buffer_limits(high=2 * WINDOW)

    def send(self, frame: Frame) -> None:
        """Raises ProtocolError if the frame is none; after the end it is dropped."""
        message = encode(frame)
        self._write(TextMessage(message) if isinstance(message, str) else BytesMessage(message))

    async def drained(self) -> None:
        """Wait until the other side has taken most of what was sent, or is gone."""
        try:
            await self._writer.drain()
        except OSError:
            pass

    async def receive(self) -> Frame | None:
        """The next frame; None at the end, whoever made it. Raises ProtocolError for what is no frame."""
        while True:
            message = self._message()
            if message is not None and self._open:
                return decode(message)
            if message is None and not await self._read():
                return None

    def close(self, code: int, reason: str = "") -> None:
        """Say goodbye. Nothing is sent or heard after that; who does not answer is cut off."""
        if self._open:
            self.closed_with = int(code)
            self._write(CloseConnection(code, reason))
            self._open = False
            self._loop.call_later(CLOSE_SECONDS, self._writer.transport.abort)

    async def end(self) -> None:
        """The connection goes, once the other side has what was sent to it, or a little later."""
        self.close(Close.GOING_AWAY)
        self._pinging.cancel()
        await see_out(self._reader, self._writer)

    def _message(self) -> str | bytes | None:
        """The next whole message of what was read."""
        while event := next(self._connection.events(), None):
            if isinstance(event, TextMessage | BytesMessage):
                self._size += len(event.data)
                if self._size > MAX_MESSAGE:
                    raise ProtocolError("too_large", f"a message has at most {MAX_MESSAGE} bytes")
                if event.data:
                    self._parts.append(event.data if isinstance(event.data, str) else bytes(event.data))
                if event.message_finished:
                    parts, self._parts, self._size = self._parts, [], 0
                    return joined(parts)
            elif isinstance(event, Ping):
                if self._writer.transport.get_write_buffer_size() < WINDOW:  # who pings has to listen, too
                    self._write(event.response())
            elif isinstance(event, CloseConnection):
                self._goodbye(event)
        return None

    async def _read(self) -> bool:
        """Whether there is more."""
        if self._connection.state in (ConnectionState.CLOSED, ConnectionState.REMOTE_CLOSING):
            return False
        self._listening = True
        try:
            data = await self._reader.read(READ)
        except OSError:
            return False
        finally:
            self._listening = False
        if not data:
            return False
        self._heard = True
        self.came = self._loop.time()
        self._connection.receive_data(data)
        return True

    def _goodbye(self, event: CloseConnection) -> None:
        """What the other side said, or what wsproto has against what it sent."""
        if self._connection.state is ConnectionState.OPEN:
            raise ProtocolError("bad_websocket", "that is no WebSocket's frame")
        if self._open:
            self.closed_with = int(event.code)
            self._write(event.response())
            self._open = False

    def _write(self, event: Event) -> None:
        if self._open and not self._writer.transport.is_closing():
            self._writer.write(self._connection.send(event))

    async def _ping(self, seconds: float) -> None:
        """Who is not heard for so long after a ping is gone; unless nobody listened, because others were slow."""
        while True:
            self._heard = False
            self._write(Ping())
            await asyncio.sleep(seconds)
            if self._listening and not self._heard:
                self._writer.transport.abort()
                return


def joined(parts: Iterable[str | bytes]) -> str | bytes:
    """A message is all text or all bytes; an empty one is bytes, and no frame either way."""
    text = [part for part in parts if isinstance(part, str)]
    return "".join(text) if text else b"".join(part for part in parts if isinstance(part, bytes))
