"""The service put together: its operations, what runs beside them, and how the process begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import logging
from collections.abc import AsyncIterator
from typing import Annotated

import msgspec
from starlette.routing import Router
from starlette.types import ASGIApp, Scope, Send

from webservice.api import Call, Operation, Reply, routes
from webservice.web import Envelope, Problem

from . import pages
from .engine import Engine, EngineError
from .metrics import Metrics
from .proxies import Counters, Proxies
from .sessions import Ended, Live, Sessions
from .settings import Settings
from .shapes import NAME, Session
from .watch import Watch

log = logging.getLogger("users")

RETRY_SECONDS = 2


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """Whose session is wanted. Who that is, and that nobody else has the name, is the API's to know."""

    name: Annotated[str, msgspec.Meta(pattern=rf"\A{NAME.pattern}\Z")]


class Begun(msgspec.Struct, rename="camel"):
    """A session whose proxy answers. `created` in seconds since 1970; if another process of the manager began it, that
    is when its container was made."""

    session_id: str
    name: str
    created: int


class Listed(Begun, kw_only=True):
    """A session there is. `counters` is what its proxy said last; `healthy` whether it answered when last asked."""

    healthy: bool
    counters: Counters | None


class Over(Begun, kw_only=True):
    """A session that has ended: idle, lost (somebody else removed its container), unhealthy, or asked for."""

    ended: float
    reason: str
    counters: Counters | None


class AllSessions(msgspec.Struct):
    """All there are, and the last ones that ended since the process began."""

    sessions: list[Listed]
    ended: list[Over]


class Health(msgspec.Struct):
    status: str


class Users:
    """The parts of one process. Made inside its event loop."""

    def __init__(self, settings: Settings, metrics: Metrics) -> None:
        self.settings = settings
        self.metrics = metrics
        self.engine = Engine(settings.stack, settings.docker_url, at_once=settings.docker_calls, observe=metrics.docker)
        self.proxies = Proxies(settings.door_url, settings.streaming_key)
        self.sessions = Sessions(settings, self.engine, self.proxies, metrics)
        self.watch = Watch(self.sessions)
        metrics.of(self.sessions)
        self.adopted = False
        self.draining = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        beside = asyncio.create_task(self._beside())
        try:
            yield
        finally:
            beside.cancel()
            await asyncio.gather(beside, return_exceptions=True)
            await self.proxies.close()
            self.engine.close()

    async def _beside(self) -> None:
        """First what an earlier process left; nothing is begun before that is known."""
        while not self.adopted:
            try:
                await self.sessions.adopt()
                self.adopted = True
            except EngineError as error:
                log.warning("not ready", extra={"fields": {"why": str(error)}})
                await asyncio.sleep(RETRY_SECONDS)
        await asyncio.gather(*self.watch.rounds())

    # --- who asks ------------------------------------------------------------

    async def api(self, call: Call) -> None:
        """The API service, by its key; nobody while it is not known what is there."""
        scheme, _, key = call.headers.get("authorization", "").partition(" ")
        known = hmac.compare_digest(key.strip().encode(), self.settings.manager_key.encode())
        if scheme.lower() != "bearer" or not known:
            raise Problem(401, "invalid_key", "The manager's key is missing or wrong.")
        if not self.adopted:
            raise Problem(503, "not_ready", "It is not known yet which sessions there are.", retry_after=RETRY_SECONDS)

    # --- operations ----------------------------------------------------------

    async def put_session(self, call: Call, body: Wanted) -> Reply:
        session = await self.sessions.open(body.name)
        return Reply(Begun(session.id, session.name, session.created))

    async def get_sessions(self, call: Call) -> Reply:
        live, ended = self.sessions.live.values(), self.sessions.ended
        return Reply(AllSessions([listed(one) for one in live], [over(one) for one in ended]))

    async def delete_session(self, call: Call) -> Reply:
        return Reply(over(await self.sessions.close(str(call.params["id"]), "asked")))

    async def landing(self, call: Call) -> None:
        await page(call.send, 200, pages.landing(self.settings.portal_origin))

    async def missing(self, call: Call) -> None:
        """Where nginx leads what it found no answer for; the host's first part is the user's name."""
        name = call.headers.get("host", "").partition(".")[0].lower()
        portal = self.settings.portal_origin
        there = name in self.sessions.live or name in self.sessions.holding or not self.adopted
        if "text/html" in call.headers.get("accept", ""):
            if there:
                await page(call.send, 503, pages.starting(portal), {"retry-after": str(pages.RETRY_SECONDS)})
            else:
                await page(call.send, 404, pages.missing(portal))
            return
        # A program; the portal's may read why.
        call.scope["extra_headers"] = {"access-control-allow-origin": portal, "vary": "accept, origin"}
        if there:
            raise Problem(503, "starting", "The session is starting.", retry_after=pages.RETRY_SECONDS)
        raise Problem(404, "no_session", "There is no session at this address.")

    async def healthz(self, call: Call) -> Reply:
        return Reply(Health("ok"))

    async def readyz(self, call: Call) -> Reply:
        ready = self.adopted and not self.draining
        return Reply(Health("ready" if ready else "draining" if self.draining else "starting"), 200 if ready else 503)

    async def metrics_text(self, call: Call) -> None:
        await text(call.send, 200, self.metrics.text(), {"content-type": "text/plain; version=0.0.4; charset=utf-8"})


def listed(live: Live) -> Listed:
    s: Session = live.session
    return Listed(s.id, s.name, s.created, healthy=not live.failures, counters=live.counters)


def over(one: Ended) -> Over:
    s = one.session
    return Over(s.id, s.name, s.created, ended=one.ended, reason=one.reason, counters=one.counters)


async def page(send: Send, status: int, content: str, headers: dict[str, str] | None = None) -> None:
    await text(send, status, content.encode(), {**pages.HEADERS, "vary": "accept", **(headers or {})})


async def text(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    head = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    head.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


def operations(u: Users) -> list[Operation]:
    get = "GET"
    return [
        Operation("PUT", "/sessions", u.put_session, "Have a session", {200: Begun}, access=u.api),
        Operation(get, "/sessions", u.get_sessions, "All sessions", {200: AllSessions}, access=u.api, quiet=True),
        Operation("DELETE", "/sessions/{id}", u.delete_session, "End a session", {200: Over}, (404,), u.api),
        Operation(get, "/", u.landing, "What this is", {200: None}),
        # nginx leads any request here, as it came.
        *(
            Operation(method, "/missing", u.missing, "For a name without an answer", {}, (404, 503))
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE")
        ),
        Operation(get, "/healthz", u.healthz, "Whether it is there", {200: Health}, quiet=True),
        Operation(get, "/readyz", u.readyz, "Whether it can work", {200: Health}, (503,), quiet=True),
        Operation(get, "/metrics", u.metrics_text, "For Prometheus", {200: None}, quiet=True),
    ]


class Application:
    """The ASGI application; `drain()` begins its end."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._metrics = Metrics()
        self._users: Users | None = None
        self._router = Router(redirect_slashes=False, lifespan=self._lifespan)
        self.asgi: ASGIApp = Envelope(
            self._router,
            log=log,
            observe=self._observe,
            closing=lambda: self._users is not None and self._users.draining,
        )

    def drain(self) -> None:
        if self._users is not None:
            self._users.draining = True

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: object) -> AsyncIterator[None]:
        self._users = Users(self._settings, self._metrics)
        self._router.routes.extend(routes(operations(self._users)))
        async with self._users.running():
            yield

    def _observe(self, scope: Scope, status: int, seconds: float) -> None:
        operation = scope.get("operation")
        route = operation.path if operation else "none"
        self._metrics.requests.labels(scope["method"], route, str(status)).inc()
