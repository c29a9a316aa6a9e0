"""Every error a user can meet, its exit code, and what to do about it.

* CtlError ................................. 1
  x UsageError ............................. 2   the command line or a file is wrong
    - InvalidTarget
    - InvalidFile                                file, line and path named
    - UnknownName                                with the nearest known name
    - MissingValue                               a variable or a secret that nobody supplied
    - TemplateFault                              template and line named
  x HostUnfit .............................. 1   the host cannot carry this stack; nothing was changed
  x RunFailed .............................. 1   a step failed on the host
    - Unhealthy ............................ 6   what was applied did not become healthy
  x Locked ................................. 4   another run is at work on the host
  x Unreachable ............................ 5   no connection, or one that cannot be trusted
    - ConnectFailed
    - ConnectTimeout
    - AuthFailed
    - HostKeyUnknown
    - HostKeyChanged
    - ConnectionLost                             in the middle of a command
  x TakenOver .............................. 1   another desktop serves the session now
  x MissingTool ............................ 1   a program that must be on this machine is not
  x Interrupted .......................... 130
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import ClassVar


class CtlError(Exception):
    """What went wrong, in one sentence, and a hint that names the remedy."""

    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CtlError):
    exit_code = 2


class InvalidTarget(UsageError):
    pass


class InvalidFile(UsageError):
    """A file that does not say what it should: `inventory.yaml:12: hosts.prod-1.port: expected int, got str`."""

    def __init__(self, file: str, problem: str, *, line: int | None = None, path: str = "", hint: str = "") -> None:
        where = f"{file}:{line}" if line is not None else file
        super().__init__(": ".join(part for part in (where, path, problem) if part), hint=hint)
        self.file, self.line, self.path, self.problem = file, line, path, problem


class UnknownName(UsageError):
    """A name that is not in the catalogue; the nearest known one is offered."""

    def __init__(self, kind: str, name: str, known: Iterable[str], *, hint: str = "") -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        if near:
            offer = f"did you mean {near[0]}?"
        elif names:
            offer = f"known: {', '.join(names)}"
        else:
            offer = ""
        super().__init__(f"no {kind} is named {name!r}", hint="; ".join(part for part in (offer, hint) if part))


class MissingValue(UsageError):
    pass


class TemplateFault(UsageError):
    """A template that does not render: `templates/services/n8n/compose.yaml.j2:14: 'vars.tz' is undefined`."""

    def __init__(self, template: str, problem: str, *, line: int | None = None, hint: str = "") -> None:
        where = f"{template}:{line}" if line is not None else template
        super().__init__(f"{where}: {problem}", hint=hint)


class HostUnfit(CtlError):
    pass


class RunFailed(CtlError):
    pass


class Unhealthy(RunFailed):
    exit_code = 6


class Locked(CtlError):
    exit_code = 4


class Unreachable(CtlError):
    exit_code = 5


class ConnectFailed(Unreachable):
    pass


class ConnectTimeout(Unreachable):
    pass


class AuthFailed(Unreachable):
    pass


class HostKeyUnknown(Unreachable):
    pass


class HostKeyChanged(Unreachable):
    pass


class ConnectionLost(Unreachable):
    pass


class TakenOver(CtlError):
    pass


class MissingTool(CtlError):
    pass


class Interrupted(CtlError):
    exit_code = 130
