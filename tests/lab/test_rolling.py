"""A service with replicas is replaced while people use it: nobody notices, and a bad release goes back."""

from __future__ import annotations

import http.client
import json
import ssl
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import lab_server
import pytest
import yaml
from lab_project import Project
from lab_server import Door, Server

STACK = """\
name: rolling
summary: A site that is replaced while people use it
network: {subnet: 172.23.0.0/16, inner: [quiet]}
proxy: caddy
vars: {user: {about: name, default: admin}}
access: {kind: internal}
doors: {domain: localhost, port: 8443, address: 0.0.0.0}
services: {site: {replicas: 3, networks: [default, quiet]}}
"""
# The stand-in for Ollama answers at once, and, when it "pulls" a model, for a second.
SITE = """\
services:
  site:
    build: rolling/site
    healthcheck: {test: ["CMD", "ollama", "list"], interval: 5s, start_period: 30s, start_interval: 1s, retries: 3}
    stop_grace_period: 30s
    deploy: {resources: {limits: {memory: 512M}}}
x-ctl:
  summary: Words, one after the other
  scales: true
  auth: builtin
  route: {port: 11434, stream: true}
"""
GOOD = "FROM ollama/ollama:0.33.2\nENV RELEASE=%s\n"


@dataclass
class Site:
    server: Server
    project: Project
    images: Path = field(init=False)

    def __post_init__(self) -> None:
        folder = self.project.folder
        self.images = folder / "stacks/rolling/images/site/Dockerfile"
        template = folder / "templates/services/site/compose.yaml.j2"
        for path in (self.images, template):
            path.parent.mkdir(parents=True)
        (folder / "stacks/rolling/stack.yaml").write_text(STACK)
        template.write_text(SITE)
        self.release("1")
        entry = {"stack": "rolling", "vars": {"docker_source": "distribution"}}
        self.project.inventory.write_text(yaml.safe_dump({"hosts": {self.server.name: entry}}))

    def release(self, word: str, dockerfile: str = GOOD) -> None:
        self.images.write_text(dockerfile % word)

    def replicas(self, number: int) -> None:
        (self.project.folder / "stacks/rolling/stack.yaml").write_text(
            STACK.replace("replicas: 3", f"replicas: {number}")
        )

    def containers(self) -> dict[str, str]:
        """The image of every container of the site, by its id."""
        rows = self.server.sh("docker ps --no-trunc --filter label=ctl.service=site --format '{{.ID}} {{.Image}}'")
        return dict(line.split(" ") for line in rows.splitlines())

    def deploy(self) -> int:
        return self.project.ctl("deploy", self.server.name, "--yes").code


@pytest.fixture(scope="module")
def site(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with lab_server.fresh_host(tmp_path_factory.mktemp("rolling"), "rolling") as server:
        made = Site(server, Project(tmp_path_factory.mktemp("project")))
        assert made.deploy() == 0
        yield made


class Visitors:
    """People at the door, all the time: some ask briefly, some listen to an answer for a second."""

    def __init__(self, server: Server, *, brief: int = 3, long: int = 6) -> None:
        self.server, self.over = server, threading.Event()
        self.served: Counter[str] = Counter()
        self.failed: list[str] = []
        # What the certificate is like is looked at elsewhere; here it would be one more volume to read.
        self.trust = ssl._create_unverified_context()
        work = [*[("GET", "/", "")] * brief, *[("POST", "/api/pull", json.dumps({"model": "llama3.2:1b"}))] * long]
        self.threads = [threading.Thread(target=self.visit, args=each) for each in work]

    def visit(self, method: str, path: str, body: str) -> None:
        while not self.over.is_set():
            door = Door(self.server.lab.ip, "site.localhost", self.trust, seconds=60)
            try:
                door.request(method, path, body)
                answer = door.getresponse()
                text = answer.read().decode()
            except (OSError, http.client.HTTPException) as error:
                self.failed.append(f"{method} {path}: {error!r}")
            else:
                whole = '"status":"success"' in text if body else text == "Ollama is running"
                self.served[method] += 1
                if answer.status != 200 or not whole:
                    self.failed.append(f"{method} {path}: {answer.status} {text[-100:]}")
            finally:
                door.close()

    def __enter__(self) -> Visitors:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join()


def test_nobody_notices_a_new_release(site: Site) -> None:
    before = site.containers()
    assert len(before) == 3
    site.release("2")
    with Visitors(site.server) as visitors:
        said = site.project.ctl("deploy", site.server.name, "--yes", "--json")
    assert said.code == 0, said
    assert visitors.failed == []
    assert min(visitors.served.values()) > 5
    after = site.containers()
    assert len(after) == 3
    assert not set(after) & set(before)
    assert len(set(after.values())) == 1
    assert not set(after.values()) & set(before.values())
    again = site.project.ctl("plan", site.server.name, "--detailed-exitcode")
    assert again.code == 0, again


def test_a_release_that_does_not_become_healthy_is_noticed_by_nobody_either(site: Site) -> None:
    before = site.containers()
    site.release("3", 'FROM ollama/ollama:0.33.2\nENTRYPOINT ["/bin/sh", "-c", "echo broken %s; exec sleep 600"]\n')
    with Visitors(site.server, brief=2, long=2) as visitors:
        said = site.project.ctl("deploy", site.server.name, "--yes", env={"CTL_LAB": "1"})
    assert said.code == 6, said
    assert "site did not become healthy" in said.error
    assert "broken 3" in said.stderr
    assert visitors.failed == []
    assert site.containers() == before
    site.release("2")
    assert site.project.ctl("plan", site.server.name, "--detailed-exitcode").code == 0


def test_the_number_changes_without_touching_those_that_stay(site: Site) -> None:
    before = set(site.containers())
    site.replicas(4)
    assert site.deploy() == 0
    more = set(site.containers())
    assert len(more) == 4
    assert more > before
    site.replicas(2)
    assert site.deploy() == 0
    assert len(site.containers()) == 2
    assert set(site.containers()) < more


def test_one_of_them_is_lost(site: Site) -> None:
    there = list(site.containers())
    site.server.sh(f"docker rm -f {there[0]}")
    status = site.project.ctl("status", site.server.name, "--json", "--detailed-exitcode")
    assert (status.code, status.data["healthy"]) == (3, False)
    assert site.deploy() == 0
    assert there[1] in site.containers()
    assert len(site.containers()) == len(there)
