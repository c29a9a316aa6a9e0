"""Whether a host can carry a release: what it is, what it holds, who else is on it. Before anything is touched."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ctl.core.document import load
from ctl.core.errors import HostUnfit, UsageError
from ctl.core.graphics import missing
from ctl.core.plan import ContainerChange, Plan
from ctl.core.probe import Facts
from ctl.core.release import Release
from ctl.core.secret import KEEPSAKE, keepsake_digests

_WIDEST = 8
"""Bits. A wider route, such as one half of all addresses, is a default route in pieces: ours goes before it."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A door that the release's containers are to open on the host, and who is there already."""

    address: str
    port: int
    by: str


def preflight(todo: Plan) -> None:
    """Raises HostUnfit or UsageError where this host cannot carry the release, or has given what it needs to others."""
    release, facts = todo.release, todo.facts
    guard(release, facts)
    for problem in (*unfit(release, facts), *missing(release, facts)):
        raise problem
    if not has_network(release, facts):
        for problem in subnet_taken(release, facts):
            raise problem
    if any(isinstance(change, ContainerChange) and change.kind != "remove" for change in todo.changes):
        for problem in ports_taken(release, facts):
            raise problem


def unfit(release: Release, facts: Facts) -> Iterable[HostUnfit]:
    """Everything for which this host cannot carry the release."""
    if not {facts.os, *facts.os_like.split()} & {"debian", "ubuntu"}:
        yield HostUnfit(
            f"{facts.os_name or facts.os or 'this system'} is not supported", hint="a Debian or Ubuntu server is needed"
        )
    if facts.bits != "64" or facts.arch not in {"x86_64", "aarch64"}:
        yield HostUnfit(f"{facts.arch} ({facts.bits or '?'} bit) is not supported", hint="x86_64 or aarch64, 64 bit")
    if not facts.systemd:
        yield HostUnfit("the host does not run systemd", hint="a server or VPS with systemd is needed, not a container")
    if facts.missing_tools:
        yield HostUnfit(
            f"the host has no {', '.join(facts.missing_tools)}", hint="install what is missing and run again"
        )
    if facts.memory and facts.memory < release.memory:
        yield HostUnfit(
            f"the stack declares {release.memory} MB of memory, the host has {facts.memory} MB",
            hint=_less(release, release.memory - facts.memory),
        )
    # What is deployed already has taken its share of the disk.
    if not facts.current and facts.disk_free < release.disk:
        yield HostUnfit(
            f"the stack declares {release.disk} MB of disk, {facts.disk_free} MB are free at {release.root}",
            hint="free some room, or set `root:` to a larger volume",
        )


def _less(release: Release, missing: int) -> str:
    """What to do so that the rest fits."""
    out = ", ".join(dispensable(release.spare, missing))
    return (
        f"take a larger host, or leave out {out}: `without: [{out}]` in the inventory" if out else "take a larger host"
    )


def dispensable(spare: Sequence[tuple[str, int]], missing: int) -> list[str]:
    """Services that set so many megabytes free: as few as will do, the smallest that does where one does; else all."""
    if single := [name for name, size in spare if size >= missing]:
        return [single[-1]]
    out: list[str] = []
    for name, size in spare:
        if missing > 0:
            out.append(name)
            missing -= size
    return out


def guard(release: Release, facts: Facts, *, but: Collection[str] = ()) -> None:
    """Raises UsageError where the release would replace a secret, `but` these, that data on the host depends on."""
    kept = release.file(f"{release.root}/{KEEPSAKE}")
    ours = keepsake_digests(kept.content.decode()) if kept else {}
    other = sorted(name for name, mark in ours.items() if facts.secrets.get(name, mark) != mark and name not in but)
    if other:
        raise UsageError(
            f"{release.host} holds another {', '.join(other)} than this release, and its data depends on "
            + ("them" if len(other) > 1 else "it"),
            hint=f"ctl secrets pull {release.host} takes over what the host has; "
            "ctl secrets rotate changes one for good, and ends a change that was cut short",
        )


def has_network(release: Release, facts: Facts) -> bool:
    """Whether the stack's network is there as it is to be. What Docker has is not known while it does not run."""
    return facts.docker == "stopped" or (_network(release), release.subnet) in facts.networks


def subnet_taken(release: Release, facts: Facts) -> Iterable[HostUnfit]:
    """Who else has addresses of the stack's subnet."""
    wanted = _subnet(release.subnet)
    if wanted is None or facts.docker == "stopped":
        return
    docker = {text for _, text in facts.networks}
    taken = [(f"the Docker network {name}", text) for name, text in facts.networks if name != _network(release)]
    taken += [(f"the route over {device}", text) for text, device in facts.routes if text not in docker]
    for who, text in taken:
        other = _subnet(text)
        if other and other.prefixlen >= _WIDEST and other.overlaps(wanted):
            yield HostUnfit(
                f"{release.subnet} is wanted, and {who} has {text}",
                hint="give the stack another one: network.subnet in its stack.yaml",
            )
    name = _network(release)
    if name in {name for name, _ in facts.networks} and not has_network(release, facts):
        yield HostUnfit(
            f"the network {name} has another subnet than {release.subnet}",
            hint=f"docker network rm {name} once nothing uses it",
        )


def _network(release: Release) -> str:
    return release.network or release.stack


def _subnet(text: str) -> ipaddress.IPv4Network | None:
    try:
        return ipaddress.IPv4Network(text, strict=False)
    except ValueError:
        return None


def published(release: Release) -> list[tuple[str, int]]:
    """Address and port of every door that is opened on the host: by the proxy's containers, no other may."""
    file = release.file(f"{release.root}/proxy/compose.yaml")
    doors: set[tuple[str, int]] = set()
    data: Any = load(file.content.decode(), file=file.path).data if file else {}
    for service in (data.get("services") or {}).values():
        for port in service.get("ports", ()):
            *address, outside, _ = str(port).partition("/")[0].rsplit(":", 2)
            doors |= {(address[0] if address else "0.0.0.0", number) for number in _range(outside)}  # noqa: S104
    return sorted(doors)


def doors_taken(release: Release, facts: Facts) -> list[Taken]:
    """Doors of the release's at which somebody else listens."""
    ours = {
        port for project, _, text in facts.neighbours if project == release.stack for _, port in _docker_ports(text)
    }
    # Docker's own go on while it does not run, and then nobody can tell whose they are.
    taken = [
        (host, port, who or "something")
        for host, port, who in facts.listeners
        if facts.docker == "running" or who != "docker-proxy"
    ]
    for project, name, text in facts.neighbours:
        if project != release.stack:
            taken += [(host, port, f"the container {name}") for host, port in _docker_ports(text)]
    found = []
    for address, port in published(release):
        there = [who for host, number, who in taken if number == port and _same_place(host, address)]
        if there and port not in ours:
            found.append(Taken(address, port, next((who for who in there if who != "docker-proxy"), there[0])))
    return found


def ports_taken(release: Release, facts: Facts) -> Iterable[HostUnfit]:
    for door in doors_taken(release, facts):
        place = f"{door.address}:{door.port}" if door.address[:1] != "$" else f"the port {door.port}"
        yield HostUnfit(
            f"{place} is wanted, and {door.by} listens there",
            hint="stop it, or give the stack another port or address",
        )


def _docker_ports(text: str) -> list[tuple[str, int]]:
    """`0.0.0.0:8443->8443/tcp, [::]:8448-8457->8448-8457/tcp` → address and port of each."""
    found = re.findall(r"(\S+):([0-9]{1,5}(?:-[0-9]{1,5})?)->", text)
    return [(host.strip("[]"), port) for host, ports in found for port in _range(ports)]


def _range(text: str) -> range:
    """`8443`, or `8448-8457`."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1) if first.isdigit() and (last or first).isdigit() else range(0)


def _same_place(one: str, other: str) -> bool:
    return one == other or bool({one, other} & {"0.0.0.0", "*", "::", ""})  # noqa: S104
