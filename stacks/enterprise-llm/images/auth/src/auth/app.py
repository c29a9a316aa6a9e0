"""The service put together: its operations, what runs beside them, and how the process begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.routing import Router
from starlette.types import ASGIApp

from webservice.api import Call, Operation, Reply, openapi, routes
from webservice.web import Envelope

from . import shapes as s
from .accounts import User
from .keys import JWKS
from .service import Service

log = logging.getLogger("auth")
TEND_SECONDS = 30


def operations(service: Service) -> list[Operation]:
    get, post, patch = "GET", "POST", "PATCH"
    user, admin = service.signed_in, service.admin
    cookie: Any = {"headers": ("Set-Cookie",)}
    quiet: Any = {"quiet": True}
    one = "/auth/users/{id:uuid}"
    return [
        Operation(post, "/auth/login", service.login, "Log in", {200: s.LoggedIn}, (401, 403, 429, 503), **cookie),
        Operation(post, "/auth/refresh", service.refresh, "Go on", {200: s.LoggedIn}, (401, 403, 503), **cookie),
        Operation(post, "/auth/logout", service.logout, "End this login", {204: None}, (403, 503), **cookie),
        Operation(get, "/auth/me", service.me, "Who I am", {200: User}, access=user),
        Operation(post, "/auth/register", service.register, "Make an account", {201: User}, (403, 409, 429, 503)),
        Operation(post, "/auth/password", service.password, "A new one", {204: None}, (403, 409, 429), access=user),
        Operation(get, "/auth/users", service.list_users, "Users, by e-mail", {200: s.Users}, (403,), access=admin),
        Operation(post, "/auth/users", service.create_user, "For somebody", {201: User}, (403, 409), access=admin),
        Operation(patch, one, service.change_user, "Disable, promote", {200: User}, (403, 404, 409), access=admin),
        Operation(
            post, "/auth/keys/rotate", service.rotate_keys, "New key", {200: s.Rotated}, (403, 409), access=admin
        ),
        Operation(get, "/auth/config", service.config, "What a log-in page has to know", {200: s.Config}),
        Operation(get, "/auth/jwks.json", service.jwks, "Public keys", {200: JWKS}, (503,), **quiet),
        Operation(get, "/.well-known/jwks.json", service.jwks, "Public keys", {200: JWKS}, (503,), **quiet),
        Operation(get, "/auth/revoked.json", service.revoked, "Tokens to refuse", {200: s.Revoked}, (503,), **quiet),
        Operation(get, "/auth/healthz", service.healthz, "Whether the process runs", {200: s.Health}, **quiet),
        Operation(get, "/auth/readyz", service.readyz, "Whether it can work", {200: s.Health}, (503,), **quiet),
    ]


def application(service: Service) -> ASGIApp:
    table = operations(service)
    document = msgspec.json.encode(openapi("auth", "1.0.0", table))

    async def openapi_json(_call: Call) -> Reply:
        return Reply(msgspec.Raw(document))

    everything = [*table, Operation("GET", "/auth/openapi.json", openapi_json, "This document", {200: dict})]

    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await service.start()
        tending = asyncio.create_task(tend(service))
        try:
            yield
        finally:
            tending.cancel()

    router = Router(routes(everything), redirect_slashes=False, lifespan=lifespan)
    return Envelope(router, log=log, closing=lambda: service.draining)


async def tend(service: Service) -> None:
    while True:
        await asyncio.sleep(TEND_SECONDS)
        try:
            await service.tend()
        except Exception:
            log.exception("housekeeping failed; it is tried again")
