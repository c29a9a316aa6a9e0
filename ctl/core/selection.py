"""What a host is to run, settled: template folders, variables, doors, secrets asked for. Nothing rendered yet."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv4Network, ip_network
from typing import Any

import msgspec

from ctl.core.doors import access_of, doors_of, routes_of, with_routes
from ctl.core.entrance import Entrance, networks
from ctl.core.errors import InvalidFile, MissingValue, UnknownName
from ctl.core.inventory import Host
from ctl.core.route import Route
from ctl.core.secret import SecretSpec
from ctl.core.service import Catalogue, Metrics, Service, Spawns, Var
from ctl.core.site import Site
from ctl.core.stack import Access, Doors, Stack, resolve_vars
from ctl.core.template import Templates


@dataclass(frozen=True, slots=True)
class Selection:
    """`services` are the template folders in the order in which they are brought up; `added` are phase 4's."""

    host: Host
    stack: Stack
    root: str
    phases: Service
    proxy: Service
    tunnel: Service | None
    backup: Service | None
    tls: tuple[Service, ...]
    """What gets the certificate from an ACME authority, where that is not the proxy itself."""
    encryption: Service | None
    services: tuple[Service, ...]
    added: frozenset[str]
    vars: Mapping[str, Any]
    access: Access
    doors: Doors
    routes: tuple[Route, ...]

    @property
    def folders(self) -> tuple[Service, ...]:
        """Every template folder that takes part."""
        more = (self.encryption, self.tunnel, *self.tls, self.backup)
        return (self.phases, *self.services, self.proxy, *filter(None, more))

    @property
    def entrance(self) -> Entrance:
        """Who may come in by SSH."""
        return Entrance(tuple(self.vars["ssh_from"]), self.access.kind == "tailscale")

    def with_card(self) -> Selection:
        """The same on a host that was left to decide, and has a graphics card."""
        return replace(self, vars={**self.vars, "gpu": "nvidia"})

    @property
    def logins(self) -> tuple[str, ...]:
        """The secrets that people type at the doors: the proxy's where a door has it, else those of the services."""
        asked = any(route.password for route in self.routes)
        own = [name for folder in self.services for name, spec in folder.meta.secrets.items() if spec.login]
        proxy = [name for name, spec in self.proxy.meta.secrets.items() if spec.login and (asked or not own)]
        return (*proxy, *own)

    @property
    def metrics(self) -> tuple[tuple[str, Metrics], ...]:
        """The services that have figures, by name, and where they have them."""
        having = [(service.name, service.meta.metrics) for service in self.services if service.meta.metrics]
        return tuple(sorted(having, key=lambda pair: pair[0]))

    def scraped_networks(self, own: Iterable[str]) -> tuple[str, ...]:
        """The networks of whoever asks for all figures: its own, and where those are that are on none of these."""
        networks = dict.fromkeys(own or ("default",))
        for name, _ in self.metrics:
            theirs = self.stack.services[name].networks if name in self.stack.services else ()
            if not networks.keys() & set(theirs or ("default",)):
                networks[theirs[0]] = None
        return tuple(networks)

    @property
    def sites(self) -> dict[str, Site]:
        """The static sites of this machine that travel to the host, by the service that shows them."""
        named = ((folder.name, self.vars[name]) for folder in self.folders for name in folder.meta.vars)
        return {service: value for service, value in named if isinstance(value, Site)}

    @property
    def spawned(self) -> tuple[tuple[Spawns, str], ...]:
        """What services start themselves, and where the networks of that have their addresses, where that is known."""
        specs = [service.meta.spawns for service in self.services if service.meta.spawns]
        return tuple((spec, str(self.vars[spec.subnet]) if spec.subnet else "") for spec in specs)

    @property
    def secrets(self) -> dict[str, SecretSpec]:
        return {name: spec for folder in self.folders for name, spec in folder.meta.secrets.items()}


def select(host: Host, stack: Stack, catalogue: Catalogue, templates: Templates, *, source: str) -> Selection:
    """Settle a host and its stack. `source` is the inventory's name for messages. Raises UsageError's children."""
    own, more, less = (
        [catalogue.proper("services", name) for name in names]
        for names in (stack.services, host.services, host.without)
    )
    names = [*own, *more]
    for name in less:
        if name not in own:
            raise UnknownName("service of the stack", name, own, hint=f"left out for {host.name} in {source}")
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidFile(source, f"{doubled[0]} is in the stack already", path=f"hosts.{host.name}.services")
    for name in host.replicas:
        if name not in names or name in less:
            raise UnknownName("service of this host", name, names, hint=f"replicas of {host.name} in {source}")
    services = _ordered([catalogue.get("services", name) for name in names if name not in less], stack)
    phases = catalogue.get("phases", "phases")
    proxy = catalogue.get("proxy", stack.proxy)
    backup = catalogue.get("backup", "restic")
    tunnels = [catalogue.get("tunnel", name) for name in catalogue.names("tunnel")]

    acme = _acme(stack, catalogue)
    declared = _declared(stack, (phases, proxy, *services, *tunnels, backup), acme.values())
    given = {name: value for name, value in host.vars.items() if name in declared or not _waits(name, catalogue)}
    values = resolve_vars(declared, given, source=source, who=host.name)
    values["ssh_from"] = list(networks(values["ssh_from"], source=source, who=host.name))
    _check_required(services, values, source=source, who=host.name)
    _check_subnets(services, stack, values, source=source, who=host.name)
    for port in values["allow_ports"]:
        if type(port) is not int or not 0 < port < 65536:
            raise InvalidFile(source, f"{port!r} is not a port", path=f"hosts.{host.name}.vars.allow_ports")

    if values["gpu"] == "auto" and not any(service.meta.gpu for service in services):
        values["gpu"] = "none"

    access = access_of(stack, values, templates, source=source, who=host.name)
    doors = doors_of(stack, values, templates)
    routes = routes_of(services, stack, access, doors)
    tls = _chosen(acme, doors)
    for folder in tls:
        resolve_vars(folder.meta.vars, _given(folder, host), source=source, who=host.name)
    return Selection(
        host=host,
        stack=stack,
        root=host.root or f"/opt/{stack.name}",
        phases=phases,
        proxy=proxy,
        tunnel=next((tunnel for tunnel in tunnels if tunnel.name == access.kind), None),
        backup=backup if values["backup_repository"] else None,
        tls=tls,
        encryption=_encryption(values, catalogue, source=source, who=host.name),
        services=services,
        added=_added(more, services),
        vars=values,
        access=access,
        doors=with_routes(doors, routes, stack),
        routes=routes,
    )


def _declared(stack: Stack, folders: Iterable[Service], maybe: Iterable[Service]) -> dict[str, Var]:
    """The variables that there are. Those of folders that only may take part are asked of nobody yet."""
    declared = dict(stack.vars)
    for folder in folders:
        for name, var in folder.meta.vars.items():
            declared.setdefault(name, var)
    for folder in maybe:
        for name, var in folder.meta.vars.items():
            declared.setdefault(name, msgspec.structs.replace(var, optional=True))
    return declared


def _given(folder: Service, host: Host) -> dict[str, Any]:
    """What the host says of a folder's own variables."""
    return {name: value for name, value in host.vars.items() if name in folder.meta.vars}


def _check_required(services: Iterable[Service], values: Mapping[str, Any], *, source: str, who: str) -> None:
    """Raises MissingValue for a variable that is optional only where a certain service is there."""
    services = tuple(services)
    names = {service.name for service in services}
    for service in services:
        for name, var in service.meta.vars.items():
            if var.without and var.without not in names and values[name] is None:
                raise MissingValue(
                    f"without {var.without}, {service.name} needs the variable {name} ({var.about})",
                    hint=f"set hosts.{who}.vars.{name} in {source}, or keep {var.without}",
                )


def _check_subnets(
    services: Iterable[Service], stack: Stack, values: Mapping[str, Any], *, source: str, who: str
) -> None:
    """Raises InvalidFile for addresses of containers that services start, where they are the stack's own."""
    given = (stack.network.subnet, *filter(None, stack.network.inner_subnets.values()))
    own = [ip_network(text) for text in given]
    named = {service.meta.spawns.subnet for service in services if service.meta.spawns}
    for name in sorted(filter(None, named)):
        where = f"hosts.{who}.vars.{name}"
        try:
            subnet = IPv4Network(values[name])
        except ValueError as error:
            raise InvalidFile(source, f"{values[name]!r} is no network: {error}", path=where) from error
        for other in own:
            if isinstance(other, IPv4Network) and other.overlaps(subnet):
                raise InvalidFile(source, f"{subnet} overlaps {other}, a network of the stack", path=where)


def _encryption(values: Mapping[str, Any], catalogue: Catalogue, *, source: str, who: str) -> Service | None:
    """The folder that encrypts the data volume, where that is wanted. Raises InvalidFile where there is none."""
    if values["data_encryption"] == "none":
        return None
    if values["data_device"] is None:
        where = f"hosts.{who}.vars.data_encryption"
        raise InvalidFile(source, "there is nothing to encrypt", path=where, hint="data_device names the disk")
    return catalogue.get("disk", values["data_encryption"])


def _acme(stack: Stack, catalogue: Catalogue) -> dict[str, Service]:
    """certbot, under no name, and the DNS providers under theirs; nothing where the proxy needs none of them."""
    if stack.proxy == "caddy":
        return {}
    return {
        "": catalogue.get("tls", "certbot"),
        **{name: catalogue.get("dns", name) for name in catalogue.names("dns")},
    }


def _chosen(acme: Mapping[str, Service], doors: Doors) -> tuple[Service, ...]:
    """Raises UnknownName for a DNS provider without a template folder."""
    if not acme or doors.tls != "acme":
        return ()
    if doors.dns not in acme:
        raise UnknownName("DNS provider", doors.dns, filter(None, acme), hint="acme_dns names it")
    return tuple(acme[name] for name in dict.fromkeys(("", doors.dns)))


def _waits(variable: str, catalogue: Catalogue) -> bool:
    """Whether it belongs to a service that is not here: what the inventory says of it waits until that is added."""
    return any(variable in catalogue.get("services", name).meta.vars for name in catalogue.names())


def _added(more: Iterable[str], services: Sequence[Service]) -> frozenset[str]:
    """What the inventory adds, without what the stack's own services make use of: that has to be there before them."""
    added = set(more)
    # From the last to the first: what one needs stands before it.
    for service in reversed(services):
        if service.name not in added:
            added -= {*service.meta.needs, *service.meta.uses}
    return frozenset(added)


def _ordered(services: Iterable[Service], stack: Stack) -> tuple[Service, ...]:
    """What a service needs comes before it. Raises MissingValue for a need that nothing fills."""
    left = {service.name: service for service in services}
    done: dict[str, Service] = {}
    for name, service in left.items():
        for need in service.meta.needs:
            if need not in left and need not in stack.external:
                raise MissingValue(
                    f"{name} needs {need}, which is neither a service of the stack nor an external one",
                    hint=f"add {need} to the services, or leave {name} out",
                )

    def place(name: str, above: tuple[str, ...]) -> None:
        if name in done or name not in left:
            return
        if name in above:
            raise InvalidFile(f"templates/services/{name}", f"needs itself: {' → '.join((*above, name))}")
        for need in (*left[name].meta.needs, *left[name].meta.uses):
            place(need, (*above, name))
        done[name] = left[name]

    for name in left:
        place(name, ())
    return tuple(done.values())
