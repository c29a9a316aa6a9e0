"""What the host said about itself, in one round trip. Its output is data from outside: bounded, and never trusted."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from ctl.core.errors import HostUnfit

MAX_BYTES = 8 * 1024 * 1024

# Control characters, and those that turn the direction of the text around.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True, slots=True)
class FileFact:
    sha: str
    mode: int
    owner: str


@dataclass(frozen=True, slots=True)
class ContainerFact:
    """`health` is `healthy`, `unhealthy`, `starting`, or empty where there is no check."""

    id: str
    name: str
    state: str
    health: str
    fingerprint: str
    image: str
    service: str
    status: str = ""


@dataclass(frozen=True, slots=True)
class UnitFact:
    active: str
    sub: str
    enabled: str


@dataclass(frozen=True, slots=True)
class Cards:
    """NVIDIA's graphics cards."""

    found: tuple[str, ...] = ()
    """Their addresses on the PCI bus."""
    driver: str = ""
    """The version of the driver that the kernel has loaded."""
    ready: tuple[str, ...] = ()
    """The names of those that answer, in the order of their numbers."""
    given: bool = False
    """Whether the release that is on the host has them."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Sizes are megabytes, times are seconds since 1970. `lock` is who holds it, or empty."""

    os: str = ""
    os_like: str = ""
    version: str = ""
    codename: str = ""
    os_name: str = ""
    arch: str = ""
    bits: str = ""
    memory: int = 0
    memory_free: int = 0
    disk: int = 0
    disk_free: int = 0
    time: int = 0
    systemd: bool = False
    docker: str = "none"
    missing_tools: tuple[str, ...] = ()
    current: str = ""
    last: str = ""
    """The run that was the last to change something, whatever came of it."""
    lock: str = ""
    locked: bool = False
    files: Mapping[str, FileFact] = field(default_factory=dict)
    applied: Mapping[str, FileFact] = field(default_factory=dict)
    stamps: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, bool] = field(default_factory=dict)
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Name → digest of those that data on the host depends on."""
    containers: tuple[ContainerFact, ...] = ()
    spawned: Mapping[str, int] = field(default_factory=dict)
    """Label → how many running containers have it, of those that services start themselves."""
    units: Mapping[str, UnitFact] = field(default_factory=dict)
    externals: Mapping[str, str] = field(default_factory=dict)
    """Name → the HTTP status it answered with, `000` for none."""
    certificates: Mapping[str, str] = field(default_factory=dict)
    """Name → the certificate that the proxy shows for it, DER in base64; empty for none."""
    refused: str = ""
    """Why there is no certificate from the authority, or no new one, if so."""
    listeners: tuple[tuple[str, int, str], ...] = ()
    """Address, TCP port, program."""
    neighbours: tuple[tuple[str, str, str], ...] = ()
    """Running containers, ours and others': Compose project, name, ports as Docker writes them."""
    networks: tuple[tuple[str, str], ...] = ()
    """Docker's networks: name, subnet."""
    routes: tuple[tuple[str, str], ...] = ()
    """Subnet or `default`, device."""
    cards: Cards = Cards()


def clean(text: str, limit: int = 2000) -> str:
    """Text of a host made fit for a terminal: no control character, no escape sequence, not endless."""
    text = _CONTROL.sub("", text)
    return text if len(text) <= limit else text[:limit] + "…"


def parse(output: bytes) -> Facts:
    """The probe's output → Facts. Raises HostUnfit for an output that is not one, or not whole."""
    if len(output) > MAX_BYTES:
        raise HostUnfit("the host's answer is far too long", hint="look at what its login files print")
    lines = [line.split("\t") for line in output.decode("utf-8", "replace").split("\n")]
    words = [[clean(word) for word in line] for line in lines]
    starts = [at for at, line in enumerate(words) if line == ["ctl-probe", "1"]]
    if not starts or ["end"] not in words[starts[-1] :]:
        raise HostUnfit("the host did not answer the probe as a Linux server with a POSIX shell does")
    return _Reading(words[starts[-1] :]).facts()


class _Reading:
    def __init__(self, lines: list[list[str]]) -> None:
        self.lines = lines

    def one(self, kind: str, size: int) -> list[str]:
        for line in self.lines:
            if line[0] == kind:
                return [*line[1:], *[""] * size][:size]
        return [""] * size

    def all(self, kind: str, size: int) -> list[list[str]]:
        return [line[1 : size + 1] for line in self.lines if line[0] == kind and len(line) > size]

    def facts(self) -> Facts:
        os, os_like, version, codename, os_name = self.one("os", 5)
        arch = self.one("arch", 2)
        memory, disk = self.one("memory", 2), self.one("disk", 2)
        modes = {path: (_octal(mode), owner) for mode, owner, path in self.all("mode", 3)}
        applied: dict[str, FileFact] = {}
        for sha, mode, owner, path in self.all("applied", 4):
            applied[path] = FileFact(sha, _octal(mode), owner)
        return Facts(
            os=os,
            os_like=os_like,
            version=version,
            codename=codename,
            os_name=os_name,
            arch=arch[0],
            bits=arch[1],
            memory=_number(memory[0]) // 1024,
            memory_free=_number(memory[1]) // 1024,
            disk=_number(disk[0]) // 1024,
            disk_free=_number(disk[1]) // 1024,
            time=_number(self.one("time", 1)[0]),
            systemd=self.one("systemd", 1)[0] == "yes",
            docker=self.one("docker", 1)[0] or "none",
            missing_tools=tuple(self.one("tools", 1)[0].split()),
            current=self.one("current", 1)[0],
            last=self.one("last", 1)[0],
            lock=self.one("lock", 1)[0],
            locked=any(line[0] == "lock" for line in self.lines),
            files={path: FileFact(sha, *modes.get(path, (0, ""))) for sha, path in self.all("sha", 2)},
            applied=applied,
            stamps={line[0]: line[1] for line in self.all("stamp", 2)},
            checks={name: answer == "yes" for name, answer in self.all("check", 2)},
            secrets={line[0]: line[1] for line in self.all("secret", 2)},
            containers=tuple(_container(line) for line in self.all("container", 7)),
            spawned={label: _number(count) for label, count in self.all("spawned", 2)},
            units={name: UnitFact(active, sub, enabled) for name, active, sub, enabled in self.all("unit", 4)},
            externals=dict(self.all("external", 2)),
            certificates={
                line[1]: "".join(line[2:]) for line in self.lines if line[0] == "certificate" and len(line) > 1
            },
            refused=self.one("refused", 1)[0],
            listeners=tuple(_listeners(self.all("listen", 2))),
            neighbours=tuple((project, name, ports) for project, name, ports in self.all("neighbour", 3)),
            networks=tuple((name, subnet) for name, subnets in self.all("network", 2) for subnet in subnets.split()),
            routes=tuple((subnet, device) for subnet, device in self.all("route", 2)),
            cards=Cards(
                found=tuple(address for (address,) in self.all("card", 1)),
                driver=self.one("driver", 1)[0],
                ready=tuple(name for (name,) in self.all("gpu", 1)),
                given=self.one("given", 1)[0] == "yes",
            ),
        )


def _container(line: list[str]) -> ContainerFact:
    identity, name, state, status, fingerprint, image, service = line
    health = re.search(r"\((healthy|unhealthy|health: starting)\)", status)
    word = "starting" if health and health[1] == "health: starting" else health[1] if health else ""
    return ContainerFact(identity, name, state, word, fingerprint, image, service, status)


def _listeners(lines: Iterable[list[str]]) -> Iterable[tuple[str, int, str]]:
    for address, program in lines:
        host, _, port = address.rpartition(":")
        if re.fullmatch(r"[0-9]{1,5}", port):
            yield host.strip("[]").partition("%")[0], int(port), program


def _number(text: str) -> int:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else 0


def _octal(text: str) -> int:
    return int(text, 8) if re.fullmatch(r"[0-7]{1,5}", text) else 0
