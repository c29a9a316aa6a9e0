"""The real service, as processes of its own, among a real Postgres and a stand-in for the user-manager."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from standin import KEY, Manager
from world import Issuer, Missing, Postgres, free_port, until

HERE = Path(__file__).parent
STREAMING_KEY = "the-streaming-key-for-tests-only-and-no-other-use"
ORIGIN = "https://cloud.example"


@dataclass
class Running:
    """One process of the service."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path
    issuer: Issuer
    database: str
    users: str = ""
    """What the names of this test's users begin with."""

    def client(self, user: str = "ada", **claims: Any) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.issuer.token(self.users + user, **claims)}"}
        return httpx.Client(base_url=f"{self.url}/api", timeout=60, trust_env=False, headers=headers)

    def create(self, user: str = "ada", **claims: Any) -> dict[str, Any]:
        with self.client(user, **claims) as client:
            answer = client.post("/streaming/create", json={})
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

    def sessions(self, user: str = "ada") -> list[dict[str, Any]]:
        with self.client(user) as client:
            answer = client.get("/streaming/sessions")
            assert answer.status_code == 200, answer.text
            return list(answer.json()["sessions"])

    def metric(self, line: str) -> float:
        """The value after that name and those labels; 0 if it is not there."""
        text = httpx.get(f"{self.url}/metrics", trust_env=False).text
        found = re.search(rf"^{re.escape(line)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

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
Launch = Callable[[Manager, dict[str, str]], Running]


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    try:
        server = Postgres()
    except Missing as missing:
        pytest.skip(str(missing))
    yield server
    server.remove()


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Issuer:
    return Issuer(tmp_path_factory.mktemp("jwks"))


@pytest.fixture(scope="session")
def launch(postgres: Postgres, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Launch]:
    running: list[Running] = []

    def begin(manager: Manager, settings: dict[str, str]) -> Running:
        port = free_port()
        log = tmp_path_factory.mktemp("log") / "streaming.log"
        variables = {
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(HERE.parent / "src"),
            "HOST": "127.0.0.1",
            "PORT": str(port),
            "DOMAIN": "cloud.example",
            "JWKS_FILE": str(issuer.jwks_file),
            "REVOKED_FILE": str(issuer.revoked_file),
            "STREAMING_KEY": STREAMING_KEY,
            "MANAGER_URL": manager.url,
            "MANAGER_KEY": KEY,
            "CREATES_PER_MINUTE": "60000",
            "REQUESTS_PER_MINUTE": "60000",
            "POLL_SECONDS": "1",
            "LOST_SECONDS": "3",
            "DRAIN_DELAY_SECONDS": "0",
            "DRAIN_SECONDS": "5",
            **settings,
        }
        database = variables.setdefault("DATABASE_URL", "") or postgres.create()
        variables["DATABASE_URL"] = database
        variables = {name: value for name, value in variables.items() if value}
        with log.open("wb") as out:
            process = subprocess.Popen(
                [sys.executable, "-m", "streaming"], env=variables, stdout=out, stderr=subprocess.STDOUT
            )
        one = Running(process, f"http://127.0.0.1:{port}", log, issuer, database)
        running.append(one)
        return one

    yield begin
    for one in running:
        one.stop(signal.SIGKILL)


@pytest.fixture(scope="session")
def everyones() -> Iterator[Manager]:
    manager = Manager(free_port())
    yield manager
    manager.down()


@pytest.fixture(scope="session")
def shared(launch: Launch, everyones: Manager) -> Running:
    running = launch(everyones, {})
    until(running.ready, what="the service")
    return running


@pytest.fixture
def api(shared: Running) -> Running:
    """The service with the usual settings, which nobody stops; each test has users of its own."""
    return dataclasses.replace(shared, users=f"{uuid.uuid4().hex[:8]}-")


@pytest.fixture
def manager() -> Iterator[Manager]:
    """One of this test's own, for `start`."""
    manager = Manager(free_port())
    yield manager
    manager.down()


@pytest.fixture
def start(launch: Launch, manager: Manager) -> Iterator[Start]:
    """Start the service with settings of one's own; each has a database of its own unless DATABASE_URL is given."""
    running: list[Running] = []

    def begin(*, wait: bool = True, **settings: str) -> Running:
        one = launch(manager, settings)
        running.append(one)
        if wait:
            until(one.ready, what="the service")
        return one

    yield begin
    for one in running:
        one.stop(signal.SIGKILL)
