"""The stack enterprise-llm on a host that was bare: its own images are built there; who asks has to be somebody."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import lab_server
import pytest
import yaml
from lab_project import Project, Said, until
from lab_server import Door, Server

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


@dataclass(frozen=True)
class Reply:
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


@dataclass
class Enterprise:
    server: Server
    project: Project
    deploy: Said
    password: str = ""
    trust: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def ctl(self, command: str, *arguments: str) -> Said:
        return self.project.ctl(command, self.server.name, *arguments, seconds=900)

    def write(self, **more: Any) -> None:
        entry = {"stack": "enterprise-llm", **more, "vars": {**VARS, **more.get("vars", {})}}
        self.project.inventory.write_text(yaml.safe_dump({"hosts": {self.server.name: entry}}))

    def door(self) -> Door:
        return Door(self.server.lab.ip, "chat.localhost", self.trust, seconds=60)

    def ask(self, method: str, path: str, body: Any = None, token: str = "") -> Reply:
        door = self.door()
        try:
            door.request(method, path, None if body is None else json.dumps(body), _headers(token))
            answer = door.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            door.close()

    def log_in(self) -> str:
        reply = self.ask("POST", "/auth/login", {"email": ADMIN, "password": self.password})
        assert reply.status == 200, reply
        return str(reply.data["access_token"])

    def chat(self, token: str, message: str, **more: Any) -> list[tuple[float, str, Any]]:
        """The events of one answer, each with the time at which it came. Raises OSError and HTTPException."""
        door = self.door()
        try:
            door.request("POST", "/api/chat", json.dumps({"message": message, **more}), _headers(token))
            answer = door.getresponse()
            assert answer.status == 200, (answer.status, answer.read())
            events, kind = [], ""
            for line in answer:
                word, _, text = line.decode().strip().partition(": ")
                if word == "event":
                    kind = text
                elif word == "data":
                    events.append((time.monotonic(), kind, json.loads(text)))
            return events
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


def _headers(token: str) -> dict[str, str]:
    return {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}


@pytest.fixture(scope="module")
def enterprise(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Enterprise]:
    with lab_server.fresh_host(tmp_path_factory.mktemp("enterprise"), "enterprise") as server:
        made = Enterprise(server, Project(tmp_path_factory.mktemp("project")), Said(1, "", ""))
        made.write()
        made.deploy = made.ctl("deploy", "--yes", "--json")
        if made.deploy.code:
            pytest.fail(f"the first deploy failed: {made.deploy}")
        made.password = made.project.ctl("secrets", "show", server.name, "AUTH_ADMIN_PASSWORD").stdout.split()[-1]
        volume = server.sh("docker volume inspect -f '{{.Mountpoint}}' enterprise-llm_caddy-data")
        authority = server.read(f"{volume}/caddy/pki/authorities/local/root.crt").decode()
        made.trust = ssl.create_default_context(cadata=authority)
        yield made


def test_it_is_there_and_there_is_nothing_left_to_do(enterprise: Enterprise) -> None:
    plan = enterprise.ctl("plan", "--detailed-exitcode")
    assert plan.code == 0, plan
    assert enterprise.healthy()
    images = enterprise.server.sh("docker ps --format '{{.Image}}' | sort | uniq -c")
    assert images.count("enterprise-llm/") == 3
    assert "3 enterprise-llm/gateway:" in images
    assert "2 enterprise-llm/ui:" in images


def test_from_outside_there_is_ssh_and_the_one_door(enterprise: Enterprise) -> None:
    ports = (22, 80, 443, 5432, 6379, 8000, 8080, 8443, 11434)
    assert enterprise.server.answering(ports) == {22, 8443}


def test_the_page_is_strict(enterprise: Enterprise) -> None:
    page = enterprise.ask("GET", "/")
    assert page.status == 200
    policy = page.headers["Content-Security-Policy"]
    assert "unsafe-inline" not in policy
    assert "unsafe-eval" not in policy


def test_models_are_reached_through_the_gateway_only(enterprise: Enterprise) -> None:
    probe = "import socket,sys; socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=3)"
    assert enterprise.inside("gateway", "python", "-c", probe, "ollama", "11434")[0] == 0
    assert enterprise.inside("auth", "python", "-c", probe, "ollama", "11434")[0] != 0
    address = enterprise.server.sh(
        "docker inspect -f '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}'"
        " $(docker ps -q --filter label=ctl.service=ollama)"
    )
    assert enterprise.inside("auth", "python", "-c", probe, address, "11434")[0] != 0, "not by its address either"
    networks = enterprise.server.sh(
        "docker inspect -f '{{range $name, $_ := .NetworkSettings.Networks}}{{$name}} {{end}}'"
        " $(docker ps -q --filter label=ctl.service=ollama)"
    )
    assert networks.split() == ["enterprise-llm-engine"]


def test_somebody_asks_and_the_answer_comes_word_by_word(enterprise: Enterprise) -> None:
    assert enterprise.ask("GET", "/api/sessions").status == 401
    token = enterprise.log_in()
    models = enterprise.ask("GET", "/api/models", token=token).data
    assert (models["default"], models["notice"]) == ("llama3.2:1b", NOTICE)
    events = enterprise.chat(token, "Who are you?")
    kinds = [kind for _, kind, _ in events]
    assert (kinds[0], kinds[-1]) == ("session", "done")
    times = [at for at, kind, _ in events if kind == "token"]
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) > 5
    assert sorted(gaps)[len(gaps) // 2] > 0.1, "apart in time, as the model says them"
    said = "".join(data["text"] for _, kind, data in events if kind == "token")
    session = enterprise.ask("GET", f"/api/sessions/{events[0][2]['session']['id']}", token=token).data
    assert [(each["role"], each["content"]) for each in session["messages"]] == [
        ("user", "Who are you?"),
        ("assistant", said),
    ]


def test_a_new_release_of_the_gateway_fails_no_request(enterprise: Enterprise) -> None:
    token, over = enterprise.log_in(), threading.Event()
    failed: list[str] = []
    served = [0]

    def visit() -> None:
        while not over.is_set():
            try:
                events = enterprise.chat(token, "Go on.")
                if events[-1][1] != "done":
                    failed.append(f"{events[-1]}")
                served[0] += 1
            except (OSError, AssertionError, http.client.HTTPException) as error:
                failed.append(repr(error))

    before = enterprise.server.sh("docker ps -q --filter label=ctl.service=gateway | sort")
    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    enterprise.write(vars={"model_notice": "Another word."})
    try:
        deploy = enterprise.ctl("deploy", "--yes")
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert deploy.code == 0, deploy
    assert not set(before.split()) & set(enterprise.server.sh("docker ps -q").split())
    assert failed == []
    assert served[0] > 4


@pytest.mark.parametrize("service", ["gateway", "auth", "redis", "postgres"])
def test_what_is_killed_comes_back_and_nothing_that_was_said_is_lost(enterprise: Enterprise, service: str) -> None:
    token = enterprise.log_in()
    message = f"Remember {service}."
    session = enterprise.chat(token, message)[0][2]["session"]["id"]
    # Docker would take `docker kill` for somebody's wish.
    enterprise.server.sh(
        f"docker inspect -f '{{{{.State.Pid}}}}' $(docker ps -q --filter label=ctl.service={service}) | xargs kill -9"
    )
    until(f"{service} to be back", enterprise.healthy, seconds=120, every=2)
    messages = enterprise.ask("GET", f"/api/sessions/{session}", token=enterprise.log_in()).data["messages"]
    assert messages[0]["content"] == message
    assert enterprise.chat(enterprise.log_in(), "And now?", session_id=session)[-1][1] == "done"
