"""The real proxy, as processes of its own, between real sockets."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec

import httpx
import pytest
from proxy.frames import Ready, decode
from websockets.asyncio.client import ClientConnection, connect
from world import Proxy, auth, token

Start = Callable[..., Proxy]
P = ParamSpec("P")


def scenario(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A test that waits for things, a minute at most."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(asyncio.wait_for(test(*args, **kwargs), 60))

    return run


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start a proxy with settings of one's own."""
    running: list[Proxy] = []

    def begin(**settings: str) -> Proxy:
        proxy = Proxy(settings=settings)
        proxy.start(tmp_path / f"{proxy.session}.log")
        running.append(proxy)
        return proxy

    yield begin
    for proxy in running:
        proxy.stop(signal.SIGKILL)
        assert "unexpected" not in proxy.log.read_text(), proxy.log.read_text()


@pytest.fixture
def proxy(start: Start) -> Proxy:
    return start()


def http(proxy: Proxy, role: str = "client", **headers: str) -> httpx.AsyncClient:
    given = {"authorization": f"Bearer {token(proxy.session, role)}", **headers}
    return httpx.AsyncClient(base_url=proxy.url, headers=given, trust_env=False, timeout=30)


async def facts(proxy: Proxy) -> dict[str, Any]:
    async with http(proxy, "control") as client:
        answer = await client.get("/session")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = answer.json()
        return found


async def until(ready: Callable[[], bool | Coroutine[Any, Any, bool]], seconds: float = 20) -> None:
    async with asyncio.timeout(seconds):
        while True:
            value = ready()
            if value if isinstance(value, bool) else await value:
                return
            await asyncio.sleep(0.01)


@asynccontextmanager
async def client(proxy: Proxy, **more: Any) -> AsyncIterator[ClientConnection]:
    """A browser's WebSocket, let in."""
    async with connect(f"{proxy.ws}/ws/client", proxy=None, **more) as socket:
        await socket.send(auth(proxy.session, "client"))
        assert decode(await socket.recv()) == Ready(proxy.session)
        yield socket
