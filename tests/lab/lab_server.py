"""Lab hosts as the world sees them: OpenSSH through testinfra, HTTPS by the standard library, the log of sshd.

None of it shares code with the program; only the lab itself, which makes the hosts, is the product's.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import selectors
import shlex
import socket
import ssl
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import testinfra
from lab_project import DOMAIN, DOOR, ROOT

from ctl import lab
from ctl.core.errors import UnknownName

PREFIX = "lab-test-"
COMPOSE = "label=com.docker.compose.project=lean-llm"


@dataclass(frozen=True)
class Answer:
    """The answer to one HTTP request."""

    status: int
    headers: Mapping[str, str]
    body: str


@dataclass(frozen=True)
class Reply:
    """The answer of an API to one request."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def data(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Running:
    """A container of the stack."""

    id: str
    started: str
    state: str


class Server:
    """One lab host."""

    def __init__(self, host: lab.LabHost, folder: Path) -> None:
        self.lab, self.name = host, host.name
        self._config = folder / "ssh_config"
        self._config.write_text(
            f"Host {host.name}\n HostName {host.address}\n Port {host.port}\n User root\n"
            f" IdentityFile {host.key}\n IdentitiesOnly yes\n IdentityAgent none\n"
            f" UserKnownHostsFile {host.known_hosts}\n GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n"
            f" ControlPath {folder}/%C\n LogLevel ERROR\n"
        )
        self.inside = testinfra.get_host(f"ssh://{host.name}", ssh_config=str(self._config), controlpersist=20)

    def close(self) -> None:
        """End the connection that OpenSSH keeps open for testinfra."""
        subprocess.run(["ssh", "-F", self._config, "-O", "exit", self.name], capture_output=True, check=False)

    def reboot(self) -> None:
        """Shut down in order and boot; returns when one can log in again."""
        self.close()
        lab.reboot(self.name)
        self.lab = lab.find(self.name)

    def sh(self, text: str) -> str:
        """What a piece of sh prints, run as root; it has to succeed."""
        done = self.inside.run(text)
        assert done.rc == 0, f"{text}: exit {done.rc}\n{done.stdout}\n{done.stderr}"
        return str(done.stdout).rstrip("\n")

    def read(self, path: str) -> bytes:
        return base64.b64decode(self.sh(f"base64 -w0 {shlex.quote(path)}"))

    def containers(self) -> dict[str, Running]:
        """Every container of the stack by its name in the Compose files, stopped ones too."""
        form = '{{index .Config.Labels "com.docker.compose.service"}} {{.Id}} {{.State.StartedAt}} {{.State.Status}}'
        text = self.sh(f"docker ps -aq --filter {COMPOSE} | xargs -r docker inspect -f {shlex.quote(form)}")
        rows = [line.split() for line in text.splitlines()]
        return {name: Running(identity, started, state) for name, identity, started, state in rows}

    def assert_untouched(self) -> None:
        """Nothing of a deploy is here."""
        assert not self.inside.file(ROOT).exists
        assert not self.inside.exists("docker")
        assert not self.inside.file("/etc/ngrok").exists
        assert self.sh("find /etc -name '*lean-llm*'") == ""

    # --- the doors ---------------------------------------------------------------------------------------------------

    def https(
        self,
        name: str,
        path: str = "/",
        *,
        login: str = "",
        headers: Mapping[str, str] | None = None,
        authority: str = "",
    ) -> Answer:
        """One GET through the front door, the certificate checked. Raises OSError where there is no such door.

        `authority` is the certificate of Caddy's authority, where the caller has read it before.
        """
        trust = ssl.create_default_context(cadata=authority or self.authority())
        connection = Door(self.lab.ip, name, trust)
        try:
            connection.request("GET", path, headers={**_basic(login), **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, dict(response.getheaders()), response.read().decode())
        finally:
            connection.close()

    def authority(self) -> str:
        """The certificate of Caddy's own authority, out of its volume."""
        volume = self.sh("docker volume inspect -f '{{.Mountpoint}}' lean-llm_caddy-data")
        return self.read(f"{volume}/caddy/pki/authorities/local/root.crt").decode()

    def ngrok(self, path: str = "/", *, host: str = DOMAIN, login: str = "") -> Answer:
        """One GET as ngrok's edge would bring it; the stand-in plays the edge on the host's loopback interface."""
        return self.get(f"http://127.0.0.1:4041{path}", {"Host": host, **_basic(login)})

    def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """One GET by curl on the host itself."""
        words = [word for name, value in headers.items() for word in ("-H", f"{name}: {value}")]
        text = self.sh(shlex.join(["curl", "-s", "-i", "--http1.1", "--max-time", "20", *words, url]))
        head, _, body = text.replace("\r\n", "\n").partition("\n\n")
        first, *lines = head.splitlines()
        parts = [line.partition(":") for line in lines]
        return Answer(int(first.split()[1]), {name: value.strip() for name, _, value in parts}, body)

    def answering(self, ports: Iterable[int], *, seconds: float = 2) -> set[int]:
        """Which TCP ports take a connection from this machine, within `seconds` for every 500 of them."""
        wanted = sorted(set(ports))
        return {
            port
            for start in range(0, len(wanted), 500)
            for port in _connectable(self.lab.ip, wanted[start : start + 500], seconds)
        }

    # --- what the program did ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def logged(self) -> Iterator[list[str]]:
        """What sshd and sudo write into the journal meanwhile; read past SSH, which would write into it too."""
        self.close()
        show = ["docker", "exec", self.lab.container, "journalctl", "-q", "-o", "cat", "--sync"]
        subprocess.run(show, check=True, capture_output=True)
        at = subprocess.run(
            ["docker", "exec", self.lab.container, "journalctl", "-q", "-n", "1", "--show-cursor", "-o", "cat"],
            check=True,
            capture_output=True,
            text=True,
        ).stdout.rpartition("-- cursor: ")[2]
        lines: list[str] = []
        yield lines
        subprocess.run(show, check=True, capture_output=True)
        programs = ["-t", "sshd", "-t", "sshd-session", "-t", "sudo"]
        lines += subprocess.run(
            [*show[:-1], f"--after-cursor={at.strip()}", *programs], check=True, capture_output=True, text=True
        ).stdout.splitlines()

    def runs(self) -> list[str]:
        """The runs that the host remembers, the latest last."""
        return self.sh(f"ls -1 {ROOT}/.ctl/runs 2>/dev/null || true").split()


class Door(http.client.HTTPSConnection):
    """Connects to an address and asks for a name, as a browser does whose DNS knows the name."""

    def __init__(self, address: str, name: str, trust: ssl.SSLContext, *, seconds: float = 20) -> None:
        super().__init__(name, DOOR, timeout=seconds, context=trust)
        self._address, self._trust = address, trust

    def connect(self) -> None:
        plain = socket.create_connection((self._address, self.port), timeout=self.timeout)
        try:
            self.sock = self._trust.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise

    def ask(self, method: str, path: str, body: Any = None, token: str = "", **more: str) -> Reply:
        """One request in JSON, by whoever has that token; `more` are headers. The connection ends with it."""
        try:
            self.request(method, path, None if body is None else json.dumps(body), json_headers(token) | more)
            answer = self.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())
        finally:
            self.close()


def json_headers(token: str = "") -> dict[str, str]:
    return {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}


def _basic(login: str) -> dict[str, str]:
    """The header for `user:password`."""
    return {"Authorization": f"Basic {base64.b64encode(login.encode()).decode()}"} if login else {}


def _connectable(address: str, ports: Iterable[int], seconds: float) -> set[int]:
    found: set[int] = set()
    with selectors.DefaultSelector() as waiting, contextlib.ExitStack() as open_sockets:
        for port in ports:
            trial = open_sockets.enter_context(socket.socket())
            trial.setblocking(False)
            trial.connect_ex((address, port))
            waiting.register(trial, selectors.EVENT_WRITE, port)
        deadline = time.monotonic() + seconds
        while waiting.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in waiting.select(left):
                waiting.unregister(key.fileobj)
                if isinstance(key.fileobj, socket.socket) and not key.fileobj.getsockopt(
                    socket.SOL_SOCKET, socket.SO_ERROR
                ):
                    found.add(key.data)
    return found


def sweep(prefix: str = PREFIX) -> None:
    """Remove what a killed run of a suite left behind: hosts named after processes that are gone."""
    for host in lab.hosts():
        number = host.name.removeprefix(prefix).partition("-")[0]
        if host.name.startswith(prefix) and number.isdigit() and not Path(f"/proc/{number}").exists():
            with contextlib.suppress(UnknownName):
                lab.down(host.name, say=print)


@contextlib.contextmanager
def fresh_host(folder: Path, suffix: str, *, prefix: str = PREFIX) -> Iterator[Server]:
    """A host that is bare of Docker; removed at the end whatever happens, unless CTL_LAB_KEEP=1."""
    name = f"{prefix}{os.getpid()}-{suffix}"
    try:
        server = Server(lab.up(name, say=print), folder)
        try:
            # So that sshd tells of each session that is opened, not only of each connection.
            server.sh("echo 'LogLevel VERBOSE' >/etc/ssh/sshd_config.d/lab-test.conf && systemctl reload ssh")
            yield server
        finally:
            server.close()
    finally:
        if os.environ.get("CTL_LAB_KEEP") != "1":
            with contextlib.suppress(UnknownName):
                lab.down(name, say=print)
