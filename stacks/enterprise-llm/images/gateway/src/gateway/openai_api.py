"""OpenAI's API, for clients that know it: requests are checked, counted and passed on as they are; both kinds of model
server know this shape. Nothing is stored."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated, Any, Literal

import aiohttp
import msgspec
from msgspec import Meta

from webservice.api import Call, Reply
from webservice.web import Problem, request_id

from .chat import ModelName
from .engine import Engine, ModelError, unavailable
from .metrics import Metrics
from .streams import Out, Streams, encode


class Said(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[dict[str, Any]] | None = None


class CompletionBody(msgspec.Struct):
    """Everything else that OpenAI's API knows is passed on to the model server."""

    model: ModelName
    messages: Annotated[list[Said], Meta(min_length=1)]
    stream: bool = False


class Choice(msgspec.Struct):
    index: int
    message: dict[str, Any]
    finish_reason: str | None = None


class Completion(msgspec.Struct):
    """An answer; with `stream`, events whose data are chunks of one, and [DONE]."""

    id: str
    object: str
    created: int
    model: str
    choices: list[Choice]


class Model(msgspec.Struct):
    id: str
    object: str = "model"
    created: int = 0
    owned_by: str = "local"


class Models(msgspec.Struct):
    """The models."""

    data: list[Model]
    object: str = "list"


class V1Fault(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str
    request_id: str


class V1Failure(msgspec.Struct):
    """The body of every error, in OpenAI's shape."""

    error: V1Fault


def failure(problem: Problem) -> dict[str, object]:
    kind = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}.get(
        problem.status, "server_error" if problem.status >= 500 else "invalid_request_error"
    )
    fault = V1Fault(problem.message, kind, None, problem.code, request_id.get())
    return {"error": msgspec.to_builtins(fault)}


class V1:
    def __init__(self, engine: Engine, streams: Streams, metrics: Metrics) -> None:
        self._engine = engine
        self._streams = streams
        self._metrics = metrics

    async def list_models(self, call: Call) -> Reply:
        return Reply(Models([Model(name) for name in await self._engine.models()]))

    async def create_completion(self, call: Call, body: CompletionBody) -> Reply | None:
        owner = call.user.sub
        self._streams.admit(owner)
        if not self._engine.allowed(body.model):
            raise Problem(404, "model_not_found", "There is no such model.")
        out = Out(call.send, call.scope.get("extra_headers", {}))
        relay = Relay(self._engine, self._metrics, out, body, call.raw)
        await self._streams.run(call.receive, out, owner, relay.run)
        return None if body.stream else Reply(msgspec.Raw(relay.whole))


class Relay:
    """The work of one answer."""

    def __init__(self, engine: Engine, metrics: Metrics, out: Out, body: CompletionBody, raw: bytes) -> None:
        self._engine = engine
        self._metrics = metrics
        self._out = out
        self._body = body
        self._raw = raw
        self.whole = b""

    async def run(self) -> None:
        finish = "error"
        out = self._out
        out.asking = True
        try:
            await self._pass_on()
            finish = "stop"
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if out.stopped is None or task is None:
                raise
            task.uncancel()
            finish = "stopped"
            await self._fail(Problem(503, "draining", "The service is being restarted. Try again.", retry_after=1))
        except ModelError:
            await self._fail(unavailable())
        finally:
            out.asking = False
            self._metrics.answers.labels(finish).inc()

    async def _pass_on(self) -> None:
        began = time.monotonic()
        parts: list[bytes] = []
        async with self._engine.completion(self._raw) as answer:
            try:
                async for raw in answer.content.iter_any():
                    if not self._body.stream:
                        parts.append(raw)
                        continue
                    if not self._out.started:
                        await self._out.begin()
                        self._metrics.first_token.observe(time.monotonic() - began)
                    self._metrics.tokens.labels(self._body.model, "completion").inc(raw.count(b"data: {"))
                    await self._out.write(raw)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                raise ModelError from error
        if not self._body.stream:
            self.whole = b"".join(parts)
            try:
                usage = msgspec.json.decode(self.whole).get("usage") or {}
            except (msgspec.MsgspecError, AttributeError, UnicodeDecodeError):
                raise ModelError from None
            for kind in ("prompt", "completion"):
                self._metrics.tokens.labels(self._body.model, kind).inc(usage.get(f"{kind}_tokens", 0))

    async def _fail(self, problem: Problem) -> None:
        if not self._out.started:
            raise problem
        await self._out.write(b"data: " + encode(failure(problem)) + b"\n\n")
