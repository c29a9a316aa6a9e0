"""The service put together: its operations, what runs beside them, and how the process begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Router
from starlette.types import ASGIApp, Scope

from webservice.api import Call, Operation, Reply, openapi, routes
from webservice.tokens import Verifier
from webservice.web import Envelope, Problem

from . import shapes as s
from .following import Following
from .metrics import Metrics
from .sessions import Sessions
from .settings import Settings
from .store import Store
from .user_manager import UserManager

log = logging.getLogger("streaming")
COUNTED = ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")


class Streaming:
    """The parts of one process. Made inside its event loop."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.metrics = metrics
        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=64, keepalive_timeout=15, ttl_dns_cache=10),
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        self.verifier = Verifier(settings.trust)
        self.store = Store(settings)
        manager = UserManager(settings, self.http, metrics)
        self.following = Following(settings, self.store, manager, metrics)
        self.sessions = Sessions(settings, self.verifier, self.store, manager, self.following, metrics)
        self.draining = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        works = (self.verifier.poll(self.http), self.store.prepare(), self.following.run())
        beside = [asyncio.create_task(work) for work in works]
        for task in beside:
            task.add_done_callback(complain)
        try:
            yield
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
            await self.store.close()
            await self.http.close()

    async def healthz(self, call: Call) -> Reply:
        return Reply(s.Health("ok"))

    async def readyz(self, call: Call) -> Reply:
        """The user-manager may be away: who has a session goes on, and tokens are still made."""
        if self.draining:
            raise Problem(503, "draining", "This process is about to end.", retry_after=1)
        if not self.store.ready:
            raise Problem(503, "starting", "The database has not been migrated yet.", retry_after=1)
        if not self.verifier.ready:
            raise Problem(503, "keys_unavailable", "There are no keys to check tokens with yet.", retry_after=1)
        if not await self.store.answers():
            raise Problem(503, "storage_unavailable", "The database does not answer.", retry_after=1)
        return Reply(s.Health("ready"))

    async def metrics_text(self, call: Call) -> None:
        kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        await call.send({"type": "http.response.start", "status": 200, "headers": [kind]})
        await call.send({"type": "http.response.body", "body": self.metrics.text()})


def operations(streaming: Streaming) -> list[Operation]:
    get, post = "GET", "POST"
    top, all_of_them = "/api/streaming", "/api/admin/streaming/sessions"
    one, o = f"{top}/{{sessionId}}", streaming.sessions
    mine: Any = {"access": o.user, "headers": COUNTED}
    creating: Any = {"access": o.creator, "headers": COUNTED}
    administering: Any = {"access": o.admin, "headers": COUNTED}
    plain = {200: {"text/plain": {"schema": {"type": "string"}}}}
    asks = (403, 404, 429)
    return [
        Operation(post, f"{top}/create", o.create_session, "My session", {200: s.Created}, (403, 429, 502), **creating),
        Operation(get, f"{top}/sessions", o.list_sessions, "My sessions", {200: s.Sessions}, (403, 429), **mine),
        Operation(post, f"{one}/token", o.make_token, "A token for it", {200: s.SessionToken}, asks, **mine),
        Operation("PUT", f"{one}/tunnel", o.set_tunnel, "Its other way", {204: None}, asks, **mine),
        Operation("DELETE", one, o.end_session, "End it", {204: None}, (*asks, 502), **mine),
        Operation(get, all_of_them, o.list_all_sessions, "All", {200: s.UserSessions}, (403, 429), **administering),
        Operation(get, "/healthz", streaming.healthz, "Whether the process runs", {200: s.Health}, quiet=True),
        Operation(get, "/readyz", streaming.readyz, "Whether it can work", {200: s.Health}, (503,), quiet=True),
        Operation(get, "/metrics", streaming.metrics_text, "For Prometheus", {200: None}, media=plain, quiet=True),
    ]


class Application:
    """The ASGI application; `drain()` begins its end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._streaming: Streaming | None = None
        self._router = Router(redirect_slashes=False, lifespan=self._lifespan)
        envelope = Envelope(
            self._router,
            log=log,
            observe=self._observe,
            closing=lambda: self._streaming is not None and self._streaming.draining,
        )
        # Outermost, so that the portal's page may read errors too.
        self.asgi: ASGIApp = CORSMiddleware(
            envelope,
            allow_origins=[settings.portal_origin],
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["authorization", "content-type", "x-request-id"],
            expose_headers=[*COUNTED, "Retry-After", "X-Request-ID"],
        )

    def drain(self) -> None:
        if self._streaming is not None:
            self._streaming.draining = True
            self._metrics.draining.set(1)

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: object) -> AsyncIterator[None]:
        self._streaming = Streaming(self._settings, self._metrics)
        table = operations(self._streaming)
        document = msgspec.json.encode(openapi("streaming", "1.0.0", table))

        async def openapi_json(_call: Call) -> Reply:
            return Reply(msgspec.Raw(document))

        table.append(Operation("GET", "/api/openapi.json", openapi_json, "This document", {200: dict}))
        self._router.routes.extend(routes(table))
        async with self._streaming.running():
            yield

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        operation = scope.get("operation")
        route = operation.path if operation else "none"
        self._metrics.requests.labels(scope["method"], route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)


def complain(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a background task ended", exc_info=error)
