"""What is kept on a host of earlier runs: who changed what, when, from where, and how it ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from ctl.core.errors import CtlError, UsageError
from ctl.core.plan import Plan
from ctl.core.probe import clean


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a run says of itself, written before it starts. `started` is in seconds since 1970."""

    release: str
    previous: str
    command: str
    who: str
    started: Annotated[int, msgspec.Meta(ge=0, le=32503680000)]  # the year 3000
    changes: tuple[str, ...]

    @property
    def holder(self) -> str:
        """One line for whoever meets the lock."""
        return f"{self.who}, since {moment(self.started)}, {self.command}\n"

    def encode(self) -> bytes:
        return msgspec.json.encode(self)


def moment(seconds: int) -> str:
    """Seconds since 1970 → `2026-01-31 17:05:09 UTC`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def summary(plan: Plan) -> tuple[str, ...]:
    """The plan in a few words, for the history: no content, no secrets."""
    files = len(plan.files)
    words = [f"{files} file{'s' if files != 1 else ''}"] if files else []
    words += [change.step.title for change in plan.steps]
    words += [f"{change.kind} {change.name}" for change in plan.containers]
    return tuple(words[:30])


@dataclass(frozen=True, slots=True)
class PastRun:
    """`code` is None for a run that is still at work, or that ended without a word (a power cut)."""

    id: str
    code: int | None
    about: About


@dataclass(frozen=True, slots=True)
class History:
    """Runs oldest first; `settled` are the releases that went through, in order; `kept` those that can come back."""

    current: str
    runs: tuple[PastRun, ...]
    settled: tuple[str, ...]
    kept: frozenset[str]

    def way_back(self) -> str:
        """The release to return to: the current one when the newest run broke off, else the one before it.

        Raises UsageError when there is none.
        """
        if self.runs and self.runs[-1].code != 0 and self.runs[-1].about.release != self.current and self.current:
            return self.current
        for release in reversed(self.settled):
            if release != self.current and release in self.kept:
                return release
        raise UsageError("there is no earlier release to go back to", hint="ctl history lists what is kept")

    def find(self, release: str) -> str:
        """The kept release of that id, or with that beginning. Raises UsageError."""
        found = [name for name in sorted(self.kept) if name.startswith(release)]
        if len(found) != 1:
            problem = "is not kept on this host" if not found else f"may be {' or '.join(found)}"
            raise UsageError(f"the release {release!r} {problem}", hint="ctl history lists what is kept")
        return found[0]


def parse_history(output: bytes) -> History:
    """The output of `script.history`. Raises CtlError for what is none."""
    current, runs, settled, kept, whole = "", [], [], set(), False
    for line in output.decode("utf-8", "replace").split("\n"):
        kind, *words = line.split("\t")
        whole = whole or kind == "end"
        if kind == "current" and words:
            current = clean(words[0])
        elif kind == "settled" and len(words) == 3:
            settled.append(clean(words[1]))
        elif kind == "release" and words:
            kept.add(clean(words[0]))
        elif kind == "run" and len(words) == 3 and (about := _about(words[2])):
            runs.append(
                PastRun(clean(words[0]), int(words[1]) if re.fullmatch("[0-9]{1,3}", words[1]) else None, about)
            )
    if not whole:
        raise CtlError("the host's history did not arrive whole")
    return History(current, tuple(runs), tuple(settled), frozenset(kept))


def _about(text: str) -> About | None:
    try:
        about = msgspec.json.decode(text, type=About)
    except msgspec.MsgspecError:
        return None
    return About(
        release=clean(about.release),
        previous=clean(about.previous),
        command=clean(about.command, 200),
        who=clean(about.who, 200),
        started=about.started,
        changes=tuple(clean(change, 200) for change in about.changes),
    )
