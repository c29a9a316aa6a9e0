"""A stand-in for the desktop: it speaks frames to a proxy and answers like a model's server, always in the same words.

It knows the paths of `Desktop.ways` and refuses everything else.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from proxy.frames import (
    Cancel,
    Data,
    End,
    Error,
    Frame,
    Ready,
    ReceiveWindow,
    Request,
    Response,
    SendWindow,
    Window,
    decode,
    encode,
    pieces,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from world import Proxy, auth

JSON = (("content-type", "application/json"),)
NDJSON = (("content-type", "application/x-ndjson"),)
SSE = (("content-type", "text/event-stream"),)


class Asked:
    """One request that came, with its body, and the way back."""

    def __init__(self, desktop: Desktop, request: Request) -> None:
        self.request = request
        self.path, _, self.query = request.path.partition("?")
        self.headers = dict(request.headers)
        self.inward = ReceiveWindow()
        self.outward = SendWindow()
        self.body: asyncio.Queue[bytes] = asyncio.Queue()
        self.credit = asyncio.Event()
        self.cancelled = False
        self.sent = 0
        self.task: asyncio.Task[None]
        self._desktop = desktop

    async def read(self) -> bytes:
        """Takes the body as fast as it comes."""
        body = bytearray()
        while piece := await self.body.get():
            body += piece
            await self.took(len(piece))
        return bytes(body)

    async def took(self, amount: int) -> None:
        if given := self.inward.consume(amount):
            await self._desktop.send(Window(self.request.id, given))

    async def head(self, status: int = 200, headers: tuple[tuple[str, str], ...] = JSON) -> None:
        await self._desktop.send(Response(self.request.id, status, headers))

    async def write(self, body: bytes) -> None:
        """As far as there is credit, and then as there is more."""
        while body:
            while not self.outward.credit:
                self.credit.clear()
                await self.credit.wait()
            part, body = body[: self.outward.credit], body[self.outward.credit :]
            self.outward.take(len(part))
            for piece in pieces(self.request.id, part):
                await self._desktop.send(piece)
            self.sent += len(part)

    async def end(self) -> None:
        await self._desktop.send(End(self.request.id))


class Desktop:
    """`async with Desktop(proxy):` it is there. `asked` are the requests that came, in order."""

    def __init__(self, proxy: Proxy, *, ms: float = 1, tokens: int = 8) -> None:
        self.proxy = proxy
        self.ms = ms
        self.tokens = tokens
        self.asked: list[Asked] = []
        self.closed: int | None = None
        self._under_way: dict[int, Asked] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.ways: dict[str, Callable[[Asked], Awaitable[None]]] = {
            "POST /api/chat": self.chat,
            "POST /v1/chat/completions": self.completions,
            "GET /api/tags": self.tags,
            "HEAD /api/tags": self.tags,
            "DELETE /api/delete": self.digest,
            "POST /api/blobs": self.digest,
            "POST /api/slow": self.slow,
            "GET /api/flood": self.flood,
            "GET /api/silent": self.silent,
            "GET /api/headers": self.headers,
            "GET /api/broken": self.broken,
            "GET /api/refused": self.refused,
            "GET /api/lies": self.lies,
        }

    async def __aenter__(self) -> Self:
        self.socket: ClientConnection = await connect(f"{self.proxy.ws}/ws/desktop", proxy=None, close_timeout=1)
        await self.socket.send(auth(self.proxy.session, "desktop"))
        assert decode(await self.socket.recv()) == Ready(self.proxy.session)
        self._listening = asyncio.create_task(self._listen())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.socket.close()
        await self.gone()

    async def drop(self) -> None:
        """The connection breaks, without a word."""
        self.socket.transport.abort()
        await self.gone()

    async def gone(self) -> None:
        await self._listening
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def send(self, frame: Frame) -> None:
        await self.socket.send(encode(frame))

    async def _listen(self) -> None:
        try:
            async for message in self.socket:
                await self._frame(decode(message))
        except ConnectionClosed:
            pass
        self.closed = self.socket.close_code

    async def _frame(self, frame: Frame) -> None:
        if isinstance(frame, Request):
            asked = Asked(self, frame)
            self.asked.append(asked)
            self._under_way[frame.id] = asked
            task = asyncio.create_task(self._answer(asked))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            asked.task = task
            return
        assert isinstance(frame, Data | End | Cancel | Window), frame
        asked = self._under_way[frame.id]
        match frame:
            case Data(body=body):
                asked.inward.receive(len(body))
                asked.body.put_nowait(body)
            case End():
                asked.body.put_nowait(b"")
            case Window(bytes=amount):
                asked.outward.give(amount)
                asked.credit.set()
            case Cancel():
                asked.cancelled = True
                asked.task.cancel()

    async def _answer(self, asked: Asked) -> None:
        way = self.ways.get(f"{asked.request.method} {asked.path}")
        try:
            if way is None:
                await self.send(Error(asked.request.id, "unknown", "The stand-in does not know that."))
            else:
                await way(asked)
        except ConnectionClosed:
            pass

    async def chat(self, asked: Asked) -> None:
        """NDJSON, as Ollama streams it. `stamp` is the machine's monotonic clock at the time of sending."""
        given = json.loads(await asked.read())
        await asked.head(200, NDJSON)
        count = given.get("options", {}).get("num_predict", self.tokens)
        for number in range(count):
            await asyncio.sleep(self.ms / 1000)
            await asked.write(ndjson(number))
        await asked.write(b'{"model":"standin","done":true}\n')
        await asked.end()

    async def completions(self, asked: Asked) -> None:
        await asked.read()
        await asked.head(200, SSE)
        for number in range(self.tokens):
            await asyncio.sleep(self.ms / 1000)
            choice = {"index": 0, "delta": {"content": f"w{number} "}, "finish_reason": None}
            await asked.write(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")
        await asked.write(b"data: [DONE]\n\n")
        await asked.end()

    async def tags(self, asked: Asked) -> None:
        body = b'{"models":[{"name":"standin:latest"}]}'
        await asked.head(200, (*JSON, ("content-length", str(len(body)))))
        if asked.request.method == "GET":
            await asked.write(body)
        await asked.end()

    async def digest(self, asked: Asked) -> None:
        body = await asked.read()
        await asked.head()
        await asked.write(json.dumps({"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}).encode())
        await asked.end()

    async def slow(self, asked: Asked) -> None:
        """Does not take the body."""
        await asyncio.Event().wait()

    async def flood(self, asked: Asked) -> None:
        """As much as anybody takes, up to the number of bytes in the query."""
        await asked.head(200, (("content-type", "application/octet-stream"),))
        left = int(asked.query)
        while left:
            piece = bytes(min(left, 2**16))
            await asked.write(piece)
            left -= len(piece)
        await asked.end()

    async def silent(self, asked: Asked) -> None:
        await asyncio.Event().wait()

    async def headers(self, asked: Asked) -> None:
        extra = (
            *JSON, ("set-cookie", "a=b"), ("access-control-allow-origin", "*"), ("connection", "x-one"), ("x-one", "1"),
            ("x-two", "2"),
        )  # fmt: skip
        await asked.head(200, extra)
        await asked.write(json.dumps({"path": asked.request.path, "headers": asked.headers}).encode())
        await asked.end()

    async def broken(self, asked: Asked) -> None:
        await asked.head(200, NDJSON if asked.query == "ndjson" else SSE)
        await asked.write(b'{"n":1}\n')
        await asyncio.sleep(0.05)
        await self.send(Error(asked.request.id, "model_lost", "The model's server went away."))

    async def refused(self, asked: Asked) -> None:
        await self.send(Error(asked.request.id, "model_unreachable", "No model's server is there."))

    async def lies(self, asked: Asked) -> None:
        """Its length is not what it says."""
        await asked.head(200, (*JSON, ("content-length", "5")))
        await asked.write(b"much longer than that")
        await asked.end()


def ndjson(number: int) -> bytes:
    message = {"role": "assistant", "content": f"w{number} "}
    return (
        json.dumps({"model": "standin", "stamp": time.monotonic_ns(), "message": message, "done": False}).encode()
        + b"\n"
    )
