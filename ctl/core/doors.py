"""The doors of the proxy, settled: where each service is reached, as the stack, the templates and the host want it."""

from __future__ import annotations

import ipaddress
import re
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from ctl.core.errors import InvalidFile, MissingValue, UnknownName
from ctl.core.route import Part, Route, Wildcard
from ctl.core.service import RouteSpec, Service
from ctl.core.stack import Access, Doors, ServiceOverride, Stack
from ctl.core.template import Templates

ACCESS = ("public", "internal", "tailscale", "ngrok")
ONE_NAME = ("ngrok",)
"""Access methods that bring in a single name, behind which a single service answers."""

_DOMAIN = re.compile(r"(?=.{1,253}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)*[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_VARIABLE = re.compile(r"\{\{\s*vars\.(\w+)\s*\}\}")


def access_of(stack: Stack, values: Mapping[str, Any], templates: Templates, *, source: str, who: str) -> Access:
    """Raises InvalidFile, and MissingValue for a domain that the access method needs. `source` is the inventory's."""
    file = f"stacks/{stack.name}/stack.yaml"
    raw = {"kind": stack.access.kind, "domain": stack.access.domain, "front": stack.access.front}
    given = {key: value for key, value in raw.items() if not (key == "domain" and _names_nothing(value, values))}
    access = Access(**templates.expand(given, {"vars": values}, file=file))
    if access.kind not in ACCESS:
        raise InvalidFile(file, f"expected one of {', '.join(ACCESS)}, got {access.kind!r}", path="access.kind")
    if access.kind in {"ngrok", "tailscale"} and not access.domain:
        name = match[1] if (match := _VARIABLE.fullmatch(stack.access.domain)) else f"{access.kind}_domain"
        raise MissingValue(
            f"access through {access.kind} needs a domain",
            hint=f"set hosts.{who}.vars.{name} in {source}, or another access",
        )
    return access


def _names_nothing(text: str, values: Mapping[str, Any]) -> bool:
    """Whether `{{ vars.x }}` names an optional variable that nobody gave."""
    match = _VARIABLE.fullmatch(text)
    return match is not None and match[1] in values and values[match[1]] is None


def doors_of(stack: Stack, values: Mapping[str, Any], templates: Templates) -> Doors:
    """Without the services' own ports, which come with the routes. Raises InvalidFile."""
    file = f"stacks/{stack.name}/stack.yaml"
    settled = {"spare", "own", "kept"}
    raw = {name: value for name, value in msgspec.structs.asdict(stack.doors).items() if name not in settled}
    doors = Doors(**templates.expand(raw, {"vars": values}, file=file), spare=stack.doors.spare)
    if not _DOMAIN.fullmatch(doors.domain):
        raise InvalidFile(file, f"{doors.domain!r} is not a domain name", path="doors.domain")
    if not isinstance(doors.port, int) or not 0 < doors.port < 65536:
        raise InvalidFile(file, f"{doors.port!r} is not a port", path="doors.port")
    if doors.kind not in {"subdomains", "ports"}:
        raise InvalidFile(file, f"expected subdomains or ports, got {doors.kind!r}", path="doors.kind")
    if doors.kind == "ports" and stack.proxy == "caddy":
        raise InvalidFile(file, "the templates of Caddy have subdomains only", path="doors.kind")
    try:
        ipaddress.ip_address(doors.address)
    except ValueError as error:
        raise InvalidFile(file, f"{doors.address!r} is not an IP address", path="doors.address") from error
    return doors


def opened(doors: Doors, routed: Collection[str], file: str) -> dict[str, tuple[str, ...]]:
    """The paths that need no password, by service. A misspelt one must not stay open or closed unnoticed."""
    if not isinstance(doors.open, dict):
        raise InvalidFile(file, f"expected paths by service, got {doors.open!r}", path="doors.open")
    for name, paths in doors.open.items():
        if name not in routed:
            raise UnknownName("routed service", name, list(routed), hint="doors.open names paths of it")
        if not isinstance(paths, list) or not all(re.fullmatch(r"/[!-~]*", str(path)) for path in paths):
            raise InvalidFile(file, f"expected paths such as [/webhook/*], got {paths!r}", path=f"doors.open.{name}")
    return {name: tuple(paths) for name, paths in doors.open.items()}


@dataclass(frozen=True, slots=True)
class _Place:
    kind: Literal["subdomain", "port", "path"]
    port: int
    path: str
    name: str
    """In its address."""


def routes_of(services: Sequence[Service], stack: Stack, access: Access, doors: Doors) -> tuple[Route, ...]:
    """A route for every service that has a door. Raises InvalidFile for two that would share one."""
    file = f"stacks/{stack.name}/stack.yaml"
    names = {service.name for service in services}
    having = [(service, service.meta.route) for service in services if service.meta.route]
    routed = {service.name: (service, spec) for service, spec in having if not spec.shared_with(names)}
    guests = [(service, spec, spec.shared_with(names)) for service, spec in having if spec.shared_with(names)]
    if access.kind in ONE_NAME and access.front not in routed:
        raise UnknownName("routed service", access.front, list(routed), hint="it is to answer at /")
    for guest, spec, under in guests:
        if under not in routed or not spec.paths:
            problem = f"{under} has no door of its own that could be shared" if spec.paths else "names no paths"
            raise InvalidFile(f"templates/{guest.folder}", problem, path="x-ctl.route.under")
    for service, spec in routed.values():
        if spec.wildcard and (stack.proxy != "nginx" or doors.kind != "subdomains"):
            problem = f"{service.name} has names below its own, for which doors have to be subdomains behind nginx"
            raise InvalidFile(file, problem, path="proxy", hint="or leave it out")
    free = opened(doors, routed, file)
    places = _places(routed.values(), stack.services, doors, file)
    return tuple(
        _route(
            service,
            spec,
            access,
            doors,
            places[name],
            free.get(name, ()),
            [(guest, own) for guest, own, under in guests if under == name],
        )
        for name, (service, spec) in routed.items()
    )


def _places(
    routed: Iterable[tuple[Service, RouteSpec]], overrides: Mapping[str, ServiceOverride], doors: Doors, file: str
) -> dict[str, _Place]:
    places: dict[str, _Place] = {}
    taken = {int(doors.port): "the shared door"}
    for service, spec in routed:
        own = overrides.get(service.name, ServiceOverride())
        path = own.path or f"/{service.name}"
        if doors.kind == "subdomains":
            label = own.subdomain or service.name
            name = doors.domain if label == "@" else f"{label}.{doors.domain}"
            places[service.name] = _Place("subdomain", int(doors.port), own.path, name)
        elif own.port is None and spec.path:
            places[service.name] = _Place("path", int(doors.port), path, doors.domain)
        else:
            port = own.port or _spare(service.name, doors, taken, file)
            if port in taken:
                raise InvalidFile(file, f"port {port} is that of {taken[port]}", path=f"services.{service.name}.port")
            taken[port] = service.name
            places[service.name] = _Place("port", port, path, doors.domain)
    paths = [place.path for place in places.values() if place.path]
    names = [place.name for place in places.values() if place.kind == "subdomain"]
    for name, place in places.items():
        if paths.count(place.path) > 1:
            raise InvalidFile(file, f"two services have the path {place.path}", path=f"services.{name}.path")
        if names.count(place.name) > 1:
            raise InvalidFile(file, f"two services have the name {place.name}", path=f"services.{name}.subdomain")
    return places


def _spare(name: str, doors: Doors, taken: Collection[int], file: str) -> int:
    """A port out of the reserve: by the service's name, so that it stays when others come and go."""
    first, last = doors.spare or (1, 0)
    count = last - first + 1
    start = zlib.crc32(name.encode()) % max(count, 1)
    for port in (first + (start + step) % count for step in range(count)):
        if port not in taken:
            return port
    raise InvalidFile(
        file, f"there is no port left for {name}, which cannot live under a path", path="doors.spare", hint="widen it"
    )


def _route(
    service: Service,
    spec: RouteSpec,
    access: Access,
    doors: Doors,
    place: _Place,
    free: tuple[str, ...],
    sharing: Sequence[tuple[Service, RouteSpec]],
) -> Route:
    port = "" if place.port == 443 else f":{place.port}"
    urls = [f"https://{place.name}{port}{place.path if place.kind == 'path' else ''}"]
    if access.kind in ONE_NAME and access.front == service.name:
        urls.insert(0, f"https://{access.domain}")
    return Route(
        name=service.name,
        urls=tuple(urls),
        upstream=_upstream(service, spec),
        websocket=spec.websocket,
        stream=spec.stream,
        checks=tuple(
            (probe.path, probe.status)
            for one in (service, *(guest for guest, _ in sharing))
            for probe in one.meta.verify
        ),
        open=free,
        closed=spec.closed,
        kind=place.kind,
        port=place.port,
        path=place.path,
        strip=place.kind == "path" and spec.path == "strip",
        password=service.meta.auth == "proxy" or (doors.guard == "all" and not spec.bearer),
        logins=spec.logins,
        body=spec.body,
        scales=service.meta.scales,
        parts=tuple(
            Part(guest.name, own.paths, _upstream(guest, own), own.stream, guest.meta.scales) for guest, own in sharing
        ),
        wildcard=Wildcard(**msgspec.structs.asdict(spec.wildcard)) if spec.wildcard else None,
    )


def _upstream(service: Service, spec: RouteSpec) -> str:
    return f"{spec.service or service.name}:{spec.port}"


def with_routes(doors: Doors, routes: Sequence[Route], stack: Stack) -> Doors:
    """The doors with the ports that the routes have of their own, and all names of the certificate.

    Raises InvalidFile for names that no authority would vouch for in the way that is chosen.
    """
    own = tuple(route.port for route in routes if route.kind == "port")
    subdomains = [route.door for route in routes if route.kind == "subdomain"]
    if subdomains and (doors.dns or doors.tls == "self-signed"):
        subdomains = [f"*.{doors.domain}"]
    # A wildcard stands for one label only.
    below = [f"*.{route.door}" for route in routes if route.wildcard]
    names = dict.fromkeys((doors.domain, *subdomains, *below, *doors.names))
    # What a wildcard covers is not named again: some authorities refuse that.
    lone = tuple(name for name in names if f"*.{name.partition('.')[2]}" not in names or name.startswith("*."))
    # Those of services that are left out, too: the proxy is the same container whichever are there.
    kept = tuple(sorted(given.port for given in stack.services.values() if given.port)) if doors.kind == "ports" else ()
    settled = msgspec.structs.replace(doors, own=own, names=lone, kept=kept)
    if stack.proxy == "nginx" and doors.tls == "acme":
        _check_provable(settled, f"stacks/{stack.name}/stack.yaml")
    return settled


def _check_provable(doors: Doors, file: str) -> None:
    """Raises InvalidFile where an ACME authority could not see that the names are ours."""
    way = "set acme_dns, so that the domain is proven through its DNS"
    for name in doors.names:
        if name.endswith("localhost") or not _DOMAIN.fullmatch(name.removeprefix("*.")):
            raise InvalidFile(file, f"no authority vouches for {name}", path="doors.domain", hint="set domain")
        if name.startswith("*.") and not doors.dns:
            raise InvalidFile(
                file, f"a certificate for {name} is not to be had over port 80", path="doors.dns", hint=way
            )
    if doors.plain and ipaddress.ip_address(doors.address).is_loopback:
        problem = f"the authority asks at port 80, and the proxy listens on {doors.address} only"
        raise InvalidFile(file, problem, path="doors.address", hint=f"set address to 0.0.0.0; or {way}")
