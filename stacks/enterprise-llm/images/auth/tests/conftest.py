"""The real service, as processes of its own on free ports."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ADMIN = {"email": "admin@example.com", "password": "the-first-password"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """One process of the service."""

    process: subprocess.Popen[bytes]
    url: str
    data: Path
    log: Path
    headers: dict[str, str] = field(default_factory=dict)

    def client(self, **options: Any) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=30, trust_env=False, **options)

    def login(self, email: str = ADMIN["email"], password: str = ADMIN["password"], **more: Any) -> dict[str, Any]:
        with self.client() as client:
            answer = client.post("/auth/login", json={"email": email, "password": password, "cookie": False, **more})
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

    def stop(self, sig: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(20)


Start = Callable[..., Running]


def launch(data: Path, **settings: str) -> Running:
    port = free_port()
    log = data.parent / f"{data.name}-{port}.log"
    variables = {
        "PATH": os.environ["PATH"],
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(Path(__file__).parents[1] / "src"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "DATA_DIR": str(data),
        "JWKS_FILE": str(data.parent / f"{data.name}-jwks.json"),
        "REVOKED_FILE": str(data.parent / f"{data.name}-revoked.json"),
        "ADMIN_EMAIL": ADMIN["email"],
        "ADMIN_PASSWORD": ADMIN["password"],
        **settings,
    }
    with log.open("wb") as out:
        process = subprocess.Popen([sys.executable, "-m", "auth"], env=variables, stdout=out, stderr=subprocess.STDOUT)
    running = Running(process, f"http://127.0.0.1:{port}", data, log)
    deadline = time.monotonic() + 120
    while True:
        assert process.poll() is None, log.read_text()
        try:
            if httpx.get(f"{running.url}/auth/readyz", trust_env=False).status_code == 200:
                return running
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Start the service with settings of one's own; `data` makes several processes share a folder."""
    running: list[Running] = []

    def begin(data: Path | None = None, **settings: str) -> Running:
        one = launch(data or tmp_path_factory.mktemp("data"), **settings)
        running.append(one)
        return one

    yield begin
    for one in running:
        one.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def service(start: Start) -> Running:
    return start(
        REGISTRATION_DOMAINS="example.com, example.org",
        KEY_LEAD_SECONDS="1",
        LOGIN_ATTEMPTS_ACCOUNT="6",
        LOGIN_ATTEMPTS_ADDRESS="1000",
        TRUSTED_PROXIES="127.0.0.1",
    )


@pytest.fixture
def bearer(service: Running) -> dict[str, str]:
    return {"authorization": f"Bearer {service.login()['access_token']}"}
