"""HTTP doors of this machine to the local server: one for its own programs, one for the tunnel, which is guarded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

from aiohttp import web

from ctl.bridge.frames import MAX_BODY, MAX_STREAMS
from ctl.bridge.local import Local, away, problem
from ctl.bridge.near import of_this_machine, passes
from ctl.bridge.passage import carried
from ctl.bridge.reaching import Failed
from ctl.bridge.wording import Status
from ctl.core.errors import UsageError

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

NO_MORE: Mapping[str, str] = {}


class TooLarge(Exception):
    """A body that is larger than any may be."""


async def carry(
    request: web.Request, local: Local, status: Status, more: Mapping[str, str] = NO_MORE
) -> web.StreamResponse:
    """The local server's answer, each piece as soon as it is there, with `more` headers."""
    if not passes(request.method, request.raw_path):
        return web.json_response(problem("not_carried", "Only /api/ and /v1/ are carried."), status=403, headers=more)
    if (request.content_length or 0) > MAX_BODY:
        return web.json_response(problem("body_too_large", "The request is too large."), status=413, headers=more)
    status.requests += 1
    status.active += 1
    headers = carried(request.headers.items())
    body = _body(request, status) if request.body_exists else None
    response: web.StreamResponse | None = None
    try:
        async with local.ask(request.method, request.raw_path, headers, body) as answer:
            response = web.StreamResponse(status=answer.status, headers=dict(carried(answer.headers.items())))
            response.headers.update(more)
            await response.prepare(request)
            async for piece in local.body(answer):
                await response.write(piece)
                status.bytes_out += len(piece)
            await response.write_eof()
            return response
    except Failed as error:
        status.last_error = error.message
        if response is not None and response.prepared:
            raise ConnectionAbortedError from error  # cut, so that nobody takes a part for the whole
        return web.json_response(away(error), status=502, headers=more)
    finally:
        status.active -= 1


async def _body(request: web.Request, status: Status) -> AsyncIterator[bytes]:
    received = 0
    async for piece in request.content.iter_any():
        received += len(piece)
        if received > MAX_BODY:
            raise TooLarge
        status.bytes_in += len(piece)
        yield piece


@asynccontextmanager
async def serving(handler: Handler, host: str, port: int) -> AsyncIterator[int]:
    """An HTTP server; gives its port. Who goes away ends his request. Raises UsageError if the address is taken."""
    under_way = asyncio.Semaphore(MAX_STREAMS)

    async def limited(request: web.Request) -> web.StreamResponse:
        async with under_way:
            return await handler(request)

    app = web.Application(client_max_size=MAX_BODY)
    app.router.add_route("*", "/{path:.*}", limited)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=2.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            raise UsageError(f"{host}:{port} cannot be listened on: {error.strerror}") from error
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def own_door(local: Local, status: Status) -> Handler:
    """For the programs of this desktop. Pages of the web may not use it, though a browser could reach it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        if not of_this_machine(request.headers.get("Host", ""), request.headers.get("Origin", "")):
            return web.json_response(problem("not_from_here", "This door is for programs of this machine."), status=403)
        return await carry(request, local, status)

    return handle
