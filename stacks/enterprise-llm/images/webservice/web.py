"""What every HTTP answer of these services has in common: request ids, JSON errors, JSON logs, limits on bodies."""

from __future__ import annotations

import asyncio
import logging
import re
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from typing import Any

import msgspec
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

SANE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{7,63}")
BODY_SECONDS = 20
"""A body that takes longer to arrive is not waited for."""

request_id: ContextVar[str] = ContextVar("request_id", default="-")


class Problem(Exception):
    """An answer that is an error: status, code for programs, message for people. `extra` stands beside `error`."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        retry_after: int | None = None,
        extra: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.message = message
        self.headers = {} if retry_after is None else {"retry-after": str(max(1, retry_after))}
        self.extra = dict(extra or {})

    def body(self) -> dict[str, object]:
        return {"error": {"code": self.code, "message": self.message, "request_id": request_id.get()}, **self.extra}


Render = Callable[[Problem, str], Mapping[str, object]]
"""How a problem on a path is put in words, where an API has its own way of it."""


async def respond(send: Send, status: int, value: object | None, headers: Mapping[str, str] | None = None) -> None:
    """Send a whole answer as JSON; None is an empty one."""
    body = b"" if value is None else msgspec.json.encode(value)
    head = [(name.lower().encode(), text.encode("latin-1")) for name, text in (headers or {}).items()]
    if status != 204:
        head.append((b"content-length", str(len(body)).encode()))
    if value is not None and not any(name == b"content-type" for name, _ in head):
        head.append((b"content-type", b"application/json"))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The body of a request, of `limit` bytes at most. Raises Problem 400, 408 or 413."""
    too_large = Problem(413, "body_too_large", f"The request is larger than {limit} bytes.")
    for name, value in scope["headers"]:
        if name == b"content-length" and int(value) > limit:
            raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS):
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Problem(400, "incomplete", "The request ended early.")
                body += message.get("body", b"")
                if len(body) > limit:
                    raise too_large
                if not message.get("more_body"):
                    return bytes(body)
    except TimeoutError:
        raise Problem(408, "too_slow", "The request took too long to arrive.") from None


class Envelope:
    """The outermost layer: gives each request its id, turns every exception into a JSON error, logs one line.

    `observe` is told (scope, status, seconds) at the end of each request. `closing` says whether connections
    should not be kept: while the process drains, a proxy has to open the next one somewhere else.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        log: logging.Logger,
        observe: Callable[[Scope, int, float], None] | None = None,
        closing: Callable[[], bool] = lambda: False,
        render: Render = lambda problem, _path: problem.body(),
    ) -> None:
        self.app = app
        self.log = log
        self.observe = observe
        self.closing = closing
        self.render = render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"x-request-id"), "")
        identity = given if SANE_ID.fullmatch(given) else uuid.uuid4().hex
        request_id.set(identity)
        scope["app"] = self  # makes the router raise instead of answering in plain text
        began = time.perf_counter()
        status = 0

        async def labelled(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = message["headers"] = list(message.get("headers", []))
                headers.append((b"x-request-id", identity.encode()))
                headers.append((b"x-content-type-options", b"nosniff"))
                if not any(name == b"cache-control" for name, _ in headers):
                    headers.append((b"cache-control", b"no-store"))
                if self.closing():
                    headers.append((b"connection", b"close"))
            await send(message)

        code = None
        try:
            await self.app(scope, receive, labelled)
        except Exception as error:
            problem = as_problem(error)
            code = problem.code
            if problem.status == 500:
                self.log.error("unexpected", extra={"fields": where(error)})
            if not status:
                headers = {**problem.headers, **scope.get("extra_headers", {})}
                await respond(labelled, problem.status, self.render(problem, scope["path"]), headers)
        finally:
            seconds = time.perf_counter() - began
            if self.observe is not None:
                self.observe(scope, status, seconds)
            if not scope.get("quiet"):
                fields = {
                    "method": scope["method"],
                    "path": scope["path"],
                    "status": status,
                    "ms": round(seconds * 1000, 1),
                    "user": scope.get("user_id"),
                    "code": code,
                }
                self.log.info("request", extra={"fields": {name: v for name, v in fields.items() if v is not None}})


def as_problem(error: Exception) -> Problem:
    """The one place where exceptions become answers."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, HTTPException):
        code, message = {
            404: ("not_found", "There is nothing here."),
            405: ("method_not_allowed", "This path does not know that method."),
        }.get(error.status_code, ("http_error", str(error.detail)))
        problem = Problem(error.status_code, code, message)
        problem.headers.update(error.headers or {})
        return problem
    return Problem(500, "internal", "Something went wrong here. The log holds this request's id.")


def where(error: BaseException) -> dict[str, object]:
    """What a log may say of an unexpected exception: its type and its places. Its text may hold what people wrote."""
    frames = traceback.extract_tb(error.__traceback__)[-8:]
    return {
        "type": type(error).__name__,
        "at": [f"{f.filename.rpartition('/')[2]}:{f.lineno} {f.name}" for f in frames],
    }


class JsonLines(logging.Formatter):
    """One JSON object a line; what is in `extra={"fields": {...}}` joins it."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "request_id": request_id.get(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[1] is not None:
            line.update(where(record.exc_info[1]))
        return msgspec.json.encode(line).decode()


def log_to_stdout(service: str, level: str) -> None:
    """All logging of the process becomes JSON lines on stdout: the service's own from `level` on, and warnings."""
    JsonLines.converter = time.gmtime
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in (service, "webservice", "uvicorn.error"):
        logging.getLogger(name).setLevel(level)
