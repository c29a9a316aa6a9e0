"""The real gateway, as processes of its own, among a real Postgres, a real Redis and a stand-in for a model server."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "bench"))

from standin import Standin  # noqa: E402
from world import Issuer, Missing, Postgres, Redis, free_port, until  # noqa: E402


@dataclass
class Event:
    name: str
    data: dict[str, Any]


def events(lines: Iterator[str]) -> Iterator[Event]:
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line[7:]
        elif line.startswith("data: "):
            yield Event(name, json.loads(line[6:]))


@dataclass
class Running:
    """One process of the gateway."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    issuer: Issuer
    database: str
    users: str = ""
    """What the names of this test's users begin with."""

    def client(self, user: str = "ada", **claims: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.issuer.token(self.users + user, **claims)}"}
        return httpx.Client(base_url=self.url, timeout=60, trust_env=False, headers=headers)

    def ask(self, message: str = "Hello", user: str = "ada", **more: Any) -> list[Event]:
        """All the events of one chat."""
        with (
            self.client(user) as client,
            client.stream("POST", "/api/chat", json={"message": message, **more}) as answer,
        ):
            assert answer.status_code == 200, answer.read()
            return list(events(answer.iter_lines()))

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self, sig: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(30)


Start = Callable[..., Running]


class Model:
    """The stand-in, in a thread of its own; it can go down and come back."""

    def __init__(self) -> None:
        self.standin = Standin(ms=5)
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.up()

    def up(self) -> None:
        asyncio.run_coroutine_threadsafe(self.standin.start(self.port), self._loop).result(10)

    def down(self) -> None:
        async def close() -> None:
            self.standin.stop()

        asyncio.run_coroutine_threadsafe(close(), self._loop).result(10)

    def end(self) -> None:
        self.down()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    try:
        server = Postgres()
    except Missing as missing:
        pytest.skip(str(missing))
    yield server
    server.remove()


@pytest.fixture(scope="session")
def redis() -> Iterator[Redis]:
    try:
        server = Redis()
    except Missing as missing:
        pytest.skip(str(missing))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("jwks"))


@pytest.fixture(scope="session")
def server() -> Iterator[Model]:
    model = Model()
    yield model
    model.end()


@pytest.fixture
def model(server: Model) -> Iterator[Model]:
    """The stand-in as it is in the beginning."""
    server.standin.ms, server.standin.tokens, server.standin.loading_seconds = 5, 8, 3
    server.standin.any_model = False
    server.standin.asked.clear()
    yield server
    server.down()
    server.up()


Launch = Callable[[dict[str, str]], Running]


@pytest.fixture(scope="session")
def launch(
    postgres: Postgres, issuer: Issuer, server: Model, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Launch]:
    running: list[Running] = []

    def begin(settings: dict[str, str]) -> Running:
        port = free_port()
        log = tmp_path_factory.mktemp("log") / "gateway.log"
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(HERE.parent / "src"),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "JWKS_FILE": str(issuer.jwks_file),
            "REVOKED_FILE": str(issuer.revoked_file),
            "OLLAMA_URL": server.url,
            "CHATS_PER_MINUTE": "60000",
            "REQUESTS_PER_MINUTE": "60000",
            "DRAIN_DELAY_SECONDS": "0",
            "DRAIN_SECONDS": "5",
            **settings,
        }
        database = variables.setdefault("DATABASE_URL", "") or postgres.create()
        variables["DATABASE_URL"] = database
        variables = {name: value for name, value in variables.items() if value}
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "gateway"], env=variables, stdout=out, stderr=subprocess.STDOUT
            )
        one = Running(process, f"http://127.0.0.1:{port}", log, issuer, database)
        running.append(one)
        return one

    yield begin
    for one in running:
        one.stop(signal.SIGKILL)


@pytest.fixture
def start(launch: Launch, model: Model) -> Iterator[Start]:
    """Start a gateway with settings of one's own; each has a database of its own unless DATABASE_URL is given."""
    running: list[Running] = []

    def begin(*, wait: bool = True, **settings: str) -> Running:
        one = launch(settings)
        running.append(one)
        if wait:
            until(one.ready, what="the gateway")
        return one

    yield begin
    for one in running:
        one.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def shared(launch: Launch) -> Running:
    running = launch({})
    until(running.ready, what="the gateway")
    return running


@pytest.fixture
def gateway(shared: Running, model: Model) -> Running:
    """A gateway with the usual settings, which nobody stops; each test has users of its own."""
    return dataclasses.replace(shared, users=f"{uuid.uuid4().hex[:8]}-")
