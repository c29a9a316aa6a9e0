"""Settings are environment variables: see the table in README.md."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields

from .frames import SESSION

KEY = re.compile(r"[0-9a-f]{64}")
ORIGIN = re.compile(r"https?://[a-z0-9.\[\]:-]+")


class SettingsError(Exception):
    """What is wrong with the environment, for a person; never a value, which may be a secret."""


@dataclass(frozen=True, slots=True)
class Settings:
    session_id: str
    session_key: str
    portal_origin: str
    host: str = "0.0.0.0"  # noqa: S104  # inside a container
    port: int = 3001
    handshake_seconds: int = 10
    clock_seconds: int = 30
    """How far apart the clocks of the two sides may be."""
    grace_seconds: int = 30
    """How long a WebSocket outlives its token."""
    reconnect_seconds: int = 10
    """How long requests wait for a desktop that was there."""
    ping_seconds: int = 20
    stream_idle_seconds: int = 600
    """A stream on which nothing moves for so long, in either direction, is over."""
    drain_seconds: int = 5


def from_environment(variables: Mapping[str, str]) -> Settings:
    """Raises SettingsError with all that is wrong."""
    found: dict[str, str | int] = {}
    wrong = []
    for field in fields(Settings):
        name = field.name.upper()
        value = variables.get(name, "").strip()
        if not value:
            continue
        if field.type == "int":
            if not value.isdecimal() or not 0 < int(value) < 65536:
                wrong.append(f"{name} has to be a whole number from 1 to 65535")
                continue
            found[field.name] = int(value)
        else:
            found[field.name] = value
    for name, pattern in (("session_id", SESSION), ("session_key", KEY), ("portal_origin", ORIGIN)):
        if not pattern.fullmatch(str(found.get(name, ""))):
            wrong.append(f"{name.upper()} is missing, or not what it should be")
    if wrong:
        raise SettingsError("; ".join(wrong))
    return Settings(**found)  # type: ignore[arg-type]  # each was read as what its field says
