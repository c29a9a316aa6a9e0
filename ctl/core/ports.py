"""The doors to the world outside: to a host, and to the firewall that a cloud has in front of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    # Few hosts are in a cloud, and what a rule is made from takes long to import.
    from ctl.core.cloud import Group, Rule, Volume


@dataclass(frozen=True, slots=True)
class Result:
    """What a command left behind. Output is bytes: a host's output is data from outside, not text to trust."""

    code: int
    stdout: bytes
    stderr: bytes


class Transport(Protocol):
    """Runs commands on one host. Implementations: `edge/ssh.py`, `edge/local.py`, `edge/fake.py`.

    A transport connects on first use, runs any number of commands, and may be closed twice.
    """

    def run(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        timeout: float | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Result:
        """Run one command line through the login shell of the user and wait for its end.

        `stdin` is sent whole, then closed. `timeout` is in seconds of silence on both outputs (None: no limit).
        With `on_stdout`, chunks are handed over as they arrive and `Result.stdout` stays empty.
        Raises `Unreachable` or one of its children; a command that exits non-zero is a Result, not an error.
        """

    def close(self) -> None: ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...


class Cloud(Protocol):
    """What a cloud knows of one host. Implementation: `edge/aws.py`. Everything raises what that says."""

    def group(self) -> Group:
        """The security group in front of the host, with the rules for what comes in."""

    def open(self, group: str, rules: Iterable[Rule], host: str) -> None:
        """Add rules, marked as this program's for this host; one that is there already is as good."""

    def close(self, group: str, ids: Iterable[str]) -> None:
        """Remove rules by their ids; one that is gone already is as good."""

    def volumes(self) -> tuple[Volume, ...]:
        """The disks of the instance."""
