"""Operations: one table gives the routes, the checks of what comes in, and the OpenAPI document, so that it is true."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from starlette.routing import BaseRoute, Route
from starlette.types import Receive, Scope, Send

from .web import Problem, read_body, respond

CODES = {
    400: "The body is no JSON.",
    401: "No valid token.",
    403: "Not allowed.",
    404: "Not found.",
    405: "The path does not know the method.",
    408: "The request took too long to arrive.",
    409: "It does not fit what is there.",
    413: "Too large.",
    415: "The body is not application/json.",
    422: "The request does not fit the schema.",
    429: "Too many requests; Retry-After says how many seconds to wait.",
    500: "Unexpected.",
    502: "The server behind answered with an error.",
    503: "Unavailable for now; Retry-After says how many seconds to wait.",
}


class Fault(msgspec.Struct):
    """What went wrong."""

    code: str
    message: str
    request_id: str


class Failure(msgspec.Struct):
    """The body of every error."""

    error: Fault


@dataclass
class Call:
    """One request, its checks done."""

    scope: Scope
    receive: Receive
    send: Send
    headers: Mapping[str, str]
    params: Mapping[str, Any]
    user: Any = None
    raw: bytes = b""

    @property
    def address(self) -> str:
        """The client's address, as far as trusted proxies say."""
        client = self.scope.get("client")
        return str(client[0]) if client else "unknown"


@dataclass(frozen=True)
class Reply:
    value: object | None = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Access = Callable[[Call], Awaitable[None]]


@dataclass(frozen=True)
class Operation:
    """`handler(call, body=…, query=…)`: the annotations of `body` and `query` say what is read and how it is checked.

    It returns a Reply, or None when it has sent the answer itself. `returns` maps status to the type of the answer, and
    `media` to other kinds of content: status → content type → schema. `access` sets `call.user` or raises Problem.
    """

    method: str
    path: str
    handler: Callable[..., Awaitable[Reply | None]]
    summary: str
    returns: Mapping[int, Any]
    problems: Sequence[int] = ()
    access: Access | None = None
    media: Mapping[int, Mapping[str, object]] = field(default_factory=dict)
    limit: int = 64 * 1024
    headers: Sequence[str] = ()
    quiet: bool = False
    failure: Any = Failure

    def reads(self, name: str) -> tuple[Any, bool]:
        """The type of `body` or `query`, and whether it may be left out."""
        hint = typing.get_type_hints(self.handler, include_extras=True).get(name)
        if typing.get_origin(hint) in (types.UnionType, typing.Union):
            return next(part for part in typing.get_args(hint) if part is not types.NoneType), True
        return hint, False


class Resource:
    """The ASGI application of one path, with one operation per method."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        self.operations = {op.method: (op, op.reads("body"), op.reads("query")[0]) for op in operations}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self.operations.get(scope["method"])
        if found is None:
            problem = Problem(405, "method_not_allowed", "This path does not know that method.")
            problem.headers["allow"] = ", ".join(self.operations)
            raise problem
        op, (body_type, optional), query_type = found
        scope["operation"] = op
        scope["quiet"] = op.quiet
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        call = Call(scope, receive, send, headers, scope["path_params"])
        if op.access is not None:
            await op.access(call)
        given: dict[str, object] = {}
        if query_type is not None:
            given["query"] = checked(dict(parse_qsl(scope["query_string"].decode("latin-1"))), query_type)
        if body_type is not None:
            call.raw = await read_body(scope, receive, op.limit)
            given["body"] = decoded(call.raw, headers, body_type, optional)
        reply = await op.handler(call, **given)
        if reply is not None:
            await respond(send, reply.status, reply.value, {**scope.get("extra_headers", {}), **reply.headers})


def decoded(raw: bytes, headers: Mapping[str, str], kind: Any, optional: bool) -> Any:
    """The body as its type. Raises Problem 400, 415, 422."""
    if not raw and optional:
        return None
    if headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        # also what keeps a form on a foreign page from posting here
        raise Problem(415, "unsupported_media_type", "The body has to be application/json.")
    try:
        value = msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Problem(400, "invalid_json", "The body is no valid JSON.") from None
    return checked(value, kind, strict=True)


def checked(value: object, kind: Any, *, strict: bool = False) -> Any:
    """The value as its type. Raises Problem 422 with the place of the first thing that does not fit."""
    try:
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError as error:
        raise Problem(422, "invalid_request", str(error)) from None


def routes(operations: Sequence[Operation]) -> list[BaseRoute]:
    paths: dict[str, list[Operation]] = {}
    for op in operations:
        paths.setdefault(op.path, []).append(op)
    return [Route(path, Resource(ops)) for path, ops in paths.items()]


def openapi(title: str, version: str, operations: Sequence[Operation]) -> dict[str, object]:
    """The OpenAPI 3.1 document of the operations."""
    kinds = [op.reads(name)[0] for op in operations for name in ("body", "query")]
    kinds += [kind for op in operations for kind in (*op.returns.values(), op.failure)]
    named = list({kind: None for kind in kinds if kind is not None})
    schemas, components = msgspec.json.schema_components(named, ref_template="#/components/schemas/{name}")
    schema = dict(zip(named, schemas, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for op in operations:
        paths.setdefault(re.sub(r":\w+}", "}", op.path), {})[op.method.lower()] = describe(op, schema, components)
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    }


def describe(op: Operation, schema: Mapping[Any, Any], components: Mapping[str, Any]) -> dict[str, object]:
    body, optional = op.reads("body")
    query, _ = op.reads("query")
    problems = {405, 500, *op.problems}
    problems |= {401, 503} if op.access else set()
    problems |= {400, 408, 413, 415, 422} if body else set()
    problems |= {422} if query else set()
    responses: dict[str, object] = {}
    for status, kind in op.returns.items():
        content: dict[str, object] = {} if kind is None else {"application/json": {"schema": schema[kind]}}
        content.update(op.media.get(status, {}))
        responses[str(status)] = {
            "description": inspect.getdoc(kind) or "Done." if kind else "Done.",
            **({"content": content} if content else {}),
            "headers": {name: {"schema": {"type": "string"}} for name in ("X-Request-ID", *op.headers)},
        }
    for status in sorted(problems - set(op.returns)):
        responses[str(status)] = {
            "description": CODES[status],
            "content": {"application/json": {"schema": schema[op.failure]}},
            **({"headers": {"Retry-After": {"schema": {"type": "string"}}}} if status in (429, 503) else {}),
        }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": kind or "string"}}
        for name, kind in re.findall(r"{(\w+):?(\w*)}", op.path)
    ]
    if query:
        known = components[query.__name__]
        parameters += [
            {"name": name, "in": "query", "required": name in known.get("required", []), "schema": form}
            for name, form in known["properties"].items()
        ]
    return {
        "operationId": op.handler.__name__.strip("_"),
        "summary": op.summary,
        **({"parameters": parameters} if parameters else {}),
        **(
            {"requestBody": {"required": not optional, "content": {"application/json": {"schema": schema[body]}}}}
            if body
            else {}
        ),
        "responses": responses,
        **({"security": [{"bearer": []}]} if op.access else {}),
    }


def path_id(call: Call) -> UUID:
    return typing.cast("UUID", call.params["id"])
