"""Who may come in by SSH, and whether that would shut out whoever is at work now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any

from ctl.core.errors import InvalidFile, UsageError

ANYWHERE = ("0.0.0.0/0", "::/0")
TAILNET = ("100.64.0.0/10", "fd7a:115c:a1e0::/48")


@dataclass(frozen=True, slots=True)
class Entrance:
    """`networks` are those of the variable `ssh_from`; on a `tailnet` its members come in besides."""

    networks: tuple[str, ...] = ANYWHERE
    tailnet: bool = False

    @property
    def open(self) -> bool:
        """Whether everybody may come in, so that nobody can be shut out."""
        return set(ANYWHERE) <= set(self.networks)

    def admits(self, peer: str) -> bool:
        """Whether the address may come in. One that is no address came another way than by SSH."""
        try:
            address = ip_address(peer)
        except ValueError:
            return True
        address = getattr(address, "ipv4_mapped", None) or address
        known = (*self.networks, *(TAILNET if self.tailnet else ()))
        return address.is_loopback or any(address in network for network in map(ip_network, known))

    def guard(self, peer: str, host: str) -> None:
        """Raises UsageError where `peer`, the address from which the host sees us come, would be shut out."""
        if not self.admits(peer):
            raise UsageError(
                f"ssh_from of {host} would shut us out: the host sees us come from {peer}",
                hint=f"add {ip_network(peer)} to ssh_from, or come from a network that is in it",
            )


ANYBODY = Entrance()


def networks(given: Any, *, source: str, who: str) -> tuple[str, ...]:
    """The variable `ssh_from`, checked. Raises InvalidFile."""
    found = []
    for text in given:
        try:
            network: IPv4Network | IPv6Network = ip_network(text if isinstance(text, str) else "")
        except ValueError as error:
            raise InvalidFile(
                source,
                f"{text!r} is no network: {error}" if isinstance(text, str) else f"{text!r} is no network",
                path=f"hosts.{who}.vars.ssh_from",
                hint="write networks as 203.0.113.0/24 or 2001:db8::/48, one address as 203.0.113.7/32",
            ) from error
        found.append(str(network))
    return _once(found)


def _once(words: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(words))
