"""stack.yaml: a named set of services, a proxy, an access method."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec

from ctl.core.document import decode
from ctl.core.errors import InvalidFile, MissingValue, UnknownName
from ctl.core.service import Var

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Memory = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+[KMG]$")]


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    subnet: str


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How people reach the stack from outside. `front` is the service at `/` where there is one name only."""

    kind: str
    domain: str = ""
    front: str = ""


class Doors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The proxy's own HTTPS doors: one subdomain of `domain` per routed service, on `address`:`port`."""

    domain: str
    port: str | int = 443
    address: str = "127.0.0.1"
    tls: str = "internal"
    open: str | dict[str, list[str]] = {}
    """Paths that need no password, by routed service."""

    @property
    def reachable(self) -> tuple[int, ...]:
        """The ports at which the doors answer from outside the host; none where they listen on its loopback only."""
        if ipaddress.ip_address(self.address).is_loopback:
            return ()
        return (int(self.port), 80) if self.tls == "acme" else (int(self.port),)


class ServiceOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stack sets differently from the template's defaults."""

    memory: Memory | None = None
    env: dict[str, str] = {}


class External(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A server outside the stack that its services talk to; checked, never installed."""

    url: str
    health: str = ""


class Stack(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Name
    summary: str
    network: Network
    proxy: Literal["caddy", "nginx"]
    access: Access
    doors: Doors
    vars: dict[str, Var] = {}
    services: dict[Name, ServiceOverride] = {}
    external: dict[Name, External] = {}


def decode_stack(text: str, *, file: str) -> Stack:
    """Raises InvalidFile."""
    stack = decode(text, Stack, file=file)
    try:
        ipaddress.ip_network(stack.network.subnet)
    except ValueError as error:
        raise InvalidFile(file, str(error), path="network.subnet") from error
    return stack


def resolve_vars(declared: Mapping[str, Var], given: Mapping[str, Any], *, source: str, who: str) -> dict[str, Any]:
    """Every declared variable with its value: the host's, else the default, else None where it is optional.

    Raises UnknownName for an undeclared one, MissingValue for one without a value, InvalidFile for one whose kind is
    not that of its default, or that is none of its choices.
    """
    for name in given:
        if name not in declared:
            raise UnknownName("variable", name, declared, hint=f"given for {who} in {source}")
    values: dict[str, Any] = {}
    for name, var in declared.items():
        where = f"hosts.{who}.vars.{name}"
        value = given.get(name, None if var.optional and var.default is msgspec.UNSET else var.default)
        if value is msgspec.UNSET:
            raise MissingValue(
                f"the variable {name} ({var.about}) has no value for {who}",
                hint=f"set hosts.{who}.vars.{name} in {source}, or pass --set {name}=VALUE",
            )
        if name in given and var.default is not msgspec.UNSET and type(value) is not type(var.default):
            raise InvalidFile(source, f"expected {_KIND[type(var.default)]}, got {value!r}", path=where)
        if name in given and not isinstance(value, (str, int, float, bool, list, dict)):
            raise InvalidFile(source, "a variable needs a value", path=where)
        if var.choices and value is not None and value not in var.choices:
            raise InvalidFile(source, f"expected one of {', '.join(var.choices)}, got {value!r}", path=where)
        if var.pattern and value is not None and not re.fullmatch(var.pattern, str(value)):
            raise InvalidFile(source, f"{value!r} is not {var.about}", path=where)
        values[name] = value
    return values


_KIND: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}
