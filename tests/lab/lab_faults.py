"""What breaks on purpose: a line that is reset, a client that is watched, power that goes; the picture of a host."""

from __future__ import annotations

import contextlib
import itertools
import json
import selectors
import shlex
import socket
import ssl
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab_project import ROOT, Project, until
from lab_server import COMPOSE, Server

from ctl import lab
from ctl.core.report import read_line

TAP = Path(__file__).with_name("lab_tap.py")
MEMORY = f"{ROOT}/.ctl"

# --- a line that breaks -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cut:
    """When a connection is reset: after so many bytes, both directions counted, or so many seconds, or at a word."""

    bytes: int | None = None
    seconds: float | None = None
    word: threading.Event | None = None

    def __str__(self) -> str:
        return f"after {self.bytes} bytes" if self.bytes is not None else f"after {self.seconds:.1f} s"


class Relay:
    """A TCP relay to the sshd of a host. Each connection takes the next of `cuts`; without one it is left alone."""

    def __init__(self, target: Callable[[], tuple[str, int]]) -> None:
        self.target = target
        self.cuts: list[Cut] = []
        self.passed = 0
        """Bytes that went through, in both directions, since somebody set it to 0."""
        self.made = 0
        """Connections that were taken, and those of them that were reset."""
        self.broken = 0
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=20)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        # Closing alone would leave the thread that waits in accept() waiting.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def expect(self, *cuts: Cut) -> None:
        """The connections from now on are reset like this, one after the other."""
        self.cuts = list(cuts)
        self.passed = self.made = self.broken = 0

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.made += 1
            cut = self.cuts.pop(0) if self.cuts else Cut()
            threading.Thread(target=self._carry, args=(near, cut), daemon=True).start()

    def _carry(self, near: socket.socket, cut: Cut) -> None:
        try:
            far = socket.create_connection(self.target(), timeout=10)
        except OSError:
            _reset(near)
            return
        left = cut.bytes if cut.bytes is not None else sys.maxsize
        deadline = time.monotonic() + cut.seconds if cut.seconds is not None else None
        other = {near: far, far: near}
        with selectors.DefaultSelector() as ready, contextlib.suppress(OSError):
            for end in other:
                end.settimeout(30)
                ready.register(end, selectors.EVENT_READ)
            while ready.get_map():
                patience = None if deadline is None else max(0.0, deadline - time.monotonic())
                found = ready.select(patience if cut.word is None else 0.02)
                late = deadline is not None and time.monotonic() >= deadline
                if left <= 0 or late or (cut.word is not None and cut.word.is_set()):
                    self.broken += 1
                    break
                for key, _ in found:
                    end = key.fileobj
                    assert isinstance(end, socket.socket)
                    data = end.recv(min(65536, left))
                    if not data:
                        ready.unregister(end)
                        other[end].shutdown(socket.SHUT_WR)
                        continue
                    other[end].sendall(data)
                    left -= len(data)
                    self.passed += len(data)
                    if left <= 0:
                        break
                if left <= 0:
                    self.broken += 1
                    break
        _reset(near)
        _reset(far)


def _reset(end: socket.socket) -> None:
    """Close with RST: what is on its way is lost too."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    end.close()


# --- a client that is watched -----------------------------------------------------------------------------------------


class TappedProject(Project):
    """A project whose host is reached through a relay, and whose client writes down the events that it is told of."""

    def __init__(self, project: Project, server: Server, relay: Relay) -> None:
        self.__dict__.update(vars(project))
        self.server, self.relay = server, relay
        self.taps: list[Path] = []
        self._numbers = itertools.count(1)
        self.meet()

    def meet(self) -> None:
        """Know the host's keys under the relay's port."""
        keys = [line.split(None, 1)[1] for line in self.server.lab.known_hosts.read_text().splitlines()]
        self.known_hosts.write_text("".join(f"[127.0.0.1]:{self.relay.port} {key}\n" for key in keys))

    def write(self, host: str, **changes: Any) -> None:
        machine = self.server.lab
        line = {"address": "127.0.0.1", "port": self.relay.port, "user": machine.user, "key": str(machine.key)}
        super().write(host, **line, **changes)

    def _command(self, arguments: tuple[str, ...]) -> list[str]:
        tap = self.home / f"events-{next(self._numbers)}"
        tap.unlink(missing_ok=True)
        self.taps.append(tap)
        return [sys.executable, str(TAP), str(tap), "-C", str(self.folder), *arguments]

    @property
    def told(self) -> list[list[str]]:
        """The events that the latest client was told of."""
        tap = self.taps[-1]
        return [json.loads(line) for line in tap.read_text().splitlines()] if tap.exists() else []


def logged(server: Server, run: str) -> list[list[str]]:
    """The events that stand in a run's log on the host."""
    lines = server.read(f"{MEMORY}/runs/{run}/log").split(b"\n")
    assert lines.pop() == b"", "the log ends with a whole line"
    events = map(read_line, lines)
    return [[event.kind, *event.words, event.text] for event in events]


# --- power ------------------------------------------------------------------------------------------------------------


def power_off(server: Server) -> None:
    """Every process of the host is gone at once. What the kernel holds for its disk is not: this machine runs on."""
    subprocess.run(["docker", "kill", "-s", "KILL", server.lab.container], check=True, capture_output=True)


def power_on(server: Server) -> None:
    server.close()
    server.lab = lab.up(server.name, say=lambda _: None)


# --- what a host is ---------------------------------------------------------------------------------------------------

_PICTURE = f"""cd {MEMORY} || exit 1
list=$(cut -f 4 applied | sort)
echo '# files'
echo "$list" | xargs -d '\\n' sha256sum
echo "$list" | xargs -d '\\n' stat -c '%a %U:%G %n'
echo '# applied'
sort applied
echo '# current'
cat current
echo '# stamps'
grep -r . stamps | sort
echo '# containers'
docker ps -aq --filter {COMPOSE} | xargs -r docker inspect -f '{{{{index .Config.Labels "com.docker.compose.service"}}}}
 {{{{index .Config.Labels "ctl.fingerprint"}}}} {{{{.Config.Image}}}} {{{{.Image}}}} {{{{.State.Status}}}}
 {{{{if .State.Health}}}}{{{{.State.Health.Status}}}}{{{{end}}}}' | paste - - - | sort
echo '# volumes'
docker volume ls -q --filter {COMPOSE} | sort
echo '# units'
for unit in $(cd /etc/systemd/system && ls -d lean-llm*.service lean-llm*.target); do
    echo "$unit $(systemctl is-enabled "$unit") $(systemctl is-active "$unit")"
done
echo '# packages'
dpkg-query -W -f '${{Package}} ${{Version}} ${{db:Status-Abbrev}}\\n' | sort
dpkg --audit
echo '# half-written'
find /etc /opt /usr/local -xdev -name '*.ctl-new'
find . -name '*.new*'
for release in releases/*; do
    [ -f "$release/release.json" ] && [ -f "$release/images" ] || echo "$release is not whole"
    (cd "$release/files" && sha256sum -- * | awk -v of="$release" '$1 != $2 {{ print of, $2 }}')
done
[ -f "releases/$(cat current)/release.json" ] || echo 'the current release is not kept'
echo '# lock'
flock -n lock echo free || echo held
"""


def picture(server: Server) -> dict[str, list[str]]:
    """The host in words that are equal for equal states: digests, fingerprints, stamps, leftovers, the lock."""
    found: dict[str, list[str]] = {}
    for line in server.sh(_PICTURE).splitlines():
        if line.startswith("# "):
            found[line[2:]] = now = []
        else:
            now.append(line)
    return found


def steady(server: Server, *, seconds: float = 90) -> dict[str, list[str]]:
    """The picture once nothing is on its way any more: no run, no container that is still starting."""
    found: dict[str, list[str]] = {}

    def done() -> bool:
        found.clear()
        found.update(picture(server))
        parts = found["containers"] + found["units"]
        moving = [line for line in parts if line.endswith(("starting", "activating"))]
        return found["lock"] == ["free"] and not moving

    until("the host to be steady", done, seconds=seconds, every=1)
    return found


def differences(now: dict[str, list[str]], wanted: dict[str, list[str]]) -> list[str]:
    """How two pictures differ, a line each; empty for equal ones."""
    return [
        f"{part}: {sign} {line}"
        for part in wanted
        for sign, these, those in (("-", wanted, now), ("+", now, wanted))
        for line in these[part]
        if line not in those[part]
    ]


def assert_sound(now: dict[str, list[str]]) -> None:
    """Nothing half-written, and nobody holds the lock."""
    assert now["half-written"] == [], now["half-written"]
    assert now["lock"] == ["free"], now["lock"]


# --- visitors ---------------------------------------------------------------------------------------------------------


@dataclass
class Visitor:
    """Somebody who asks at a door again and again, each time with a connection of their own."""

    server: Server
    name: str
    path: str
    login: str
    answers: int = 0
    failures: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[Visitor]:
        authority = self.server.authority()
        over = threading.Event()
        worker = threading.Thread(target=self._ask, args=(authority, over), daemon=True)
        worker.start()
        try:
            yield self
        finally:
            over.set()
            worker.join(30)

    def _ask(self, authority: str, over: threading.Event) -> None:
        while not over.wait(0.05):
            try:
                status = self.server.https(self.name, self.path, login=self.login, authority=authority).status
            except (OSError, ssl.SSLError) as error:
                self.failures.append(str(error))
                continue
            self.answers += 1
            if status != 200:
                self.failures.append(str(status))


def kill_inside(server: Server, program: str) -> None:
    """SIGKILL to every process of that name in the host."""
    server.sh(f"pkill -KILL -x {shlex.quote(program)}")
