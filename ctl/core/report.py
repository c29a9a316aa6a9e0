"""What happens on a host while a plan is applied: the run's log, read as events; and what it came to."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from ctl.core.errors import CtlError, Locked, RunFailed, Unhealthy
from ctl.core.probe import clean

# Each kind of event with the number of words that it has at least: a line with fewer is no event.
_KINDS = {
    **dict.fromkeys(("release", "phase", "put", "del", "step", "fail", "pull", "up", "remove", "exit"), 1),
    **dict.fromkeys(("build", "roll", "healthy", "unhealthy", "keep", "warn"), 1),
    "done": 2,
    "locked": 0,
    "overtaken": 0,
}


# What failed, as a person reads it; the name follows.
_WORK = {
    "begin": "the beginning of release",
    "put": "the writing of",
    "step": "the step",
    "check": "the check after the step",
    "stamp": "the stamp of the step",
    "pull": "the pull of",
    "build": "the build of",
    "roll": "the replacement of",
    "up": "the start of",
    "settle": "the record of release",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the log. `kind` is `output` for what a program printed, else the name of an event."""

    kind: str
    words: tuple[str, ...] = ()
    text: str = ""


MAX_LINE = 1024 * 1024


@dataclass(slots=True)
class Log:
    """Bytes of the log as they arrive → events; `seen` is the offset from which a reader goes on after a break."""

    seen: int = 0
    _rest: bytes = b""
    _endless: bool = False

    def feed(self, chunk: bytes) -> Iterable[Event]:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self.seen += len(line) + 1
            yield Event("output", text="…") if self._endless else read_line(line)
            self._endless = False
        if len(self._rest) > MAX_LINE:
            # Nothing that ends so late is an event; only its length is remembered.
            self.seen += len(self._rest)
            self._rest, self._endless = b"", True

    def broken(self) -> None:
        """The connection broke: half a line is forgotten, it will be read again."""
        self._rest = b""


def read_line(line: bytes) -> Event:
    text = clean(line.decode("utf-8", "replace"))
    if text.startswith("@ "):
        kind, *words = text[2:].split(" ")
        if len(words) >= _KINDS.get(kind, len(words) + 1):
            return Event(kind, tuple(words), text[2:])
    return Event("output", text=text.removeprefix("| "))


@dataclass(slots=True)
class Outcome:
    """What a run came to, gathered from its events."""

    run: str = ""
    code: int | None = None
    done: list[str] = field(default_factory=list)
    failed: str = ""
    unhealthy: dict[str, list[str]] = field(default_factory=dict)
    """Containers, and the last lines of each one's own log."""
    locked_by: str = ""
    overtaken_by: str = ""
    warnings: list[str] = field(default_factory=list)
    """What steps said that failed and could."""
    tail: list[str] = field(default_factory=list)

    def take(self, event: Event) -> None:
        if event.kind == "output":
            self.tail.append(event.text)
            del self.tail[:-30]
        elif event.kind in {"step", "pull", "build", "keep", "up", "roll"}:
            self.tail = []
        elif event.kind == "done":
            self.done.append(event.words[0])
        elif event.kind == "warn":
            self.warnings.append("\n".join(self.tail))
        elif event.kind == "fail":
            self.failed = " ".join(event.words)
        elif event.kind == "unhealthy":
            self.unhealthy[event.words[0]] = self.tail = []
        elif event.kind == "locked":
            self.locked_by = " ".join(event.words)
        elif event.kind == "overtaken":
            self.overtaken_by = " ".join(event.words) or "someone"
        elif event.kind == "exit":
            self.code = int(event.words[0]) if re.fullmatch("[0-9]{1,3}", event.words[0]) else 1

    def raise_for_failure(self, host: str) -> None:
        """Raises Locked, Unhealthy or RunFailed unless the run went through."""
        error = self._error(host)
        if error:
            raise error

    def _error(self, host: str) -> CtlError | None:
        said = _said(self.tail, ", which said last:")
        if self.code == 0:
            return None
        if self.overtaken_by:
            return Locked(
                f"another run has changed {host} since this was planned: {clean(self.overtaken_by)}",
                hint="look at the plan again; nothing was changed by this one",
            )
        if self.locked_by or self.code == 4:
            return locked(host, self.locked_by)
        if self.unhealthy:
            names = ", ".join(self.unhealthy)
            if len(self.unhealthy) > 1:
                said = "".join(_said(lines, f"\n{name} said last:") for name, lines in self.unhealthy.items())
            return Unhealthy(f"{names} did not become healthy on {host}{said}", hint=f"ctl status {host}")
        if self.failed:
            what, _, name = self.failed.partition(" ")
            verb = _WORK.get(what, what)
            return RunFailed(
                f"{verb} {name.split(' ')[0]} failed on {host}{said}", hint="mend the cause and deploy again"
            )
        return RunFailed(f"the run {self.run} on {host} ended without a result{said}", hint="deploy again")


def _said(lines: list[str], head: str) -> str:
    """The last lines under their head; nothing where none were said."""
    return "\n".join((head, *(f"    {line}" for line in lines[-12:]))) if lines else ""


def locked(host: str, holder: str) -> Locked:
    who = f": {clean(holder)}" if holder else ""
    return Locked(
        f"another run is at work on {host}{who}", hint=f"ctl attach {host} follows it; --wait SECONDS waits for its end"
    )
