"""The service put together: its operations, what runs beside them, and how the process begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import msgspec
from starlette.routing import Router
from starlette.types import ASGIApp, Scope

from webservice.api import Call, Operation, Reply, openapi, routes
from webservice.tokens import Verifier
from webservice.web import Envelope, Problem

from . import history as h
from . import openai_api as v1
from .chat import Chat, ChatAnswer
from .engine import Engine
from .limits import Limits
from .metrics import Metrics
from .settings import Settings
from .store import Store
from .streams import Streams

log = logging.getLogger("gateway")


class Model(msgspec.Struct):
    id: str
    name: str


class Models(msgspec.Struct):
    """The models to choose from. `notice` is for people, where these are not what they seem."""

    models: list[Model]
    default: str | None
    notice: str | None


class Health(msgspec.Struct):
    """How it is."""

    status: str


class Gateway:
    """The parts of one process. Made inside its event loop."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=15, ttl_dns_cache=10),
            auto_decompress=False,
            headers={"accept-encoding": "identity"},
            read_bufsize=2**18,
        )
        self.verifier = Verifier(settings.trust)
        self.limits = Limits(settings.redis_url)
        self.store = Store(settings)
        self.engine = Engine(settings, self.http)
        self.streams = Streams(settings, metrics)
        self.chat = Chat(settings, self.store, self.engine, self.streams, metrics)
        self.history = h.History(self.store)
        self.v1 = v1.V1(self.engine, self.streams, metrics)
        self.draining = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        beside = [
            asyncio.create_task(work)
            for work in (self.verifier.poll(self.http), self.limits.probe(), self.store.prepare())
        ]
        for task in beside:
            task.add_done_callback(complain)
        try:
            yield
        finally:
            await self.streams.finish(after=0)
            for task in beside:
                task.cancel()
            await self.limits.close()
            await self.store.close()
            await self.http.close()

    async def drain(self) -> None:
        """From SIGTERM on: say so, and stop what is still under way when its time is over."""
        self.draining = True
        self.metrics.draining.set(1)
        await self.streams.finish(after=self.settings.drain_delay_seconds + self.settings.drain_seconds)

    # --- who asks ------------------------------------------------------------

    async def user(self, call: Call) -> None:
        await self._counted(call, "request", self.settings.requests_per_minute)

    async def chatter(self, call: Call) -> None:
        await self._counted(call, "chat", self.settings.chats_per_minute)

    async def _counted(self, call: Call, kind: str, limit: int) -> None:
        who = await self.verifier.caller(call)
        count = await self.limits.count(kind, who.sub, limit)
        self.metrics.limits_shared.set(self.limits.shared)
        count.check()
        call.scope["extra_headers"] = count.headers

    # --- small operations ----------------------------------------------------

    async def models(self, call: Call) -> Reply:
        names = await self.engine.models()
        models = [Model(name, name.removesuffix(":latest")) for name in names]
        return Reply(Models(models, self.engine.default(names), self.settings.model_notice or None))

    async def healthz(self, call: Call) -> Reply:
        return Reply(Health("ok"))

    async def readyz(self, call: Call) -> Reply:
        """The model and Redis may be away, since much works without them."""
        if self.draining:
            raise Problem(503, "draining", "This process is about to end.", retry_after=1)
        if not self.store.ready:
            raise Problem(503, "starting", "The database has not been migrated yet.", retry_after=1)
        if not self.verifier.ready:
            raise Problem(503, "keys_unavailable", "There are no keys to check tokens with yet.", retry_after=1)
        if not await self.store.answers():
            raise Problem(503, "storage_unavailable", "The database does not answer.", retry_after=1)
        return Reply(Health("ready"))

    async def metrics_text(self, call: Call) -> None:
        text = self.metrics.text()
        kind = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")
        await call.send({"type": "http.response.start", "status": 200, "headers": [kind]})
        await call.send({"type": "http.response.body", "body": text})


def events(*names: str) -> dict[str, object]:
    """The schema of each event of a stream; without names, events have none."""
    properties: dict[str, object] = {"data": {"type": "string", "contentMediaType": "application/json"}}
    if names:
        properties["event"] = {"enum": list(names)}
    return {"text/event-stream": {"schema": {"type": "object", "properties": properties, "required": [*properties]}}}


def operations(g: Gateway) -> list[Operation]:
    get, post, patch, delete = "GET", "POST", "PATCH", "DELETE"
    sessions, session, completions = "/api/sessions", "/api/sessions/{id:uuid}", "/v1/chat/completions"
    counted: Any = {"access": g.user, "headers": ("RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Reset")}
    chatting: Any = {**counted, "access": g.chatter, "limit": g.settings.max_body_bytes}
    spoken: Any = {**chatting, "media": {200: events("session", "token", "done", "error")}}
    like_openai: Any = {"failure": v1.V1Failure}
    completing: Any = {**chatting, **like_openai, "media": {200: events()}}
    v1_counted: Any = {**counted, **like_openai}
    plain = {200: {"text/plain": {"schema": {"type": "string"}}}}
    asks = (403, 404, 413, 422, 429)
    return [
        Operation(get, "/api/models", g.models, "Models to choose from", {200: Models}, (403, 429), **counted),
        Operation(post, "/api/chat", g.chat.chat, "Ask", {200: ChatAnswer}, asks, **spoken),
        Operation(post, f"{session}/retry", g.chat.retry, "Answer again", {200: ChatAnswer}, (*asks, 409), **spoken),
        Operation(get, sessions, g.history.list_sessions, "My sessions", {200: h.Sessions}, (403, 429), **counted),
        Operation(get, session, g.history.get_session, "A session", {200: h.Conversation}, (403, 404, 429), **counted),
        Operation(patch, session, g.history.rename_session, "Rename", {200: h.Renamed}, (403, 404, 429), **counted),
        Operation(delete, session, g.history.delete_session, "Delete", {204: None}, (403, 404, 429), **counted),
        Operation(get, "/v1/models", g.v1.list_models, "Models", {200: v1.Models}, (403, 429), **v1_counted),
        Operation(post, completions, g.v1.create_completion, "Ask", {200: v1.Completion}, asks, **completing),
        Operation(get, "/healthz", g.healthz, "Whether the process runs", {200: Health}, quiet=True),
        Operation(get, "/readyz", g.readyz, "Whether it can work", {200: Health}, (503,), quiet=True),
        Operation(get, "/metrics", g.metrics_text, "For Prometheus", {200: None}, media=plain, quiet=True),
    ]


class Application:
    """The ASGI application; `drain()` begins its end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._gateway: Gateway | None = None
        self._draining: asyncio.Task[None] | None = None
        router = Router(redirect_slashes=False, lifespan=self._lifespan)
        self._router = router
        self.asgi: ASGIApp = Envelope(
            router,
            log=log,
            observe=self._observe,
            closing=lambda: self._gateway is not None and self._gateway.draining,
            render=lambda problem, path: v1.failure(problem) if path.startswith("/v1/") else problem.body(),
        )

    def drain(self) -> None:
        if self._gateway is not None:
            self._draining = asyncio.get_running_loop().create_task(self._gateway.drain())

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: object) -> AsyncIterator[None]:
        self._gateway = Gateway(self._settings, self._metrics)
        table = operations(self._gateway)
        document = msgspec.json.encode(openapi("gateway", "1.0.0", table))

        async def openapi_json(_call: Call) -> Reply:
            return Reply(msgspec.Raw(document))

        table.append(Operation("GET", "/api/openapi.json", openapi_json, "This document", {200: dict}))
        self._router.routes.extend(routes(table))
        async with self._gateway.running():
            yield

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        operation = scope.get("operation")
        route = operation.path if operation else "none"
        self._metrics.requests.labels(scope["method"], route, str(status)).inc()
        self._metrics.seconds.labels(route).observe(seconds)


def complain(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a background task ended", exc_info=error)
