"""A stand-in for a model server: Ollama's and OpenAI's streams, word by word as a test lets them through.

What it does not know it refuses, with 404.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Model:
    port: int = 0
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    words: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    """One word is said for each release."""
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    dropped: asyncio.Event = field(default_factory=asyncio.Event)
    """A client went away in the middle of an answer."""
    written: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.method, request.raw_path, dict(request.headers), body))
        match request.method, request.path:
            case (("GET" | "HEAD"), "/api/version"):
                return web.json_response({"version": "0.0.0"})
            case "POST", "/api/chat":
                return await self.stream(request, "application/x-ndjson", '{{"message":{{"content":"{}"}}}}\n')
            case "POST", "/v1/chat/completions":
                return await self.stream(request, "text/event-stream", 'data: {{"delta":"{}"}}\n\n')
            case "POST", "/api/embed":
                return web.json_response({"length": len(body)})
            case "GET", "/v1/models":
                return web.Response(text='{"data":[]}', headers={"X-One": "1", "Set-Cookie": "a=b", "Keep-Alive": "x"})
            case "GET", "/api/flood":
                return await self.flood(request)
            case "GET", "/api/cut":
                return await self.cut(request)
            case "GET", "/v1/elsewhere":
                raise web.HTTPFound("http://203.0.113.1/")
        return web.json_response({"error": "the stand-in does not know this"}, status=404)

    async def stream(self, request: web.Request, kind: str, form: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": kind})
        await response.prepare(request)
        self.begun.set()
        try:
            for number in range(3):
                await self.words.acquire()
                await response.write(form.format(f"word{number}").encode())
        except asyncio.CancelledError:
            self.dropped.set()
            raise
        return response

    async def flood(self, request: web.Request) -> web.StreamResponse:
        """64 MiB, as fast as they are taken."""
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1024):
            await response.write(b"x" * 65536)
            self.written += 65536
        return response

    async def cut(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(b"a part")
        assert request.transport is not None
        request.transport.close()
        return response


@asynccontextmanager
async def model_server(port: int = 0) -> AsyncIterator[Model]:
    model = Model()
    app = web.Application(client_max_size=64 * 2**20)
    app.router.add_route("*", "/{path:.*}", model.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    model.port = runner.addresses[0][1]
    try:
        yield model
    finally:
        await runner.cleanup()


def texts(body: bytes) -> list[str]:
    """The words of an NDJSON answer."""
    return [json.loads(line)["message"]["content"] for line in body.decode().splitlines()]
