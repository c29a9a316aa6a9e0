"""What the Docker engine is told: names, labels, and the bodies of what is created. Pure.

The proxy before Docker's socket knows these bodies letter by letter (templates/services/docker-proxy): a change here is
one there, and a test compares the two.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

NAME = re.compile(r"[a-z0-9-]{1,40}")
"""The name of a user, which is a part of host names, and of names in Docker."""
ID = re.compile(r"[a-z2-7]{26}")
"""Of a session."""
MEMORY = 512 * 2**20
NANO_CPUS = 500_000_000
PIDS = 64
BLOCK = 28
"""Prefix length of a user's subnet: room for the proxy, nginx, and a second nginx while that is replaced."""


@dataclass(frozen=True)
class Session:
    """A user's container, from the moment that it has the user's name. `created` in seconds since 1970."""

    id: str
    name: str
    created: int


@dataclass(frozen=True)
class Container:
    """A container with our label, as Docker lists it; `created` is when it was made, in seconds since 1970.

    `session` is empty where the labels make no sense, `owner` is the user's name, or None while it is a spare one.
    """

    name: str
    state: str
    session: str
    created: int
    owner: str | None


@dataclass(frozen=True)
class Network:
    """A network with our label, of that session."""

    session: str
    subnets: tuple[IPv4Network, ...]


@dataclass(frozen=True)
class Door:
    """A container of nginx: its name, and the names of the networks that it is connected to."""

    name: str
    networks: frozenset[str]


@dataclass(frozen=True)
class Stack:
    """How things of one stack are named and labelled."""

    name: str

    def container(self, user: str) -> str:
        """By this name nginx finds it: a session is a user's as soon as its container is called so."""
        return f"{self.name}-proxy-{user}"

    def spare(self, session: str) -> str:
        """The container of a session that nobody has yet."""
        return f"{self.name}-spare-{session}"

    def network(self, session: str) -> str:
        return f"{self.name}-user-{session}"

    @property
    def label(self) -> str:
        """By which our containers and networks are found; its value is the session's id."""
        return f"{self.name}.proxy"

    @property
    def door_labels(self) -> list[str]:
        return ["ctl.service=nginx", f"com.docker.compose.project={self.name}"]

    def labels(self, session: str, created: int) -> dict[str, str]:
        return {self.label: session, f"{self.name}.created": str(created)}

    def listed(self, name: str, state: str, labels: Mapping[str, str]) -> Container:
        session, created = labels.get(self.label, ""), labels.get(f"{self.name}.created", "")
        owner = name.removeprefix(self.container(""))
        return Container(
            name=name,
            state=state,
            session=session if ID.fullmatch(session) and created.isdecimal() else "",
            created=int(created) if created.isdecimal() else 0,
            owner=owner if owner != name else None,
        )


def container_body(
    stack: Stack, session: str, created: int, image: str, session_key: str, portal: str
) -> dict[str, Any]:
    """Of a session that is nobody's yet: whose it becomes, its name alone will tell."""
    network = stack.network(session)
    return {
        "Image": image,
        "User": "1001:1001",
        "Env": [f"SESSION_ID={session}", f"SESSION_KEY={session_key}", f"PORTAL_ORIGIN={portal}"],
        "Labels": stack.labels(session, created),
        # Asked through nginx, as people reach it; a process for it in each container would cost more.
        "Healthcheck": {"Test": ["NONE"]},
        "HostConfig": {
            "NetworkMode": network,
            "Memory": MEMORY,
            "MemorySwap": MEMORY,  # with the swap: no swap
            "NanoCpus": NANO_CPUS,
            "PidsLimit": PIDS,
            "ReadonlyRootfs": True,
            "CapDrop": ["ALL"],
            "SecurityOpt": ["no-new-privileges:true"],
            "IpcMode": "none",  # not even /dev/shm can be written to
            "RestartPolicy": {"Name": "unless-stopped"},
            "LogConfig": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
        },
        "NetworkingConfig": {"EndpointsConfig": {network: {}}},
    }


NETWORK_OPTIONS = {"com.docker.network.bridge.inhibit_ipv4": "true"}
"""The bridge gets no address. On an internal network with one, containers reach what listens on the host."""


def free_subnets(pool: IPv4Network, taken: Collection[IPv4Network], last: IPv4Network | None) -> Iterator[IPv4Network]:
    """The blocks of `pool` that are not `taken`, those behind `last` first.

    What was freed is not given again at once: for a moment nginx still knows who was there.
    """
    first, size, count = int(pool.network_address), 2 ** (32 - BLOCK), 2 ** (BLOCK - pool.prefixlen)
    begin = (int(last.network_address) - first) // size + 1 if last is not None else 0
    blocks = (IPv4Network((first + (begin + number) % count * size, BLOCK)) for number in range(count))
    return (block for block in blocks if block not in taken)
