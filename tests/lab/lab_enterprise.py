"""The stack enterprise-llm on a host that was bare, and somebody who asks it."""

from __future__ import annotations

import json
import ssl
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import lab_server
import pytest
import yaml
from lab_project import Project, Said, until
from lab_server import Door, Reply, Server, json_headers

ROOT = "/opt/enterprise-llm"
ADMIN = "admin@example.com"
NOTICE = "These answers come from the lab's stand-in, not from a model."
VARS = {
    "docker_source": "distribution",
    "https_port": 8443,
    "models": ["llama3.2:1b"],
    "admin_email": ADMIN,
    "model_notice": NOTICE,
}


@dataclass
class Enterprise:
    """`settings` are what the inventory says of the host, beside its stack."""

    server: Server
    project: Project
    deploy: Said
    settings: Mapping[str, Any] = field(default_factory=dict)
    password: str = ""
    trust: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def ctl(self, command: str, *arguments: str) -> Said:
        return self.project.ctl(command, self.server.name, *arguments, seconds=900)

    def write(self, **more: Any) -> None:
        variables = {**VARS, **self.settings.get("vars", {}), **more.get("vars", {})}
        entry = {"stack": "enterprise-llm", **self.settings, **more, "vars": variables}
        self.project.inventory.write_text(yaml.safe_dump({"hosts": {self.server.name: entry}}))

    def door(self) -> Door:
        return Door(self.server.lab.ip, "chat.localhost", self.trust, seconds=60)

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> Reply:
        return self.door().ask(method, path, body, token)

    def log_in(self) -> str:
        reply = self.ask("POST", "/auth/login", {"email": ADMIN, "password": self.password})
        assert reply.status == 200, reply
        return str(reply.data["access_token"])

    def chat(self, token: str, message: str) -> list[tuple[float, str, Any]]:
        """The events of one answer, each with the time at which it came. Raises OSError and HTTPException."""
        return [(time.monotonic(), kind, data) for kind, data in self.events(token, message)]

    def events(self, token: str, message: str) -> Iterator[tuple[str, Any]]:
        """The events of one answer as they come. Raises OSError and HTTPException."""
        door = self.door()
        try:
            door.request("POST", "/api/chat", json.dumps({"message": message}), json_headers(token))
            answer = door.getresponse()
            assert answer.status == 200, (answer.status, answer.read())
            kind = ""
            for line in answer:
                word, _, text = line.decode().strip().partition(": ")
                if word == "event":
                    kind = text
                elif word == "data":
                    yield kind, json.loads(text)
        finally:
            door.close()

    def inside(self, service: str, *words: str) -> tuple[int, str]:
        """What a command says in a container of the service."""
        name = self.server.sh(f"docker ps -q --filter label=ctl.service={service} | head -n 1")
        done = self.server.inside.run("docker exec %s " + " ".join(["%s"] * len(words)), name, *words)
        return int(done.rc), str(done.stdout + done.stderr)

    def healthy(self) -> bool:
        status = self.ctl("status", "--json")
        return bool(status.code == 0 and status.data["healthy"])


class Load:
    """People who ask one question after the other, each with a login of their own that they keep."""

    def __init__(self, enterprise: Enterprise, people: int = 4) -> None:
        self._site, self._over = enterprise, threading.Event()
        self.people = people
        self._tokens = [self._account(f"{uuid.uuid4().hex}@example.com") for _ in range(people)]
        self._threads = [threading.Thread(target=self._talk, args=[token]) for token in self._tokens]
        self.answered: list[tuple[str, str, str, str]] = []
        """Token, session, question and answer of what was answered to its end."""
        self.begun: list[float] = []
        """When each of these was asked."""
        self.heard: list[tuple[str, str, str]] = []
        """Token, session and question of what the gateway said that it had taken."""
        self.failed: list[tuple[float, str]] = []
        """When it was asked, and what came of it."""

    def _account(self, email: str) -> str:
        who = {"email": email, "password": uuid.uuid4().hex}
        made = self._site.ask("POST", "/auth/users", {**who, "name": "Visitor"}, token=self._site.log_in())
        assert made.status == 201, made
        return str(self._site.ask("POST", "/auth/login", who).data["access_token"])

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def go_on(self, answers: int, seconds: float = 60) -> None:
        """Until so many more were given that had been asked for later than now."""
        now = time.monotonic()
        until("further answers", lambda: sum(began > now for began in self.begun) >= answers, seconds=seconds)

    def _talk(self, token: str) -> None:
        while not self._over.is_set():
            question, said, kind, data = f"What is {uuid.uuid4().hex}?", "", "nothing", None
            began = time.monotonic()
            try:
                for kind, data in self._site.events(token, question):
                    if kind == "session":
                        session = data["session"]["id"]
                        self.heard.append((token, session, question))
                    said += data["text"] if kind == "token" else ""
                    if kind == "done":
                        self.answered.append((token, session, question, said))
                        self.begun.append(began)
                if kind != "done":
                    self.failed.append((began, f"{kind}: {data}"))
            except (OSError, AssertionError, HTTPException) as error:
                self.failed.append((began, repr(error)))
            self._over.wait(1)  # thirty chats a minute are a person's limit

    def check(self) -> None:
        """Raises AssertionError if anything is gone of what the gateway had said that it has."""
        told = {
            (session, each["role"], each["content"])
            for token, session, _ in self.heard
            for each in self._site.ask("GET", f"/api/sessions/{session}", token=token).data["messages"]
        }
        assert {(session, "user", question) for _, session, question in self.heard} <= told
        assert {(session, "assistant", said) for _, session, _, said in self.answered} <= told


@contextmanager
def deployed(folder: pytest.TempPathFactory, suffix: str, **settings: Any) -> Iterator[Enterprise]:
    with lab_server.fresh_host(folder.mktemp(suffix), suffix) as server:
        made = Enterprise(server, Project(folder.mktemp("project")), Said(1, "", ""), settings)
        made.write()
        made.deploy = made.ctl("deploy", "--yes", "--json")
        if made.deploy.code:
            pytest.fail(f"the first deploy failed: {made.deploy}")
        made.password = made.project.ctl("secrets", "show", server.name, "AUTH_ADMIN_PASSWORD").stdout.split()[-1]
        volume = server.sh("docker volume inspect -f '{{.Mountpoint}}' enterprise-llm_caddy-data")
        authority = server.read(f"{volume}/caddy/pki/authorities/local/root.crt").decode()
        made.trust = ssl.create_default_context(cadata=authority)
        yield made
