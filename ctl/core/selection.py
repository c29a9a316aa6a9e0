"""What a host is to run, settled: template folders, variables, doors, secrets asked for. Nothing rendered yet."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ctl.core.errors import InvalidFile, MissingValue, UnknownName
from ctl.core.inventory import Host
from ctl.core.release import Route
from ctl.core.secret import SecretSpec
from ctl.core.service import Catalogue, RouteSpec, Service
from ctl.core.stack import Access, Doors, Stack, resolve_vars
from ctl.core.template import Templates

ACCESS = ("public", "internal", "tailscale", "ngrok")

_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


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
    services: tuple[Service, ...]
    added: frozenset[str]
    vars: Mapping[str, Any]
    access: Access
    doors: Doors
    routes: tuple[Route, ...]

    @property
    def folders(self) -> tuple[Service, ...]:
        """Every template folder that takes part."""
        return (self.phases, *self.services, self.proxy, *(more for more in (self.tunnel, self.backup) if more))

    @property
    def secrets(self) -> dict[str, SecretSpec]:
        return {name: spec for folder in self.folders for name, spec in folder.meta.secrets.items()}


def select(host: Host, stack: Stack, catalogue: Catalogue, templates: Templates, *, source: str) -> Selection:
    """Settle a host and its stack. `source` is the inventory's name for messages. Raises UsageError's children."""
    names = [*stack.services, *host.services]
    for name in host.without:
        if name not in stack.services:
            raise UnknownName(
                "service of the stack", name, stack.services, hint=f"left out for {host.name} in {source}"
            )
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise InvalidFile(source, f"{doubled[0]} is in the stack already", path=f"hosts.{host.name}.services")
    services = _ordered([catalogue.get("services", name) for name in names if name not in host.without], stack)
    phases = catalogue.get("phases", "phases")
    proxy = catalogue.get("proxy", stack.proxy)
    backup = catalogue.get("backup", "restic")
    tunnels = [catalogue.get("tunnel", name) for name in catalogue.names("tunnel")]

    declared = dict(stack.vars)
    for folder in (phases, proxy, *services, *tunnels, backup):
        for name, var in folder.meta.vars.items():
            declared.setdefault(name, var)
    values = resolve_vars(declared, host.vars, source=source, who=host.name)

    file = f"stacks/{stack.name}/stack.yaml"
    access, doors = _access(stack, values, templates, file), _doors(stack, values, templates, file)
    routed = {service.name: (service, service.meta.route) for service in services if service.meta.route}
    tunnel = next((tunnel for tunnel in tunnels if tunnel.name == access.kind), None)
    if tunnel and access.front not in routed:
        raise UnknownName("routed service", access.front, list(routed), hint="it is to answer at /")
    opened = _opened(doors, routed, file)
    if tunnel and not access.domain:
        raise MissingValue(
            f"access through {access.kind} needs a domain",
            hint=f"set hosts.{host.name}.vars.{access.kind}_domain in {source}, or another access",
        )
    return Selection(
        host=host,
        stack=stack,
        root=host.root or f"/opt/{stack.name}",
        phases=phases,
        proxy=proxy,
        tunnel=tunnel,
        backup=backup if values["backup_repository"] else None,
        services=services,
        added=_added(host, services),
        vars=values,
        access=access,
        doors=doors,
        routes=tuple(
            _route(*service, access if tunnel else None, doors, opened.get(name, ()))
            for name, service in routed.items()
        ),
    )


def _access(stack: Stack, values: Mapping[str, Any], templates: Templates, file: str) -> Access:
    raw = {"kind": stack.access.kind, "domain": stack.access.domain, "front": stack.access.front}
    given = {key: value for key, value in raw.items() if not (key == "domain" and _names_nothing(value, values))}
    access = Access(**templates.expand(given, {"vars": values}, file=file))
    if access.kind not in ACCESS:
        raise InvalidFile(file, f"expected one of {', '.join(ACCESS)}, got {access.kind!r}", path="access.kind")
    return access


def _names_nothing(text: str, values: Mapping[str, Any]) -> bool:
    """Whether `{{ vars.x }}` names an optional variable that nobody gave."""
    match = re.fullmatch(r"\{\{\s*vars\.(\w+)\s*\}\}", text)
    return bool(match) and match is not None and match[1] in values and values[match[1]] is None


def _doors(stack: Stack, values: Mapping[str, Any], templates: Templates, file: str) -> Doors:
    raw = stack.doors
    data = {"domain": raw.domain, "port": raw.port, "address": raw.address, "tls": raw.tls, "open": raw.open}
    doors = Doors(**templates.expand(data, {"vars": values}, file=file))
    if not _DOMAIN.fullmatch(doors.domain):
        raise InvalidFile(file, f"{doors.domain!r} is not a domain name", path="doors.domain")
    if not isinstance(doors.port, int) or not 0 < doors.port < 65536:
        raise InvalidFile(file, f"{doors.port!r} is not a port", path="doors.port")
    try:
        ipaddress.ip_address(doors.address)
    except ValueError as error:
        raise InvalidFile(file, f"{doors.address!r} is not an IP address", path="doors.address") from error
    return doors


def _opened(doors: Doors, routed: Collection[str], file: str) -> dict[str, tuple[str, ...]]:
    """The paths that need no password, by service. A misspelt one must not stay open or closed unnoticed."""
    if not isinstance(doors.open, dict):
        raise InvalidFile(file, f"expected paths by service, got {doors.open!r}", path="doors.open")
    for name, paths in doors.open.items():
        if name not in routed:
            raise UnknownName("routed service", name, list(routed), hint="doors.open names paths of it")
        if not isinstance(paths, list) or not all(re.fullmatch(r"/[!-~]*", str(path)) for path in paths):
            raise InvalidFile(file, f"expected paths such as [/webhook/*], got {paths!r}", path=f"doors.open.{name}")
    return {name: tuple(paths) for name, paths in doors.open.items()}


def _route(service: Service, spec: RouteSpec, access: Access | None, doors: Doors, opened: tuple[str, ...]) -> Route:
    """`access` is the tunnel's, where there is one."""
    port = "" if doors.port == 443 else f":{doors.port}"
    urls = [f"https://{service.name}.{doors.domain}{port}"]
    if access and access.front == service.name:
        urls.insert(0, f"https://{access.domain}")
    return Route(
        name=service.name,
        urls=tuple(urls),
        upstream=f"{spec.service or service.name}:{spec.port}",
        websocket=spec.websocket,
        stream=spec.stream,
        checks=tuple((probe.path, probe.status) for probe in service.meta.verify),
        open=opened,
    )


def _added(host: Host, services: Iterable[Service]) -> frozenset[str]:
    """What the inventory adds, without what the stack's own services make use of: that has to be there before them."""
    used = {name for service in services if service.name not in host.services for name in service.meta.uses}
    return frozenset(host.services) - used


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
