"""The way between a browser or a program and the model on a desktop, with the stack cloudtolocalllm between them."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import lab_cloud
import lab_desktop
import pytest
from lab_cloud import ADMIN, DOMAIN, OTHER, PASSWORD, Cloud, host_of
from lab_desktop import MS, WORDS, Desktop
from lab_project import until
from lab_server import Door, Reply

API = f"api.{DOMAIN}"
PROMPT = {"model": "standin", "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


@dataclass(frozen=True)
class Stream:
    """An answer as it arrived: seconds since it was asked for, and what came then."""

    status: int
    pieces: list[tuple[float, bytes]]

    @property
    def body(self) -> str:
        return b"".join(piece for _, piece in self.pieces).decode()

    @property
    def whole(self) -> bool:
        """An answer of Ollama's to its end."""
        return self.status == 200 and '"done":true' in self.body

    def assert_piecemeal(self) -> None:
        """Nearly every word came by itself, over most of the time that the model takes to say them."""
        times = [at for at, _ in self.pieces]
        print("arrived after s:", *(f"{at:.2f}" for at in times))
        assert len(times) >= WORDS - 2, times
        assert times[-1] - times[0] > WORDS * MS / 1000 / 2, times
        assert sum(later - sooner > MS / 1000 / 4 for sooner, later in pairwise(times)) >= WORDS / 2, times


@dataclass
class Way:
    """A person with a desktop, OTHER, and an administrator without one."""

    cloud: Cloud
    desktop: Desktop
    certificate: Path

    def api(self, method: str, path: str, email: str = OTHER, body: Any = None) -> Reply:
        return self.cloud.ask(method, API, f"/api{path}", body, self.cloud.log_in(email))

    def end(self, email: str = OTHER) -> None:
        for session in self.api("GET", "/streaming/sessions?live=true", email).data["sessions"]:
            assert self.api("DELETE", f"/streaming/{session['sessionId']}", email).status == 204

    def session(self) -> dict[str, Any]:
        """The person's, with the desktop in it."""
        self.desktop.start()
        session = self.cloud.session(OTHER)
        until("the desktop to be connected", self.desktop.connected)
        return session

    def token(self, session: dict[str, Any], role: str = "client", email: str = OTHER) -> str:
        made = self.api("POST", f"/streaming/{session['sessionId']}/token", email, {"role": role})
        assert made.status == 200, made
        return str(made.data["token"])

    def stream(self, session: dict[str, Any], path: str = "/api/chat") -> Stream:
        """A prompt by HTTP, as a program asks one, at the person's own name."""
        door = Door(self.cloud.server.lab.ip, host_of(session), self.cloud.trust, seconds=90)
        headers = {"Authorization": f"Bearer {self.token(session)}", "Content-Type": "application/json"}
        began = time.monotonic()
        try:
            door.request("POST", path, json.dumps(PROMPT), headers)
            answer = door.getresponse()
            pieces = []
            while piece := answer.read1(65536):
                pieces.append((time.monotonic() - began, piece))
            return Stream(answer.status, pieces)
        finally:
            door.close()


@contextmanager
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Way]:
    """Two machines that were bare: the platform, and a desktop that knows it. No session is there, no bridge runs."""
    folder = tmp_path_factory.mktemp("way")
    with lab_desktop.fresh() as desktop, ThreadPoolExecutor(1) as pool:
        installing = pool.submit(lab_desktop.install, desktop, folder)
        with lab_cloud.deployed(tmp_path_factory) as cloud:
            body = {"email": OTHER, "password": PASSWORD, "name": "Other"}
            assert cloud.ask("POST", DOMAIN, "/auth/users", body, cloud.log_in(ADMIN)).status == 201
            (folder / "ca.pem").write_text(cloud.certificate())
            made = Way(cloud, desktop, folder / "ca.pem")
            installing.result()
            # A person's name stays, so that the desktop can be told of it before there is a session.
            lab_desktop.set_up(desktop, cloud, OTHER, [host_of(cloud.session(OTHER))])
            made.end()
            yield made
