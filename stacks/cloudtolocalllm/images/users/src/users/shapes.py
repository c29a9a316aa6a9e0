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
PORT = 3001
MEMORY = 512 * 2**20
NANO_CPUS = 500_000_000
PIDS = 64
BLOCK = 28
"""Prefix length of a user's subnet: room for the proxy, nginx, and a second nginx while that is replaced."""


@dataclass(frozen=True)
class Session:
    """A user's container, from its creation until it is removed. `created` in seconds since 1970."""

    id: str
    name: str
    user: str
    created: int


@dataclass(frozen=True)
class Container:
    """A container with our label, as Docker lists it; `session` is None where a label is missing or makes no sense."""

    name: str
    state: str
    session: Session | None


@dataclass(frozen=True)
class Network:
    """A network with our label."""

    name: str
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
        return f"{self.name}-proxy-{user}"

    def network(self, user: str) -> str:
        return f"{self.name}-user-{user}"

    @property
    def label(self) -> str:
        """By which our containers and networks are found; its value is the user's name."""
        return f"{self.name}.proxy"

    @property
    def door_labels(self) -> list[str]:
        return ["ctl.service=nginx", f"com.docker.compose.project={self.name}"]

    def labels(self, session: Session) -> dict[str, str]:
        return {
            self.label: session.name,
            f"{self.name}.session": session.id,
            f"{self.name}.user": session.user,
            f"{self.name}.created": str(session.created),
        }

    def session(self, labels: Mapping[str, str]) -> Session | None:
        """The session that labels tell of."""
        session, created = labels.get(f"{self.name}.session", ""), labels.get(f"{self.name}.created", "")
        if not session or not created.isdecimal():
            return None
        return Session(session, labels[self.label], labels.get(f"{self.name}.user", ""), int(created))


def container_body(stack: Stack, session: Session, image: str, session_key: str, portal: str) -> dict[str, Any]:
    network = stack.network(session.name)
    return {
        "Image": image,
        "User": "1001:1001",
        "Env": [f"SESSION_ID={session.id}", f"SESSION_KEY={session_key}", f"PORTAL_ORIGIN={portal}"],
        "Labels": stack.labels(session),
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
        "NetworkingConfig": {"EndpointsConfig": {network: {"Aliases": [f"{session.name}.proxy"]}}},
    }


NETWORK_OPTIONS = {"com.docker.network.bridge.inhibit_ipv4": "true"}
"""The bridge gets no address. On an internal network with one, containers reach what listens on the host."""


def free_subnets(pool: IPv4Network, taken: Collection[IPv4Network]) -> Iterator[IPv4Network]:
    """The blocks of `pool` that are not `taken`, in order."""
    return (subnet for subnet in pool.subnets(new_prefix=BLOCK) if subnet not in taken)
