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
from ctl.core.site import decode_site

Name = Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network
Memory = Annotated[str, msgspec.Meta(pattern=r"^[0-9]+[KMG]$")]


class Network(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Addresses of the stack's containers. Where some are fixed, the others get theirs from the subnet's upper half."""

    subnet: str
    name: Annotated[str, msgspec.Meta(pattern=r"^([a-z0-9][a-z0-9-]{0,62})?$")] = ""
    """What Docker calls it, behind the stack's name; without one it has the stack's name alone."""
    proxy: str = ""
    """The proxy's address, where it is fixed."""
    inner: tuple[Name, ...] | dict[Name, str] = ()
    """Further networks, which lead to nowhere outside of the host; the stack says who is on them.

    With a subnet each where somebody has to know it.
    """
    front: tuple[Name, ...] = ()
    """Those of them that the proxy is on, too."""

    @property
    def inner_subnets(self) -> dict[str, str]:
        """The inner networks, and the subnet of each; empty for one that Docker chooses."""
        return dict(self.inner) if isinstance(self.inner, dict) else dict.fromkeys(self.inner, "")

    @property
    def front_subnets(self) -> tuple[str, ...]:
        """Of all networks from which the stack's own containers reach the proxy."""
        return (self.subnet, *(self.inner_subnets[name] for name in self.front))


class Access(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How people reach the stack from outside. `front` is the service at `/` where there is one name only."""

    kind: str
    domain: str = ""
    front: str = ""


class Doors(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The proxy's own HTTPS doors, on `address`.

    Of the kind `subdomains` they are NAME.`domain`:`port`, one per routed service. Of the kind `ports` they share the
    one name `domain`: who can live under a path does so at `port`, the others have a port of their own.
    """

    domain: str
    kind: str = "subdomains"
    port: str | int = 443
    spare: tuple[int, int] | None = None
    """First and last port kept for services that the stack gives none: the proxy has them from the start."""
    address: str = "127.0.0.1"
    tls: str = "internal"
    guard: Literal["all", "needed"] = "needed"
    """Which doors have the proxy's password: all, or those of services that have no login of their own."""
    dns: str = ""
    """With tls `acme`: the DNS provider that proves whose the domain is; without one that is done over port 80."""
    names: tuple[str, ...] = ()
    """What the certificate is for: given are names beside the doors' own, wildcards too; settled are all of them."""
    open: str | dict[str, list[str]] = {}
    """Paths that need no password, by routed service."""
    own: tuple[int, ...] = ()
    """The ports of routed services; settled with the routes, not given."""
    kept: tuple[int, ...] = ()
    """The ports of the stack's services, those left out among them; settled as well."""

    @property
    def ports(self) -> tuple[int, ...]:
        return (int(self.port), *self.own)

    @property
    def published(self) -> tuple[str, ...]:
        """What the proxy publishes: its ports, those in reserve as a range.

        It does not depend on which services are there: another set would be another container, and cut connections.
        """
        first, last = self.spare or (0, 0)
        single = tuple(str(port) for port in sorted({*self.ports, *self.kept}) if not first <= port <= last)
        return (*single, f"{first}-{last}") if self.spare else single

    @property
    def plain(self) -> bool:
        """Whether port 80 is open, for the authority to look there."""
        return self.tls == "acme" and not self.dns

    @property
    def reachable(self) -> tuple[int, ...]:
        """The ports at which the doors answer from outside the host; none where they listen on its loopback only."""
        if ipaddress.ip_address(self.address).is_loopback:
            return ()
        return (*self.ports, 80) if self.plain else self.ports


class ServiceOverride(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stack sets differently from the template's defaults."""

    memory: Memory | None = None
    env: dict[str, str] = {}
    address: str = ""
    """Its container's address in the stack's network."""
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    """Its own port on the proxy, where doors are ports."""
    path: Annotated[str, msgspec.Meta(pattern=r"^(/[a-z0-9-]+)?$")] = ""
    """Its path at the shared door, where that is not its name."""
    subdomain: Annotated[str, msgspec.Meta(pattern=r"^(@|[a-z0-9][a-z0-9-]{0,62})?$")] = ""
    """Its name below the doors' domain, where that is not its own; as in a DNS zone `@` is the domain itself."""
    networks: tuple[str, ...] = ()
    """The stack's inner networks that it is on, and `default` for the one with a way outside; empty: that one."""
    replicas: Annotated[int, msgspec.Meta(ge=1, le=50)] | None = None


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
    folders: dict[str, str] = {}
    """Folders under the root, and where each is on the data volume, if there is one; empty: on the root's own disk."""

    @property
    def addresses(self) -> dict[str, str]:
        """The fixed addresses, by service."""
        given = {name: service.address for name, service in self.services.items()}
        return {name: address for name, address in {self.proxy: self.network.proxy, **given}.items() if address}

    @property
    def network_name(self) -> str:
        """Docker's name of the network with a way outside."""
        return f"{self.name}-{self.network.name}" if self.network.name else self.name


def decode_stack(text: str, *, file: str) -> Stack:
    """Raises InvalidFile."""
    stack = decode(text, Stack, file=file)
    subnet = _subnets(stack.network, file)
    _check_addresses(stack, subnet, file)
    for name, service in stack.services.items():
        known = ("default", *stack.network.inner)
        if strangers := [network for network in service.networks if network not in known]:
            problem = f"{strangers[0]!r} is none of the networks {', '.join(known)}"
            raise InvalidFile(file, problem, path=f"services.{name}.networks")
    for folder, place in stack.folders.items():
        if not all(re.fullmatch(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*", path) for path in (folder, place or "x")):
            raise InvalidFile(file, f"{folder!r}: {place!r} is not a folder and its place", path="folders")
    return stack


def _subnets(network: Network, file: str) -> Subnet:
    """The subnet of the network with a way outside, all of them checked. Raises InvalidFile."""
    taken: dict[str, Subnet] = {}
    given = {"network.subnet": network.subnet}
    given |= {f"network.inner.{name}": text for name, text in network.inner_subnets.items() if text}
    for path, text in given.items():
        try:
            subnet = ipaddress.ip_network(text)
        except ValueError as error:
            raise InvalidFile(file, str(error), path=path) from error
        for other in taken.values():
            if other.version == subnet.version and other.overlaps(subnet):
                raise InvalidFile(file, f"{subnet} and {other} overlap", path=path)
        taken[path] = subnet
    for name in network.front:
        if not network.inner_subnets.get(name):
            problem = f"{name} is no inner network with a subnet: the proxy has to know who asks it from there"
            raise InvalidFile(file, problem, path="network.front")
    return taken["network.subnet"]


def _check_addresses(stack: Stack, subnet: Subnet, file: str) -> None:
    """Raises InvalidFile for a fixed address that its container cannot have."""
    holders: dict[ipaddress.IPv4Address | ipaddress.IPv6Address, str] = {}
    for name, text in stack.addresses.items():
        path = "network.proxy" if name == stack.proxy else f"services.{name}.address"
        try:
            address = ipaddress.ip_address(text)
        except ValueError as error:
            raise InvalidFile(file, f"{text!r} is not an IP address", path=path) from error
        if address not in subnet:
            raise InvalidFile(file, f"{address} is outside of the subnet {subnet}", path=path)
        if address in (subnet[0], subnet[1], subnet[-1]):
            raise InvalidFile(file, f"{address} is the network's own, its gateway's or for broadcasts", path=path)
        if address in free_range(subnet):
            raise InvalidFile(
                file,
                f"{address} is in {free_range(subnet)}, where containers without an address of their own get theirs",
                path=path,
            )
        if other := holders.get(address):
            raise InvalidFile(file, f"{address} is the address of {other} already", path=path)
        holders[address] = name


def free_range(subnet: Subnet) -> Subnet:
    """The upper half of the subnet, for containers without an address of their own."""
    return ipaddress.ip_network(f"{subnet[subnet.num_addresses // 2]}/{subnet.prefixlen + 1}")


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
        if var.pattern and value is not None:
            for item in value if isinstance(value, list) else [value]:
                if not re.fullmatch(var.pattern, str(item)):
                    raise InvalidFile(source, f"{item!r} is not {var.about}", path=where)
        values[name] = decode_site(value, source=source, path=where) if var.site and value is not None else value
    return values


_KIND: Mapping[type, str] = {
    str: "a string",
    int: "an integer",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a mapping",
}
