"""A bridge at work between a cloud and a model, all in one event loop, with real sockets between them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from cloud_standin import EMAIL, Cloud
from model_standin import Model

from ctl.bridge.cloud import Api
from ctl.bridge.local import Local, local_http
from ctl.bridge.login import Login, PasswordLogin
from ctl.bridge.order import Wish
from ctl.bridge.running import Bridge, Settings
from ctl.bridge.wording import Notice
from ctl.core.secret import Secret

LIMIT = 20
"""Seconds after which a test that hangs has failed."""


def run(work: Callable[[], Coroutine[None, None, None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), LIMIT))


@dataclass
class Scene:
    bridge: Bridge
    task: asyncio.Task[None]
    notices: list[Notice] = field(default_factory=list)

    def kinds(self) -> list[str]:
        return [notice.kind for notice in self.notices]

    def ways(self) -> list[object]:
        return [notice.data["way"] for notice in self.notices if notice.kind == "using"]

    async def until(self, found: Callable[[], Any]) -> None:
        while not found():
            assert not self.task.done(), self.task.exception()
            await asyncio.sleep(0.01)


@asynccontextmanager
async def bridging(
    cloud: Cloud, model: Model | str, *, login: Login | None = None, **more: Any
) -> AsyncIterator[Scene]:
    """`more` is of Settings; a wish may be given."""
    notices: list[Notice] = []
    settings = Settings(**{"to": cloud.base, "wish": Wish(), **more})
    url = model if isinstance(model, str) else model.url
    async with aiohttp.ClientSession() as http, local_http(ssl.create_default_context()) as near:
        who = login or PasswordLogin(http, cloud.base, EMAIL, Secret("password", cloud.password))
        bridge = Bridge(settings, http, Api(http, cloud.base, who), who, Local(near, url), notices.append)
        task = asyncio.create_task(bridge.run())
        try:
            yield Scene(bridge, task, notices)
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task
            await who.end()
            left = [each for each in asyncio.all_tasks() if "ctl/bridge" in str(each.get_coro())]
            assert not left, left
