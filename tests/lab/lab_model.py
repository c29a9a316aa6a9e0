"""A stand-in for the model server on a desktop: says whose it is. What it does not know it refuses, with 404."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack

from aiohttp import web

PAUSE = 0.05
"""Seconds between two words."""


class Model:
    """Says its owner's name, word for word, as often as it is asked to, and then the question."""

    def __init__(self, owner: str) -> None:
        self._owner = owner

    async def handle(self, request: web.Request) -> web.StreamResponse:
        match request.method, request.path:
            case "GET", "/api/version":
                return web.json_response({"version": "0.0.0"})
            case "POST", "/api/generate":
                return await self._say(request)
        return web.json_response({"error": "the stand-in does not know this"}, status=404)

    async def _say(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for number in range(asked["options"]["num_predict"]):
            await response.write(json.dumps({"response": f"{self._owner} {number} ", "done": False}).encode() + b"\n")
            await asyncio.sleep(PAUSE)
        await response.write(json.dumps({"response": asked["prompt"], "done": True}).encode() + b"\n")
        return response

    async def serve(self, stack: AsyncExitStack) -> str:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.2)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{runner.addresses[0][1]}"


def asking(question: str, words: int) -> bytes:
    return json.dumps({"model": "stand-in", "prompt": question, "options": {"num_predict": words}}).encode()


def saying(owner: str, words: int) -> str:
    return "".join(f"{owner} {number} " for number in range(words))
