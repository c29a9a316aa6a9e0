"""What is shown: events as lines, and the whole as a small view. Pure; times are seconds of one clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ctl.bridge.order import Way

WAYS = {
    Way.LOCAL: "the local server",
    Way.CLOUD: "the cloud",
    Way.TUNNEL: "the ngrok tunnel",
    Way.NONE: "nothing yet",
}
STYLES = {Way.LOCAL: "green", Way.CLOUD: "green", Way.TUNNEL: "yellow", Way.NONE: "red"}


@dataclass(frozen=True, slots=True)
class Notice:
    """Something that happened. `kind` and `data` are for programs, `text` is for people."""

    kind: str
    text: str
    data: Mapping[str, object] = field(default_factory=dict)


@dataclass(slots=True)
class Status:
    """How it is now. `since` is when the way in use began, `next_attempt` when the cloud is tried again."""

    since: float
    way: Way = Way.NONE
    local: str = ""
    local_answers: bool = False
    session: str = ""
    tunnel: str = ""
    door: str = ""
    requests: int = 0
    active: int = 0
    bytes_in: int = 0
    bytes_out: int = 0
    last_error: str = ""
    next_attempt: float | None = None


def rows(status: Status, now: float) -> list[tuple[str, str]]:
    """Label and text of each line."""
    found = [
        ("in use", f"{WAYS[status.way]}, since {span(now - status.since)}"),
        ("model", f"{status.local}{'' if status.local_answers else ' does not answer'}"),
    ]
    if status.session:
        found.append(("session", status.session))
    if status.tunnel:
        found.append(("tunnel", status.tunnel))
    if status.door:
        found.append(("door", status.door))
    found.append(("carried", carried(status)))
    if status.next_attempt is not None:
        found.append(("next", f"the cloud again in {span(max(0.0, status.next_attempt - now))}"))
    if status.last_error:
        found.append(("last error", status.last_error))
    return found


def carried(status: Status) -> str:
    under_way = f", {status.active} under way" if status.active else ""
    word = "request" if status.requests == 1 else "requests"
    return f"{status.requests} {word}{under_way}, {size(status.bytes_in)} in, {size(status.bytes_out)} out"


def span(seconds: float) -> str:
    """`12 s`, `3 min`, `2 h 5 min`, `4 d 1 h`"""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def size(count: int) -> str:
    """Bytes, as people write them: `512 B`, `1.5 kB`, `20 MB`"""
    if count < 1000:
        return f"{count} B"
    unit, number = "kB", count / 1000
    for greater in ("MB", "GB"):
        if number >= 999.5:
            unit, number = greater, number / 1000
    return f"{number:.1f} {unit}" if number < 9.95 else f"{number:.0f} {unit}"
