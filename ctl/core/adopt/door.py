"""Which container of a Compose file is the one that people go to, and at which port."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ctl.core.adopt.images import HTTP_PORTS, OTHER_PORTS, known
from ctl.core.adopt.schema import Entry, PortSpec, depends, pairs

_PROXY_PORT = re.compile(
    r"traefik\.(http|tcp)\.services\.[^.]+\.loadbalancer\.server\.port|VIRTUAL_PORT|caddy\.reverse_proxy"
)
_URL = re.compile(
    r"(?P<tls>https?)://(localhost|127\.0\.0\.1|0\.0\.0\.0|\[::1\])(:(?P<port>\d+))?(?P<path>/[A-Za-z0-9._/-]*)?"
)
_PORT = re.compile(
    r"(?:(?:\[[0-9a-fA-F:.]+\]|\d+\.[\d.]+|[A-Za-z][\w.-]*):)?(?:(?P<published>\d*)(?:-\d+)?:)?(?P<target>\d+)(?:-\d+)?(?:/(?P<kind>\w+))?"
)
_NAMES = ("app", "web", "webserver", "server", "frontend", "ui", "webui", "gateway", "nginx", "proxy", "dashboard")


@dataclass(frozen=True, slots=True)
class Port:
    target: int
    published: str = ""
    protocol: str = "tcp"


@dataclass(frozen=True, slots=True)
class Door:
    """`http` is "known", "assumed" or "" (something else is spoken there); `health` a path that answers with 200."""

    service: str
    port: int
    http: str
    health: str = ""
    why: str = ""


def port_of(given: int | str | PortSpec) -> Port | None:
    """A port in any of its forms, variables settled; None for what is none."""
    if isinstance(given, PortSpec):
        found = _PORT.fullmatch(str(given.target))
        return Port(int(found["target"]), str(given.published or ""), given.protocol) if found else None
    found = _PORT.fullmatch(str(given).strip())
    if found is None or len(found["target"]) > 5:
        return None
    return Port(int(found["target"]), found["published"] or "", found["kind"] or "tcp")


def health_urls(entry: Entry) -> Iterator[tuple[int, str]]:
    """(port, path) of every address that the health check asks."""
    test = (entry.healthcheck or {}).get("test")
    words = " ".join(map(str, test)) if isinstance(test, list) else str(test or "")
    for found in _URL.finditer(words):
        yield int(found["port"] or (443 if found["tls"] == "https" else 80)), found["path"] or "/"


def find_door(services: Mapping[str, Entry], ports: Mapping[str, tuple[Port, ...]], name: str) -> Door:
    """`ports` are the published ones of each service; `name` is what the whole is called."""
    scores = {service: _score(service, services, ports[service], name) for service in services}
    best = max(scores, key=lambda service: scores[service])
    entry = services[best]
    about = known(entry.image or "")
    urls = dict(health_urls(entry))
    told = _told(entry)
    published = [port.target for port in ports[best] if port.protocol == "tcp"]
    exposed = [int(m[0]) for item in entry.expose or () if (m := re.match(r"\d{1,5}", str(item)))]
    for candidates, why in (
        ([told] if told else [], "said by a label or a variable for a proxy"),
        (_likely(published, about.port), "published"),
        (_likely(exposed, about.port), "exposed"),
        ([about.port] if about.port else [], "the image's own"),
        (list(urls), "asked by the health check"),
    ):
        if candidates:
            port = candidates[0]
            sure = bool(told) or port in urls or (about.http and port == about.port) or port in HTTP_PORTS
            http = "" if port in OTHER_PORTS or (about.part and not about.http) else "known" if sure else "assumed"
            return Door(best, port, http, urls.get(port, ""), why)
    return Door(best, 0, "")


def _told(entry: Entry) -> int:
    for label, value in {**pairs(entry.labels), **pairs(entry.environment)}.items():
        if _PROXY_PORT.fullmatch(label) and (digits := re.search(r"(\d{1,5})\D*$", value or "")):
            return int(digits[1])
    return 0


def _likely(ports: list[int], own: int) -> list[int]:
    """Those first at which a web page is likely."""
    order = [own, *HTTP_PORTS]
    return sorted(ports, key=lambda port: (port in OTHER_PORTS, order.index(port) if port in order else len(order)))


def _score(service: str, services: Mapping[str, Entry], ports: tuple[Port, ...], name: str) -> int:
    entry = services[service]
    about = known(entry.image or "")
    pages = [port for port in ports if port.protocol == "tcp" and port.target not in OTHER_PORTS]
    score = -200 * about.part
    score += 100 * bool(_told(entry)) + 50 * bool(pages) + 20 * bool(entry.expose) + 10 * about.http
    score += 15 * any(True for _ in health_urls(entry))
    score += 40 * (service == name) + 15 * (
        service in _NAMES or (service.startswith(f"{name}-") and service[len(name) + 1 :] in _NAMES)
    )
    score += 5 * min(len(depends(entry)), 5)
    return score
