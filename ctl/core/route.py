"""The doors of a stack: where its services are reached at the proxy; and the servers outside that it talks to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit


@dataclass(frozen=True, slots=True)
class Part:
    """Paths of a door that lead to another service than the door's own."""

    name: str
    paths: tuple[str, ...]
    upstream: str
    stream: bool = False
    scales: bool = False


@dataclass(frozen=True, slots=True)
class Wildcard:
    """Names below a door's own: NAME leads to STACK-`label`-NAME at `port`, or else to the page `missing`."""

    label: str
    port: int
    missing: str
    inside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Route:
    """The doors of one service, its public URL first, and where the proxy sends their requests.

    `kind` says how its own door is told from the others': by a subdomain, by a port of the proxy's, or by a path.
    """

    name: str
    urls: tuple[str, ...]
    upstream: str
    websocket: bool = False
    stream: bool = False
    checks: tuple[tuple[str, int], ...] = ()
    open: tuple[str, ...] = ()
    """Paths that the proxy lets through without its password."""
    closed: tuple[str, ...] = ()
    """Paths at which the door leads nowhere."""
    kind: Literal["subdomain", "port", "path"] = "subdomain"
    port: int = 443
    """The proxy's port at which the door is."""
    path: str = ""
    """At the shared door: where the service answers (kind `path`), or what leads to its own door."""
    strip: bool = False
    """Whether the service is not to see the path."""
    password: bool = True
    """Whether the door is the proxy's to guard: the service has no login of its own."""
    logins: tuple[str, ...] = ()
    """Paths at which passwords are tried."""
    body: str = ""
    """The largest request that it takes, where that is more than usual."""
    scales: bool = False
    """Whether several containers may answer at `upstream`, of which some may just be going."""
    parts: tuple[Part, ...] = ()
    wildcard: Wildcard | None = None

    @property
    def url(self) -> str:
        return self.urls[0]

    @property
    def door(self) -> str:
        """The name of its door at the proxy, whatever name a tunnel brings in."""
        return urlsplit(self.urls[-1]).hostname or ""

    @property
    def host(self) -> str:
        """The name in the public URL."""
        return urlsplit(self.url).hostname or ""


@dataclass(frozen=True, slots=True)
class External:
    """A server outside the stack: where its services reach it, and the path that tells whether it answers."""

    name: str
    url: str
    health: str = "/"

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        parts = urlsplit(self.url)
        return parts.port or {"http": 80, "https": 443}[parts.scheme]
