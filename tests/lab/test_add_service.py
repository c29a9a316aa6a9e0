"""Services come and go on a running host, and nobody who uses the others notices: neither at Caddy nor at nginx."""

from __future__ import annotations

import hashlib
import http.client
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lab_server
import pytest
from lab_project import VARS, Project, Said
from lab_server import Door, Server, _basic

# A service of the project's own: what is in its volume, over HTTP, by the program that every host of the lab has.
FILES = """\
services:
  NAME:
    image: caddy:2.11.4-alpine
    command: ["caddy", "file-server", "--browse", "--root", "/data/files", "--listen", ":8080"]
    volumes: ["NAME:/data/files"]
    healthcheck: {test: ["CMD-SHELL", "HEALTHY"], interval: 1s, retries: 3, start_period: 5s, start_interval: 1s}
    deploy: {resources: {limits: {memory: 128M}}}
volumes: {NAME: {}}
x-ctl:
  summary: Files
  route: {port: 8080}
  backup: {volumes: [NAME]}
"""
CADDY = f"""\
# The hosts of this test.
hosts:
  HOST:
    stack: lean-llm          # Caddy
    vars: {{ngrok_domain: {VARS["ngrok_domain"]}, docker_source: distribution, address: 0.0.0.0, https_port: 8443}}
    services:
      - library              # of the project's own

# No groups.
"""
NGINX = """\
hosts:
  HOST:
    stack: ai-platform       # nginx
    root: /opt/ai-platform
    without: [postgres, redis, weaviate, ollama, litellm, anythingllm, openclaw, dify, signal-api, gdrive]
    vars: {docker_source: distribution, access: internal, address: 0.0.0.0, domain: ai.test, tls: self-signed}
    services: [library]

# No groups.
"""


@dataclass
class Site:
    """A deployed host, and how to ask at its doors."""

    server: Server
    project: Project
    stack: str
    login: str = ""
    trust: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    @property
    def root(self) -> str:
        return f"/opt/{self.stack}"

    def ctl(self, *words: str) -> Said:
        return self.project.ctl(*words, seconds=600)

    def done(self, *words: str) -> Said:
        said = self.ctl(*words)
        assert said.code == 0, said
        return said

    def url(self, service: str) -> tuple[str, int]:
        """Name and port of a service's own door."""
        if self.stack == "lean-llm":
            return f"{service}.localhost", 8443
        words = self.server.sh(f"grep -B3 'http://{service}:' {self.root}/proxy/conf/nginx.conf || true")
        assert words, f"{service} has no door"
        conf = self.server.read(f"{self.root}/proxy/conf/nginx.conf").decode()
        above = conf[: conf.index(f"http://{service}:")]
        return "ai.test", int(above.rpartition("listen ")[2].split()[0])

    def door(self, service: str) -> Door:
        name, port = self.url(service)
        door = Door(self.server.lab.ip, name, self.trust)
        door.port = port
        return door

    def get(self, service: str, path: str = "/") -> tuple[int, bytes]:
        door = self.door(service)
        try:
            return ask(door, path, self.login)
        finally:
            door.close()

    def container(self, name: str) -> str:
        """The id of a container of the stack, or nothing."""
        labels = ("com.docker.compose.project", self.stack), ("com.docker.compose.service", name)
        filters = " ".join(f"--filter label={key}={value}" for key, value in labels)
        return self.server.sh(f"docker ps -aq --no-trunc {filters}")

    def write(self, service: str, name: str, size: int) -> str:
        """A file into the service's volume; returns its SHA-256."""
        path = f"$(docker volume inspect -f '{{{{.Mountpoint}}}}' {self.stack}_{service})/{name}"
        self.server.sh(f"head -c {size} /dev/urandom >{path}")
        return self.server.sh(f"sha256sum <{path}").split()[0]


def ask(door: Door, path: str, login: str) -> tuple[int, bytes]:
    door.request("GET", path, headers=_basic(login))
    response = door.getresponse()
    return response.status, response.read()


def template(
    project: Project, name: str, healthy: str = "wget -qO- http://127.0.0.1:8080/ >/dev/null || exit 1"
) -> None:
    path = project.folder / "templates/services" / name / "compose.yaml.j2"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FILES.replace("NAME", name).replace("HEALTHY", healthy))


@contextmanager
def deployed(folder: Path, text: str, stack: str) -> Iterator[Site]:
    with lab_server.fresh_host(folder, f"added-{stack[:4]}") as server:
        project = Project(folder / "deployed")
        template(project, "library")
        template(project, "hello")
        project.inventory.write_text(text.replace("HOST", server.name))
        site = Site(server, project, stack)
        site.done("deploy", server.name, "--yes")
        if stack == "lean-llm":
            site.login = ":".join(site.done("secrets", "show", server.name, "--login").stdout.split())
            site.trust = ssl.create_default_context(cadata=server.authority())
        else:
            site.login = ":".join(site.done("secrets", "show", server.name, "--login").stdout.split())
            certificate = server.read(f"{site.root}/proxy/tls/fullchain.pem").decode()
            site.trust = ssl.create_default_context(cadata=certificate)
        yield site


@pytest.fixture(scope="module", params=[("lean-llm", CADDY), ("ai-platform", NGINX)], ids=["caddy", "nginx"])
def site(engine: None, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Site]:
    stack, text = request.param
    with deployed(tmp_path_factory.mktemp("added"), text, stack) as made:
        yield made


# --- those who use the others -----------------------------------------------------------------------------------------


@dataclass
class Loop:
    """Somebody who asks again and again: each time with a new connection, or over one that is kept.

    A server may close a kept connection while nobody waits for an answer; what was just being sent then is sent again
    over a new one, as RFC 9110 9.2.2 has it and every browser does. That is counted. A second time is a failure.
    """

    site: Site
    service: str
    path: str
    keep: bool
    answers: int = 0
    reopened: int = 0
    failures: list[str] = field(default_factory=list)

    def __call__(self, over: threading.Event) -> None:
        door = self.site.door(self.service)
        while not over.wait(0.06):  # nginx lets one caller have 50 requests a second, and there are two of us
            try:
                status, _ = self.once(door)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                door.close()
                continue
            self.answers += 1
            if status != 200:
                self.failures.append(str(status))
            if not self.keep:
                door.close()
        door.close()

    def once(self, door: Door) -> tuple[int, bytes]:
        kept = door.sock is not None
        try:
            return ask(door, self.path, self.site.login)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
            door.close()
            if not kept:
                raise
        self.reopened += 1
        return ask(door, self.path, self.site.login)


@contextmanager
def asking(*loops: Loop) -> Iterator[None]:
    over = threading.Event()
    threads = [threading.Thread(target=loop, args=(over,), daemon=True) for loop in loops]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join(30)


@contextmanager
def reading(site: Site, path: str, sha: str) -> Iterator[None]:
    """A long answer that is begun before and read to its end after; it arrives whole, over its one connection."""
    door = site.door("library")
    try:
        door.request("GET", path, headers=_basic(site.login))
        response = door.getresponse()
        assert response.status == 200
        found, over = hashlib.sha256(), threading.Event()

        def sip() -> None:
            # Not so slowly that nginx takes us for gone.
            while not over.wait(0.5):
                found.update(response.read(100_000))

        reader = threading.Thread(target=sip, daemon=True)
        reader.start()
        yield
        over.set()
        reader.join(30)
        found.update(response.read())
        assert found.hexdigest() == sha
    finally:
        door.close()


def test_nobody_notices_that_services_come_and_go(site: Site) -> None:
    # More than all buffers between hold, so that most of it is read from the service after everything has changed.
    sha = site.write("library", "big", 300_000_000)
    site.write("library", "small", 1000)
    proxy = site.container("caddy" if site.stack == "lean-llm" else "nginx")
    others = [site.container(name) for name in ("library", "n8n")]
    text = site.project.inventory.read_text()
    loops = [Loop(site, "library", "/small", keep) for keep in (True, False)]
    with reading(site, "/big", sha), asking(*loops):
        for _ in range(3):
            said = site.done("add-service", "hello", site.server.name, "--yes")
            assert "hello is healthy" in said.stderr
            assert site.get("hello")[0] == 200
            site.done("remove-service", "hello", site.server.name, "--yes")
    for loop in loops:
        assert loop.failures == [], f"{loop.answers} answers, {loop.reopened} times anew"
        assert loop.answers > 100
    print([(loop.keep, loop.answers, loop.reopened) for loop in loops])
    assert site.container("caddy" if site.stack == "lean-llm" else "nginx") == proxy
    assert [site.container(name) for name in ("library", "n8n")] == others
    assert site.project.inventory.read_text() == text


# --- what is there then -----------------------------------------------------------------------------------------------


@pytest.fixture
def added(site: Site) -> Iterator[Site]:
    """With hello on it; without it again in the end."""
    site.done("add-service", "hello", site.server.name, "--yes")
    yield site
    if site.container("hello"):
        site.done("remove-service", "hello", site.server.name, "--yes")


def test_what_an_added_service_has_and_what_it_leaves(added: Site) -> None:
    inside, unit = added.server.inside, f"{added.stack}-hello.service"
    assert inside.service(unit).is_enabled
    assert inside.service(unit).is_running
    assert inside.file(f"{added.root}/stacks/hello/compose.yaml").mode == 0o644
    added.server.sh(f"systemctl stop {unit}")
    assert added.server.sh(f"docker inspect -f '{{{{.State.Status}}}}' {added.container('hello')}") == "exited"
    added.server.sh(f"systemctl start {unit}")
    assert added.server.sh(f"docker inspect -f '{{{{.State.Health.Status}}}}' {added.container('hello')}") == "healthy"
    said = added.ctl("plan", added.server.name, "--json", "--detailed-exitcode")
    assert (said.code, said.data["changes"]) == (0, []), said

    sha = added.write("hello", "precious", 5000)
    assert hashlib.sha256(added.get("hello", "/precious")[1]).hexdigest() == sha
    said = added.done("remove-service", "hello", added.server.name, "--yes")
    assert f"volume {added.stack}_hello" in said.stderr
    assert added.container("hello") == ""
    assert not inside.file(f"/etc/systemd/system/{unit}").exists
    assert not inside.file(f"{added.root}/stacks/hello").exists
    assert added.server.sh(f"systemctl list-units --all --no-legend {unit}") == ""
    conf = "Caddyfile" if added.stack == "lean-llm" else "nginx.conf"
    assert "hello" not in inside.file(f"{added.root}/proxy/conf/{conf}").content_string
    said = added.ctl("plan", added.server.name, "--json", "--detailed-exitcode")
    assert (said.code, said.data["changes"]) == (0, []), said

    added.done("add-service", "hello", added.server.name, "--yes")
    assert hashlib.sha256(added.get("hello", "/precious")[1]).hexdigest() == sha, "its data is found again"


def test_a_second_time(added: Site) -> None:
    runs = added.server.sh(f"ls {added.root}/.ctl/runs")
    said = added.ctl("add-service", "hello", added.server.name, "--yes")
    assert (said.code, "has hello already: inventory.yaml adds it" in said.error) == (2, True), said
    assert added.server.sh(f"ls {added.root}/.ctl/runs") == runs


def state(site: Site) -> dict[str, Any]:
    show: Callable[[str], str] = site.server.sh
    return {
        "inventory": site.project.inventory.read_text(),
        "files": show(f"cd {site.root} && find stacks proxy/conf compose.yaml -type f | sort | xargs sha256sum"),
        "units": show(f"ls /etc/systemd/system | grep {site.stack}"),
        "containers": show("docker ps -a --no-trunc --format '{{.ID}} {{.Names}} {{.State}}' | sort"),
        "applied": show(f"sort {site.root}/.ctl/applied"),
        "current": show(f"cat {site.root}/.ctl/current"),
    }


@pytest.mark.parametrize(
    ("old", "new", "code", "word"),
    [
        ("|| exit 1", "; exit 1", 6, "hello"),
        ("caddy:2.11.4-alpine", "nobody/has-this:1.0", 1, "nobody/has-this:1.0"),
    ],
    ids=["unhealthy", "no image"],
)
def test_what_does_not_come_up_is_as_if_it_had_never_been(site: Site, old: str, new: str, code: int, word: str) -> None:
    template(site.project, "hello")
    path = site.project.folder / "templates/services/hello/compose.yaml.j2"
    path.write_text(path.read_text().replace(old, new))
    before = state(site)
    try:
        said = site.ctl("add-service", "hello", site.server.name, "--yes")
    finally:
        template(site.project, "hello")
    assert said.code == code, said
    assert word in said.error
    assert "is back in its place\ninventory.yaml is put back" in said.error
    assert state(site) == before


def test_one_of_the_stacks_own_leaves_and_returns(site: Site) -> None:
    # At Caddy n8n answers at / of the tunnel, and could not go.
    name = "flowise" if site.stack == "lean-llm" else "n8n"
    before = state(site)
    volume = f"{site.stack}_{name}"
    said = site.done("remove-service", name, site.server.name, "--yes")
    assert f"volume {volume}" in said.stderr
    assert site.container(name) == ""
    assert volume in site.server.sh("docker volume ls -q").split()
    text = site.project.inventory.read_text()
    assert f"{name}]" in text, "it is under `without` now"
    assert site.ctl("plan", site.server.name, "--detailed-exitcode").code == 0
    proxy = site.container("caddy" if site.stack == "lean-llm" else "nginx")
    site.done("add-service", name, site.server.name, "--yes")
    after = state(site)
    assert {key: after[key] for key in ("inventory", "files", "units", "applied", "current")} == {
        key: before[key] for key in ("inventory", "files", "units", "applied", "current")
    }
    assert site.container("caddy" if site.stack == "lean-llm" else "nginx") == proxy
