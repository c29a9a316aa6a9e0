"""inventory.yaml: the hosts, and what each is to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

import msgspec

from ctl.core.document import convert, load
from ctl.core.errors import InvalidFile, UnknownName

Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
User = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$")]
Address = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9_:][A-Za-z0-9._:-]{0,252}$")]
HostName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
Root = Annotated[str, msgspec.Meta(pattern=r"^(/[A-Za-z0-9._-]+)+$")]


class Defaults(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What holds for every host that does not say otherwise."""

    user: User = "root"
    port: Port = 22
    key: str = ""
    stack: str = ""
    vars: dict[str, Any] = {}


class Aws(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where in AWS the host is: its security group, by id or name, or its instance, from which that follows."""

    region: Annotated[str, msgspec.Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]+$")]
    security_group: Annotated[str, msgspec.Meta(pattern=r"^[ -~]{0,255}$")] = ""
    instance: Annotated[str, msgspec.Meta(pattern=r"^(i-[0-9a-f]+)?$")] = ""

    def __post_init__(self) -> None:
        if not (self.security_group or self.instance):
            raise ValueError("names neither a security_group nor an instance")


class HostEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    address: Address | None = None
    user: User | None = None
    port: Port | None = None
    key: str = ""
    stack: str = ""
    root: Root | None = None
    vars: dict[str, Any] = {}
    services: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    replicas: dict[str, Annotated[int, msgspec.Meta(ge=1, le=50)]] = {}
    aws: Aws | None = None


class Inventory(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    defaults: Defaults = Defaults()
    hosts: dict[HostName, HostEntry] = {}
    groups: dict[HostName, tuple[str, ...]] = {}


@dataclass(frozen=True, slots=True)
class Host:
    """A target with its settings: how to reach it, and what it is to run."""

    name: str
    address: str
    user: str
    port: int
    key: str = ""
    known_hosts: str = ""
    stack: str = ""
    root: str = ""
    vars: Mapping[str, Any] = field(default_factory=dict)
    services: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    replicas: Mapping[str, int] = field(default_factory=dict)
    aws: Aws | None = None


def decode_inventory(text: str, *, file: str) -> Inventory:
    """Raises InvalidFile; an empty file is an empty inventory."""
    document = load(text, file=file)
    if document.data is None:
        return Inventory()
    inventory = convert(document, Inventory)
    for group, members in inventory.groups.items():
        strangers = [member for member in members if member not in inventory.hosts]
        if group in inventory.hosts or strangers:
            problem = f"no host is named {strangers[0]!r}" if strangers else "a host has this name too"
            raise InvalidFile(file, problem, line=document.line(("groups", group)), path=f"groups.{group}")
    return inventory


def find_host(inventory: Inventory, name: str) -> Host:
    """The host of that name with the defaults filled in. Raises UnknownName."""
    entry = inventory.hosts.get(name)
    if entry is None:
        raise UnknownName("host", name, [*inventory.hosts, *inventory.groups], hint="user@address reaches any host")
    defaults = inventory.defaults
    return Host(
        name=name,
        address=entry.address or name,
        user=entry.user or defaults.user,
        port=entry.port or defaults.port,
        key=entry.key or defaults.key,
        stack=entry.stack or defaults.stack,
        root=entry.root or "",
        vars={**defaults.vars, **entry.vars},
        services=entry.services,
        without=entry.without,
        replicas=entry.replicas,
        aws=entry.aws,
    )
