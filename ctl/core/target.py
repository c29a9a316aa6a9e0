"""Where a command is to act, read from one word of the command line.

The word ends up in socket calls, in ssh_config lookups (whose ProxyCommand a shell runs) and in messages, so it is
checked letter by letter here, once: what is not plainly one of the forms below is refused.

    user@host   user@host:port   user@[2001:db8::1]   user@[2001:db8::1]:port   a name from inventory.yaml   local
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Literal

from ctl.core.errors import InvalidTarget

FORMS = "user@host, user@host:port, user@[2001:db8::1]:port, a name from inventory.yaml, or local"

_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,252}")
_PORT = re.compile(r"[1-9][0-9]{0,4}")
_ENDPOINT = re.compile(r"(?P<bracket>\[)?(?P<address>(?(bracket)[^\[\]]+|[^\[\]:]+))(?(bracket)\])(?::(?P<port>.+))?")
_LONGEST = 400  # letters; user, address and port at their longest are below it


@dataclass(frozen=True, slots=True)
class Target:
    """`ssh` has user, address and perhaps port; `name` has name; `local` has nothing more.

    `str()` gives back the word that `parse_target` reads.
    """

    kind: Literal["ssh", "local", "name"]
    user: str = ""
    address: str = ""
    port: int | None = None
    name: str = ""

    def __str__(self) -> str:
        if self.kind == "local":
            return "local"
        if self.kind == "name":
            return self.name
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{self.user}@{host}" + (f":{self.port}" if self.port is not None else "")


LOCAL = Target("local")


def parse_target(text: str) -> Target:
    """Read one word. Raises InvalidTarget with a hint that shows the right form, and nothing else."""
    if not text:
        raise InvalidTarget("the target is empty", hint=f"write {FORMS}")
    if len(text) > _LONGEST:
        raise _refused(text, f"it is longer than {_LONGEST} letters")
    if text == "local":
        return LOCAL
    if "@" not in text:
        return _name(text)
    user, _, endpoint = text.partition("@")
    if not is_user(user):
        raise _refused(text, "the user name may hold letters, digits, '_', '.' and '-', and may not begin with '-'")
    if _is_ip(IPv6Address, endpoint):
        # Not guessed at: the end of 2001:db8::1:22 is as well a port as a part of the address.
        raise _refused(text, "an IPv6 address stands in brackets", hint=f"write {user}@[2001:db8::1]:22")
    match = _ENDPOINT.fullmatch(endpoint)
    if match is None:
        raise _refused(text, "after '@' comes a host, and perhaps ':' and a port")
    address, port = match["address"], match["port"]
    if match["bracket"]:
        try:
            address = str(IPv6Address(address))
        except AddressValueError:
            raise _refused(text, "what stands in brackets is not an IPv6 address") from None
    if not is_address(address):
        raise _refused(text, "the host is neither a DNS name nor an IP address")
    return Target("ssh", user=user, address=address, port=None if port is None else _port(text, port))


def is_user(text: str) -> bool:
    """Whether `text` can be the name of a user on a host."""
    return _USER.fullmatch(text) is not None


def is_address(text: str) -> bool:
    """Whether `text` is a DNS name, an alias from ssh_config, or an IP address without brackets and zone."""
    if ":" in text:
        return _is_ip(IPv6Address, text) and "%" not in text
    labels = text.split(".")
    if len(text) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        return False
    # What ends in a number is meant as an IPv4 address: resolvers read `10.1` as 10.0.0.1 and `999.1.1.1` as nothing.
    return not labels[-1].isdecimal() or _is_ip(IPv4Address, text)


def _is_ip(kind: type[IPv4Address] | type[IPv6Address], text: str) -> bool:
    try:
        kind(text)
    except AddressValueError:
        return False
    return True


def _name(text: str) -> Target:
    if _NAME.fullmatch(text) is None:
        raise _refused(text, "a name from inventory.yaml holds letters, digits, '.', '_' and '-'")
    return Target("name", name=text)


def _port(text: str, port: str) -> int:
    if _PORT.fullmatch(port) is None or int(port) > 65535:
        raise _refused(text, "a port is a number from 1 to 65535")
    return int(port)


def _refused(text: str, why: str, *, hint: str = "") -> InvalidTarget:
    shown = ascii(text if len(text) <= 80 else text[:77] + "...")
    return InvalidTarget(f"{shown} is not a target: {why}", hint=hint or f"write {FORMS}")
