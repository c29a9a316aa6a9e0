"""A host that exists only in a test: scripted answers, no I/O, every command remembered.

host = FakeTransport([("uname -m", Result(0, b"x86_64\\n", b"")), (is_probe, ConnectionLost("gone"))])
host = FakeTransport(lambda command, stdin: Result(0, stdin, b""))
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from ctl.core.errors import Unreachable
from ctl.core.ports import Result
from ctl.edge.output import command_bytes

Answer = Result | Exception
Handler = Callable[[str, bytes], Answer]
Script = Sequence[tuple[str | Callable[[str], bool], Answer]]


@dataclass(frozen=True, slots=True)
class Call:
    """One command as it was asked for. `timeout` is in seconds."""

    command: str
    stdin: bytes
    timeout: float | None


class FakeTransport:
    """Answers from a handler `(command, stdin) -> Result | Exception`, or from a script.

    A script is a sequence of (text, answer) or (predicate, answer): the first entry whose text occurs in the command,
    or whose predicate holds for it, answers, as often as it is asked. A command that nothing answers raises
    LookupError; without a script, that is every command. An answer that is an exception is raised; if it is an
    Unreachable, the connection counts as lost.

    `calls` are the commands in order, `connections` and `channels` what they would have cost over SSH, `connected`
    whether a connection is open now.
    """

    def __init__(self, answers: Handler | Script = (), *, chunk: int = 2**15) -> None:
        """`chunk`: bytes of stdout handed to `on_stdout` at once."""
        self._answer = answers if callable(answers) else _scripted(answers)
        self._chunk = chunk
        self.calls: list[Call] = []
        self.connections = 0
        self.channels = 0
        self.connected = False

    def run(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        timeout: float | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Result:
        command_bytes(command)
        if not self.connected:
            self.connected = True
            self.connections += 1
        self.channels += 1
        self.calls.append(Call(command, stdin, timeout))
        answer = self._answer(command, stdin)
        if isinstance(answer, Exception):
            if isinstance(answer, Unreachable):
                self.connected = False
            raise answer
        if on_stdout is None:
            return answer
        for start in range(0, len(answer.stdout), self._chunk):
            on_stdout(answer.stdout[start : start + self._chunk])
        return Result(answer.code, b"", answer.stderr)

    def close(self) -> None:
        self.connected = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


def _scripted(script: Script) -> Handler:
    def answer(command: str, stdin: bytes) -> Answer:  # noqa: ARG001 - a script looks at commands only
        for wanted, said in script:
            if wanted(command) if callable(wanted) else wanted in command:
                return said
        raise LookupError(f"no answer is scripted for {command!r}")

    return answer
