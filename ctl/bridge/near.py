"""What may come in at a door of this machine, and which hosts are near enough for plain http."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from ctl.bridge.frames import PATH
from ctl.bridge.passage import allowed


def passes(method: str, path: str) -> bool:
    """Whether a request, its path as on the wire, may reach the model's server."""
    return PATH.fullmatch(path) is not None and allowed(method, path)


def is_loopback(host: str | None) -> bool:
    """Whether a host of a URL is this machine."""
    if host is None:
        return False
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_near(host: str | None) -> bool:
    """Whether it is this machine or an address of a private network."""
    try:
        return is_loopback(host) or ipaddress.ip_address(host or "").is_private
    except ValueError:
        return False


def of_this_machine(host: str, origin: str) -> bool:
    """Whether a request was meant for the local door: no page of the web may use it, by whatever name it came."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname) and (not origin or is_loopback(urlsplit(origin).hostname))
    except ValueError:
        return False
