"""Where the manager lives, for tests and the bench: the real Docker, HAProxy with its real list, a real nginx."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx
import itsdangerous
import jinja2

HERE = Path(__file__).parent
TEMPLATE = HERE.parents[4] / "templates/services/docker-proxy/conf/haproxy.cfg.j2"
KEY = "k" * 40
PORTAL = "https://portal.example.org"
NGINX = """
events {}
http {
    access_log off;
    server {
        listen 8081;
        resolver 127.0.0.11 valid=1s ipv6=off;
        location ~ ^/([a-z0-9-]+)/session$ { proxy_pass http://STACK-proxy-$1:3001/session; }
    }
}
"""


class Missing(Exception):
    """Something that is not on this machine."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], Any], what: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def image(engine: docker.DockerClient, *names: str) -> str:
    """The first of these repositories that there is an image of."""
    for name in names:
        for found in engine.images.list(name):
            if found.tags:
                return str(found.tags[0])
    raise Missing(f"there is no image of {' or '.join(names)}: ctl lab images")


@dataclass
class Running:
    """One process of the manager."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=90, trust_env=False, headers={"authorization": f"Bearer {KEY}"})

    def put(self, name: str) -> httpx.Response:
        with self.client() as client:
            return client.put("/sessions", json={"name": name})

    def begin(self, name: str) -> dict[str, Any]:
        answer = self.put(name)
        assert answer.status_code == 200, (answer.text, self.log.read_text()[-3000:])
        return dict(answer.json())

    def all(self) -> dict[str, Any]:
        with self.client() as client:
            answer = client.get("/sessions")
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

    def session(self, name: str) -> dict[str, Any] | None:
        return next((one for one in self.all()["sessions"] if one["name"] == name), None)

    def end(self, session: str) -> httpx.Response:
        with self.client() as client:
            return client.delete(f"/sessions/{session}")

    def ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def kill(self, sig: int = signal.SIGKILL) -> int:
        if self.process.poll() is None:
            self.process.send_signal(sig)
        return self.process.wait(30)


@dataclass
class Site:
    """All of it under a name of its own. `close()` leaves nothing behind."""

    stack: str = field(default_factory=lambda: f"ut{secrets.token_hex(3)}")
    folder: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="users-")))
    subnets: str = field(default_factory=lambda: f"10.{210 + secrets.randbelow(40)}.0.0/16")
    running: list[Running] = field(default_factory=list)

    def __post_init__(self) -> None:
        try:
            self.engine = docker.from_env()
        except docker.errors.DockerException:
            raise Missing("there is no Docker engine here") from None
        if shutil.which("haproxy") is None:
            raise Missing("haproxy is not installed: apt-get install haproxy")
        self.mark = {"users-test": self.stack}
        self.haproxy: subprocess.Popen[bytes] | None = None
        self.docker_port, self.door_port = free_port(), free_port()
        self.proxy_image = f"{self.stack}/proxy:0123456789ab"
        self._nginx_image = image(self.engine, "nginx", "ctl-lab/nginx")
        self._build()
        self.front = self.engine.networks.create(f"{self.stack}-front", labels=self.mark)
        self.open_docker()
        self.open_door()

    def _build(self) -> None:
        context = self.folder / "standin"
        shutil.copytree(HERE / "standin", context)
        shutil.copytree(Path(itsdangerous.__file__).parent, context / "itsdangerous")
        base = image(self.engine, "python", "ctl-lab/python")
        self.engine.images.build(path=str(context), tag=self.proxy_image, buildargs={"base": base}, rm=True)

    def config(self) -> str:
        """The list as ctl renders it, but for the two addresses."""
        environment = jinja2.Environment(undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True)
        text = environment.from_string(TEMPLATE.read_text()).render(
            stack={"name": self.stack}, vars={"user_subnets": self.subnets}
        )
        socket_file = self.engine.api.base_url.replace("http+docker://localhost", "/var/run/docker.sock")
        assert text.count("bind :2375\n") == 1 and "unix@/var/run/docker.sock" in text
        text = text.replace("bind :2375\n", f"bind 127.0.0.1:{self.docker_port}\n")
        return text.replace("unix@/var/run/docker.sock", f"unix@{socket_file}") + "\n"

    def open_docker(self) -> None:
        file = self.folder / "haproxy.cfg"
        file.write_text(self.config())
        with (self.folder / "haproxy.log").open("ab") as log:
            self.haproxy = subprocess.Popen(["haproxy", "-db", "-f", str(file)], stdout=log, stderr=log)
        until(self._docker_answers, "HAProxy")

    def _docker_answers(self) -> bool:
        assert self.haproxy and self.haproxy.poll() is None, (self.folder / "haproxy.log").read_text()
        try:
            return httpx.get(f"http://127.0.0.1:{self.docker_port}/version", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def close_docker(self) -> None:
        if self.haproxy is not None:
            self.haproxy.kill()
            self.haproxy.wait()

    def open_door(self) -> Any:
        """nginx, as Compose would name and label it."""
        config = self.folder / "nginx.conf"
        config.write_text(NGINX.replace("STACK", self.stack))
        return self.engine.containers.run(
            self._nginx_image,
            ["nginx", "-c", "/etc/ctl.conf", "-g", "daemon off;"],
            name=f"{self.stack}-nginx-1",
            labels={**self.mark, "ctl.service": "nginx", "com.docker.compose.project": self.stack},
            volumes=[f"{config}:/etc/ctl.conf:ro"],
            network=self.front.name,
            ports={"8081/tcp": ("127.0.0.1", self.door_port)},
            detach=True,
        )

    def variables(self, **settings: str) -> dict[str, str]:
        return {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": str(HERE.parent / "src"),
            "STACK": self.stack,
            "DOCKER_HOST": f"tcp://127.0.0.1:{self.docker_port}",
            "DOOR_URL": f"http://127.0.0.1:{self.door_port}",
            "PROXY_IMAGE": self.proxy_image,
            "PORTAL_ORIGIN": PORTAL,
            "USER_SUBNETS": self.subnets,
            "STREAMING_KEY": "s" * 40,
            "MANAGER_KEY": KEY,
            "HOST": "127.0.0.1",
            **settings,
        }

    def start(self, *, wait: bool = True, **settings: str) -> Running:
        port = free_port()
        log = self.folder / f"manager-{len(self.running)}.log"
        variables = self.variables(PORT=str(port), **settings)
        with log.open("wb") as out:
            process = subprocess.Popen([sys.executable, "-m", "users"], env=variables, stdout=out, stderr=out)
        one = Running(process, f"http://127.0.0.1:{port}", log)
        self.running.append(one)
        if wait:
            until(one.ready, "the manager")
        return one

    def containers(self) -> list[Any]:
        """The users' containers, and spare ones."""
        return list(
            self.engine.containers.list(all=True, ignore_removed=True, filters={"label": f"{self.stack}.proxy"})
        )

    def networks(self) -> list[Any]:
        return list(self.engine.networks.list(filters={"label": f"{self.stack}.proxy"}))

    def network_of(self, name: str) -> Any:
        """The network of the user's session."""
        return self.engine.networks.get(f"{self.stack}-user-{self.container(name).labels[f'{self.stack}.proxy']}")

    def container(self, name: str) -> Any:
        return self.engine.containers.get(f"{self.stack}-proxy-{name}")

    def clear(self) -> None:
        """Remove managers, and what they made."""
        for one in self.running:
            one.kill()
        self.running.clear()
        for container in self.containers():
            container.remove(force=True)
        for network in self.networks():
            network.reload()
            for joined in network.containers:
                network.disconnect(joined, force=True)
            network.remove()

    def close(self) -> None:
        self.clear()
        self.close_docker()
        for container in self.engine.containers.list(all=True, filters={"label": f"users-test={self.stack}"}):
            container.remove(force=True)
        self.front.remove()
        self.engine.images.remove(self.proxy_image, force=True)
        self.engine.close()
        shutil.rmtree(self.folder)
