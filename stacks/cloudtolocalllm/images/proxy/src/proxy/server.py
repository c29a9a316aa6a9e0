"""The doors of the proxy: which request is for whom, and who may make it."""

from __future__ import annotations

import asyncio
import signal
import time
from datetime import UTC, datetime

import h11

from . import doors
from .exchange import Exchange
from .log import log, say, where
from .passage import METHODS, ROOTS
from .session import Session
from .settings import Settings
from .streams import Problem
from .tokens import Refused, Role, Tokens
from .web import Gone, Http
from .websocket import WebSocket, acceptance

MAX_CONNECTIONS = 256
SOCKETS: dict[str, Role] = {"/ws/client": "client", "/ws/desktop": "desktop"}
NOT_FOUND = Problem(404, "not_found", "There is nothing here.")
NOT_ALLOWED = Problem(405, "method_not_allowed", "This path does not know that method.")
FULL = Problem(503, "too_many_connections", "There are too many connections.", retry_after=5)
ORIGIN = Problem(403, "wrong_origin", "Pages of another origin are not served.")
NO_TOKEN = Problem(401, "no_token", "A request brings a token.")
NO_SOCKET = Problem(426, "websocket_wanted", "This path is a WebSocket's.")


class Server:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._session = Session(settings.session_id, settings.reconnect_seconds)
        self._tokens = Tokens(settings.session_id, settings.session_key, time.time, settings.clock_seconds)
        self._connections: set[asyncio.Task[None]] = set()
        self._sockets: set[WebSocket] = set()
        self._draining = False

    async def run(self) -> None:
        """Until SIGTERM or SIGINT; what is under way then has drain_seconds to end."""
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        listener = await asyncio.start_server(self._connected, self._settings.host, self._settings.port, backlog=1024)
        say("listening", session=self._settings.session_id, port=self._settings.port)
        sweeping = loop.create_task(self._sweep())
        await stop.wait()
        say("draining", streams=self._session.under_way)
        self._draining = True
        listener.close()
        try:
            async with asyncio.timeout(self._settings.drain_seconds):
                while self._session.under_way:
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pass
        sweeping.cancel()
        for socket in self._sockets:
            socket.close(1001, "going away")
        for _ in range(3):
            if self._connections:
                # Each hears the end for a second; then it is interrupted, in what it does and in its own farewell.
                await asyncio.wait(self._connections, timeout=1)
            for task in self._connections:
                task.cancel()
        say("ended")

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(min(5, self._settings.stream_idle_seconds))
            self._session.sweep(self._settings.stream_idle_seconds)

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = Http(reader, writer)
        try:
            await self._requests(http)
        except Gone:
            await http.close()
        except Exception as error:
            log.error("unexpected", extra={"fields": where(error)})
            http.cut_off(0)

    async def _requests(self, http: Http) -> None:
        while (request := await http.request()) is not None:
            http.extra = {}
            if len(self._connections) > MAX_CONNECTIONS:
                await http.problem(FULL)
                break
            path = request.target.decode("ascii").partition("?")[0]
            try:
                if (role := SOCKETS.get(path)) is not None:
                    await self._upgrade(http, request, role)
                    return
                await self._route(http, request, path)
            except Problem as problem:
                await http.problem(problem)
            except Refused as refused:
                say("refused", path=path, code=refused.code)
                await http.problem(Problem(refused.status, refused.code, refused.message))
            if self._draining or not http.next():
                break
        await http.close()

    async def _route(self, http: Http, request: h11.Request, path: str) -> None:
        http.extra = self._origin(request)
        if path in ("/health", "/session"):
            if request.method not in (b"GET", b"HEAD"):
                raise NOT_ALLOWED
            if path == "/health":
                now = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
                healthy = {"status": "draining" if self._draining else "healthy", "timestamp": now}
                await http.answer(503 if self._draining else 200, healthy)
            else:
                self._bearer(request, "control")
                await http.answer(200, self._session.facts())
        elif not path.startswith(ROOTS):
            raise NOT_FOUND
        elif request.method == b"OPTIONS":
            await http.answer(204, None, self._preflight())
        elif request.method.decode("ascii") not in METHODS:
            raise NOT_ALLOWED
        else:
            self._bearer(request, "client")
            await self._carry(http, request, path)

    async def _carry(self, http: Http, request: h11.Request, path: str) -> None:
        exchange = Exchange(http, self._session)
        began = time.perf_counter()
        code = None
        try:
            await exchange.carry(request)
        except Problem as problem:
            code = problem.code
            raise
        except h11.LocalProtocolError:
            code = "bad_answer"
            raise Gone from None
        except Gone:
            code = exchange.failed
            raise
        finally:
            took = round((time.perf_counter() - began) * 1000, 1)
            method = request.method.decode("ascii")
            say("request", method=method, path=path, status=exchange.status, code=code, ms=took, bytes=exchange.size)

    async def _upgrade(self, http: Http, request: h11.Request, role: Role) -> None:
        self._origin(request)
        accepted = acceptance(request)
        if accepted is None:
            raise NO_SOCKET
        socket = http.upgrade(accepted, self._settings.ping_seconds)
        self._sockets.add(socket)
        try:
            await doors.serve(socket, role, self._session, self._tokens, self._settings)
        finally:
            self._sockets.discard(socket)

    def _bearer(self, request: h11.Request, role: Role) -> None:
        scheme, _, token = dict(request.headers).get(b"authorization", b"").decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise NO_TOKEN
        self._tokens.check(token.strip(), role)

    def _origin(self, request: h11.Request) -> dict[str, str]:
        """The portal's pages may ask, and read what is answered; those of other origins may not."""
        origin = dict(request.headers).get(b"origin")
        if origin is None:
            return {"vary": "Origin"}
        if origin.decode("latin-1") != self._settings.portal_origin:
            raise ORIGIN
        return {"vary": "Origin", "access-control-allow-origin": self._settings.portal_origin}

    @staticmethod
    def _preflight() -> dict[str, str]:
        return {
            "access-control-allow-methods": ", ".join(sorted(METHODS)),
            "access-control-allow-headers": "Authorization, Content-Type",
            "access-control-max-age": "600",
        }
