"""The bridge with the real streaming proxy: web client, proxy and model are each a process or a server of their own."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cloud_standin import Cloud, cloud_server
from itsdangerous import URLSafeTimedSerializer
from model_standin import Model, model_server, texts
from samples import REPOSITORY
from scene import Scene, bridging, run

from ctl.core.errors import TakenOver

SOURCE = REPOSITORY / "stacks/cloudtolocalllm/images/proxy/src"
KEY = secrets.token_hex(32)


def signed(role: str, until: float) -> str:
    payload = {"sid": "s1", "role": role, "until": int(until), "id": secrets.token_hex(8)}
    return str(URLSafeTimedSerializer(KEY, salt="session").dumps(payload))


class Proxy:
    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.log = folder / "proxy.log"
        self.url = f"http://127.0.0.1:{self.port}"

    async def start(self, **settings: str) -> None:
        variables = {"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"}
        own = {"SESSION_ID": "s1", "SESSION_KEY": KEY, "PORTAL_ORIGIN": "https://ai.example.com"}
        place = {"HOST": "127.0.0.1", "PORT": str(self.port)}
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "proxy"), env={**variables, **own, **place, **settings}, stdout=log, stderr=log
            )
        async with aiohttp.ClientSession() as http:
            while True:
                assert self.process.returncode is None, self.log.read_text()
                try:
                    async with http.get(f"{self.url}/health") as answer:
                        assert answer.status == 200
                        return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    async def stop(self, sign: int = signal.SIGKILL) -> None:
        if self.process.returncode is None:
            self.process.send_signal(sign)
        await self.process.wait()


class Place:
    def __init__(self, proxy: Proxy, cloud: Cloud, model: Model, scene: Scene, http: aiohttp.ClientSession) -> None:
        self.proxy, self.cloud, self.model, self.scene, self.http = proxy, cloud, model, scene, http

    def ask(self, method: str, path: str, **more: Any) -> Any:
        """As a program with a client's token."""
        headers = {"Authorization": f"Bearer {signed('client', time.time() + 300)}"}
        return self.http.request(method, self.proxy.url + path, headers=headers, **more)


@asynccontextmanager
async def place(folder: Path, session_seconds: float = 600, **settings: str) -> AsyncIterator[Place]:
    proxy = Proxy(folder)
    await proxy.start(**settings)
    cloud = Cloud(endpoint=proxy.url, sign=signed, session_seconds=session_seconds)
    try:
        async with (
            cloud_server(cloud),
            model_server() as model,
            bridging(cloud, model) as scene,
            aiohttp.ClientSession() as http,
        ):
            await scene.until(lambda: scene.ways()[-1:] == ["cloud"])
            yield Place(proxy, cloud, model, scene, http)
    finally:
        await proxy.stop()
    assert '"unexpected"' not in proxy.log.read_text(), proxy.log.read_text()


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_a_prompt_streams_chunk_by_chunk(tmp_path: Path, path: str) -> None:
    async def work() -> None:
        async with place(tmp_path) as here, here.ask("POST", path, json={"model": "m"}) as answer:
            assert answer.status == 200
            for number in range(3):
                here.model.words.release()
                assert f"word{number}" in (await answer.content.readany()).decode()
            assert await answer.content.read() in (b"", b"\n")

    run(work)


def test_many_at_once_and_large_ones(tmp_path: Path) -> None:
    async def work() -> None:
        async def embed(here: Place) -> Any:
            async with here.ask("POST", "/api/embed", data=zeros(5 * 2**20)) as answer:
                return await answer.json()

        async with place(tmp_path) as here:
            found = await asyncio.gather(*(embed(here) for _ in range(16)))
            assert found == [{"length": 5 * 2**20}] * 16
            async with here.ask("GET", "/api/flood") as answer:
                assert len(await answer.read()) == 64 * 2**20

    run(work)


async def zeros(size: int) -> AsyncIterator[bytes]:
    for _ in range(0, size, 65536):
        yield bytes(65536)


def test_a_slow_reader_stops_the_model(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as here, here.ask("GET", "/api/flood") as slow:
            before = -1
            while here.model.written != before:
                before = here.model.written
                await asyncio.sleep(0.5)
            assert before < 32 * 2**20
            async with here.ask("GET", "/api/version") as other:  # nobody else waits for him
                assert other.status == 200
            assert len(await slow.read()) == 64 * 2**20

    run(work)


def test_who_goes_away_stops_the_model(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as here:
            async with here.ask("POST", "/api/chat", json={}):
                await here.model.begun.wait()
            await here.model.dropped.wait()
            await here.scene.until(lambda: here.scene.bridge.status.active == 0)

    run(work)


def test_the_proxy_is_killed_and_comes_back(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as here:
            await here.proxy.stop(signal.SIGKILL)
            await here.scene.until(lambda: here.scene.ways()[-1] == "local")
            await here.proxy.start()
            await here.scene.until(lambda: here.scene.ways()[-1] == "cloud")
            async with here.ask("POST", "/api/chat", json={}) as answer:
                for _ in range(3):
                    here.model.words.release()
                assert texts(await answer.read()) == ["word0", "word1", "word2"]

    run(work)


def test_the_proxy_is_stopped(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as here:
            await here.proxy.stop(signal.SIGTERM)
            await here.scene.until(lambda: "ended" in here.scene.kinds())

    run(work)


def test_another_desktop_takes_over(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as here, bridging(here.cloud, here.model) as other:
            with pytest.raises(TakenOver):
                await here.scene.task
            await other.until(lambda: other.ways()[-1:] == ["cloud"])
            async with here.ask("GET", "/api/version") as answer:
                assert answer.status == 200

    run(work)


def test_tokens_are_renewed_on_the_open_connection(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path, session_seconds=3, GRACE_SECONDS="1") as here:
            began = time.monotonic()
            await here.scene.until(lambda: time.monotonic() - began > 6)
            assert here.scene.kinds().count("connected") == 1
            async with here.ask("GET", "/api/version") as answer:
                assert answer.status == 200
            here.cloud.refuses["/api/streaming/s1/token"] = 503  # now it runs out
            await here.scene.until(lambda: "ran out" in here.scene.bridge.status.last_error)

    run(work)


def test_no_model_and_paths_outside(tmp_path: Path) -> None:
    async def work() -> None:
        async with place(tmp_path) as here:
            async with here.ask("GET", "/api/cut") as answer:
                with pytest.raises(aiohttp.ClientError):
                    await answer.read()
            for method, path in (("GET", "/v1/../metrics"), ("PUT", "/api/chat"), ("GET", "/api/%2e%2e/x")):
                async with here.ask(method, path) as answer:
                    assert answer.status in (400, 403, 404, 405)
            here.scene.bridge._local.url = "http://127.0.0.1:9"
            async with here.ask("GET", "/api/version") as answer:
                assert answer.status == 502 and (await answer.json())["error"]["code"] == "local_away"

    run(work)
