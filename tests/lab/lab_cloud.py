"""The stack cloudtolocalllm on a host that was bare, and people who have sessions there."""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import lab_server
import pytest
import yaml
from aiohttp.abc import AbstractResolver, ResolveResult
from lab_project import Project, Said
from lab_server import Door, Reply, Server

ROOT = "/opt/cloudtolocalllm"
DOMAIN = "cloud.example.com"
ADMIN = "admin@example.com"
OTHER = "other@example.com"
PASSWORD = "a long one, for the lab only 1"
VARS = {"docker_source": "distribution", "https_port": 8443, "tls": "self-signed"}
PROXY = "label=cloudtolocalllm.proxy"
SPARES = 10
"""Sessions that are begun ahead of time."""


@dataclass
class Cloud:
    """`deploy` was the first one; `env` is what the program finds in its environment; `trust` is the doors'."""

    server: Server
    project: Project
    domain: str = DOMAIN
    env: Mapping[str, str] = field(default_factory=dict)
    deploy: Said = field(default_factory=lambda: Said(-1, "", ""))
    password: str = ""
    trust: ssl.SSLContext = field(default_factory=ssl.create_default_context)
    tokens: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By e-mail, with the moment from which they are not used any more; they are good for ten minutes."""

    def ctl(self, command: str, *arguments: str) -> Said:
        return self.project.ctl(command, self.server.name, *arguments, seconds=1500, env=self.env)

    def write(self, **more: Any) -> None:
        variables = {**VARS, "domain": self.domain, **more.get("vars", {})}
        entry = {"stack": "cloudtolocalllm", **more, "vars": variables}
        self.project.inventory.write_text(yaml.safe_dump({"hosts": {self.server.name: entry}}))

    def ask(self, method: str, name: str, path: str, body: Any = None, token: str = "", accept: str = "") -> Reply:
        """One request at the door of that name, its certificate checked."""
        more = {"Accept": accept} if accept else {}
        return Door(self.server.lab.ip, name, self.trust, seconds=60).ask(method, path, body, token, **more)

    def certificate(self) -> str:
        """Of the doors, which the host has signed itself."""
        return self.server.read(f"{ROOT}/proxy/tls/fullchain.pem").decode()

    def log_in(self, email: str) -> str:
        token, until = self.tokens.get(email, ("", 0.0))
        if time.monotonic() > until:
            password = self.password if email == ADMIN else PASSWORD
            reply = self.ask("POST", self.domain, "/auth/login", {"email": email, "password": password})
            assert reply.status == 200, reply
            token = str(reply.data["access_token"])
            self.tokens[email] = token, time.monotonic() + 300
        return token

    def session(self, email: str) -> dict[str, Any]:
        """The person's session, begun where there is none; its proxy answers."""
        reply = self.ask("POST", f"api.{self.domain}", "/api/streaming/create", {}, self.log_in(email))
        assert reply.status == 200, reply
        made: dict[str, Any] = reply.data
        return made

    def begins(self, email: str) -> bool:
        """Whether a session can be had, while the services may just be coming up."""
        try:
            reply = self.ask("POST", f"api.{self.domain}", "/api/streaming/create", {}, self.log_in(email))
        except OSError:
            return False
        return reply.status == 200

    def within(self, container: str, code: str, *words: str) -> tuple[int, str]:
        """What a piece of Python says in a container."""
        done = self.server.inside.run(
            "docker exec %s python -c %s " + " ".join(["%s"] * len(words)), container, code, *words
        )
        return int(done.rc), str(done.stdout + done.stderr)

    def proxies(self) -> dict[str, str]:
        """Running containers of people, by name, with their ids."""
        return self._running("cloudtolocalllm-proxy-")

    def spares(self) -> dict[str, str]:
        """Running containers that nobody has yet, by name, with their ids."""
        return self._running("cloudtolocalllm-spare-")

    def _running(self, name: str) -> dict[str, str]:
        form = "{{.Names}} {{.ID}}"
        rows = self.server.sh(f"docker ps --no-trunc --filter {PROXY} --filter name=^{name} --format '{form}'")
        return dict(row.split() for row in rows.splitlines())


class Leads(AbstractResolver):
    """Every name is the lab host's, wherever that is now."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        at = {"hostname": host, "host": self._cloud.server.lab.ip, "port": port}
        return [ResolveResult(**at, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        return


def host_of(session: Mapping[str, Any]) -> str:
    return urlsplit(session["endpoint"]).hostname or ""


@contextmanager
def deployed(tmp_path_factory: pytest.TempPathFactory, **more: Any) -> Iterator[Cloud]:
    """A host that was bare, after its first deploy. `more` is what the inventory says of it beside the lab's own."""
    with lab_server.fresh_host(tmp_path_factory.mktemp("cloud"), "cloud") as server:
        made = Cloud(server, Project(tmp_path_factory.mktemp("project")))
        bring(made, **more)
        made.trust = ssl.create_default_context(cadata=made.certificate())
        yield made


def bring(cloud: Cloud, **more: Any) -> None:
    """The first deploy."""
    cloud.write(**more)
    cloud.deploy = cloud.ctl("deploy", "--yes", "--json")
    if cloud.deploy.code:
        pytest.fail(f"the first deploy failed: {cloud.deploy}")
    shown = cloud.project.ctl("secrets", "show", cloud.server.name, "AUTH_ADMIN_PASSWORD", env=cloud.env)
    cloud.password = shown.stdout.split()[-1]
