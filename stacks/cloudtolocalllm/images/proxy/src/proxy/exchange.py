"""One request over HTTP, its way to the desktop, and the answer as it comes."""

from __future__ import annotations

import asyncio
import json
import re

import h11

from .closing import CLOSE_SECONDS
from .frames import MAX_BODY, Headers
from .session import Session
from .streams import Problem, Stream
from .web import ALWAYS, Gone, Http

LENGTH = re.compile(r"[0-9]{1,15}")
CANCELLED = Problem(499, "cancelled", "Who asked went away.")


class Exchange:
    """Who waits for the answer, of which it keeps what is not written yet: at most the credit that it gave."""

    def __init__(self, http: Http, session: Session) -> None:
        self._http = http
        self._session = session
        self._news = asyncio.Event()
        self._credit = asyncio.Event()
        self._head: tuple[int, Headers] | None = None
        self._came = 0.0
        self._unwritten = bytearray()
        self._kind = ""
        self._ended = False
        self._problem: Problem | None = None
        self.status = 0
        self.size = 0

    @property
    def failed(self) -> str | None:
        """The code of what went wrong after the answer began."""
        return None if self._problem is None else self._problem.code

    async def carry(self, request: h11.Request) -> None:
        """Raises Problem while nothing is answered yet; Gone when the connection is of no more use."""
        headers = tuple((name.decode("ascii"), value.decode("latin-1")) for name, value in request.headers)
        if int(dict(headers).get("content-length", "0")) > MAX_BODY:
            raise self._session.counted(Problem(413, "body_too_large", f"A request has at most {MAX_BODY} bytes."))
        stream = await self._session.open(request.method.decode("ascii"), request.target.decode("ascii"), headers, self)
        body = asyncio.get_running_loop().create_task(self._ask(stream))
        try:
            await self._answer(stream)
        finally:
            self._session.cancel(stream)
            body.cancel()
            await asyncio.gather(body, return_exceptions=True)

    # What the session says

    def head(self, status: int, headers: Headers) -> None:
        self._head = status, headers
        self._news.set()

    def data(self, body: bytes, came: float) -> None:
        self._unwritten += body
        self._came = came
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    def credit(self, amount: int) -> None:
        self._credit.set()

    def fail(self, problem: Problem) -> None:
        self._problem = problem
        self._news.set()
        if self.status:
            self._http.cut_off(CLOSE_SECONDS)  # who does not read is not waited for

    # Both directions

    async def _ask(self, stream: Stream) -> None:
        """The body goes out as the desktop takes it; after that, this is who notices that the client has left."""
        try:
            while isinstance(event := await self._http.event(), h11.Data):
                left = memoryview(bytes(event.data))
                while left:
                    while not stream.up.credit:
                        self._credit.clear()
                        await self._credit.wait()
                    size = min(len(left), stream.up.credit)
                    self._session.ask(stream, bytes(left[:size]))
                    left = left[size:]
                    await self._session.drained()
            self._session.asked(stream)
            await self._http.left()
        except Gone:
            pass
        self.fail(CANCELLED)

    async def _answer(self, stream: Stream) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            if self._head is not None:
                self._begin(*self._head)
                self._head = None
            if self._unwritten:
                await self._write(stream)
            if self._problem is CANCELLED:
                raise Gone
            if self._problem is not None:
                await self._break_off(self._problem)
            if self._ended and not self._unwritten:
                await self._http.send(h11.EndOfMessage())
                return

    def _begin(self, status: int, headers: Headers) -> None:
        self.status = status
        given = {**ALWAYS, **dict(headers), **self._http.extra}
        if not LENGTH.fullmatch(given.get("content-length", "")):
            given.pop("content-length", None)
        self._kind = given.get("content-type", "").partition(";")[0].strip().lower()
        self._http.write(h11.Response(status_code=status, headers=list(given.items())))

    async def _write(self, stream: Stream) -> None:
        body, self._unwritten = bytes(self._unwritten), bytearray()
        if not self._http.bodiless:
            self._http.write(h11.Data(body))
        self._session.counters.passed_on(len(body), asyncio.get_running_loop().time() - self._came)
        self.size += len(body)
        await self._http.drained()
        self._session.consume(stream, len(body))

    async def _break_off(self, problem: Problem) -> None:
        """An answer that has begun cannot become an error: its format says so if it can, and the connection ends before
        the answer does, so that nobody takes it for whole."""
        if not self.status:
            raise problem
        words = {"code": problem.code, "message": problem.message}
        if self._kind == "application/x-ndjson":
            line = {"error": problem.message, "code": problem.code}  # as Ollama says it
            await self._http.send(h11.Data(b"\n" + json.dumps(line).encode() + b"\n"))
        elif self._kind == "text/event-stream":
            await self._http.send(h11.Data(b"\n\ndata: " + json.dumps({"error": words}).encode() + b"\n\n"))
        raise Gone
