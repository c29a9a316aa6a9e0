"""What a transport keeps of the output of a command, and what it may send: bounded, for a host is not to be trusted."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from ctl.core.errors import ConnectionLost, RunFailed
from ctl.core.ports import Result

STDOUT_LIMIT = 64 * 2**20  # bytes kept when nobody takes stdout as it comes; more is an error
STDERR_KEPT = 2**20  # bytes: the tail, where the reason stands
CHUNK = 2**15  # bytes read or written at once; the largest payload that OpenSSH takes in one message
_LONGEST_COMMAND = 128 * 2**10 - 1  # bytes; Linux gives one argument of a program no more


def command_bytes(command: str) -> bytes:
    """The command as the host's shell will get it. Raises ValueError for what no shell can be given."""
    request = command.encode("utf-8", "surrogateescape")
    if b"\0" in request:
        raise ValueError("a command cannot hold a NUL")
    if len(request) > _LONGEST_COMMAND:
        raise ValueError(f"a command of {len(request)} bytes is too long for one argument; send the payload on stdin")
    return request


class Capture:
    """The outputs of one running command, and the moment of its last sign of life.

    `stdout` is fed by one thread and `stderr` by one thread, which may be two. A sign of life is a chunk on either
    output, or a chunk of stdin that the other side has taken: a long upload is not silence.
    """

    def __init__(self, on_stdout: Callable[[bytes], None] | None, timeout: float | None) -> None:
        self._on_stdout = on_stdout
        self._timeout = timeout
        self._heard = time.monotonic()
        self._stdout: list[bytes] = []
        self._stdout_size = 0
        self._stderr: deque[bytes] = deque()
        self._stderr_size = 0

    def stdout(self, chunk: bytes) -> None:
        """Keep a chunk or hand it over. Raises RunFailed past STDOUT_LIMIT, and whatever the taker raises."""
        self.alive()
        if self._on_stdout is not None:
            self._on_stdout(chunk)
            return
        self._stdout_size += len(chunk)
        if self._stdout_size > STDOUT_LIMIT:
            raise RunFailed(
                f"the command wrote more than {STDOUT_LIMIT >> 20} MiB to its output and was abandoned",
                hint="what is that long is taken as it comes, or written to a file on the host",
            )
        self._stdout.append(chunk)

    def stderr(self, chunk: bytes) -> None:
        self.alive()
        self._stderr.append(chunk)
        self._stderr_size += len(chunk)
        while self._stderr_size - len(self._stderr[0]) >= STDERR_KEPT:
            self._stderr_size -= len(self._stderr.popleft())

    def alive(self) -> None:
        self._heard = time.monotonic()

    def patience(self) -> float | None:
        """Seconds that the silence may still last (None: for ever). Raises ConnectionLost when there are none left."""
        if self._timeout is None:
            return None
        left = self._heard + self._timeout - time.monotonic()
        if left <= 0:
            raise ConnectionLost(
                f"the command said nothing for {self._timeout:g} s",
                hint="it may still be at work on the host; look there before it is started again",
            )
        return left

    def result(self, code: int) -> Result:
        return Result(code, b"".join(self._stdout), b"".join(self._stderr)[-STDERR_KEPT:])
