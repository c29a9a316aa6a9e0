"""Runs commands on this machine, as `edge/ssh.py` runs them on another."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from ctl.core.errors import MissingTool, RunFailed
from ctl.core.ports import Result
from ctl.edge.output import CHUNK, Capture, command_bytes

_GRACE = 2.0  # seconds between SIGTERM and SIGKILL


class LocalTransport:
    """`/bin/sh -c command` in the user's home directory, in a session of its own.

    As over SSH there is no terminal, Ctrl-C at ctl is not Ctrl-C at the command, and the end of a command is the end
    of its outputs: a background child that holds them open is waited for. A command killed by signal n has the code
    128 + n. A command that says nothing for `timeout` seconds is ended, and ConnectionLost raised.
    """

    def run(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        timeout: float | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Result:
        request = command_bytes(command)
        capture = Capture(on_stdout, timeout)
        with _started(request) as process:
            try:
                _pump(process, stdin, capture)
                try:
                    code = process.wait(capture.patience())
                except subprocess.TimeoutExpired:
                    capture.patience()
                    raise
            finally:
                _end(process)
        return capture.result(code if code >= 0 else 128 - code)

    def close(self) -> None:
        """Nothing is held open between commands."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()


def _started(request: bytes) -> subprocess.Popen[bytes]:
    home = Path(os.path.expanduser("~"))  # noqa: PTH111 - Path.home() raises where a user has none
    pipe = subprocess.PIPE
    try:
        return subprocess.Popen(
            [b"/bin/sh", b"-c", request],
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            cwd=home if home.is_dir() else "/",
            start_new_session=True,
        )
    except FileNotFoundError as error:
        raise MissingTool("there is no /bin/sh on this machine") from error
    except OSError as error:
        raise RunFailed(f"this machine cannot start a command: {error.strerror}") from error


def _pump(process: subprocess.Popen[bytes], stdin: bytes, capture: Capture) -> None:
    """Send stdin and drain both outputs, whichever is ready, until both outputs have ended."""
    into, out, err = (cast(IO[bytes], pipe) for pipe in (process.stdin, process.stdout, process.stderr))
    takers: dict[object, Callable[[bytes], None]] = {out: capture.stdout, err: capture.stderr}
    rest = memoryview(stdin)
    with selectors.DefaultSelector() as selector:
        for output in (out, err):
            selector.register(output, selectors.EVENT_READ)
        if rest:
            os.set_blocking(into.fileno(), False)
            selector.register(into, selectors.EVENT_WRITE)
        else:
            into.close()
        open_outputs = len(takers)
        while open_outputs:
            for key, _ in selector.select(capture.patience()):
                if key.fileobj is into:
                    rest = rest[_write(into, rest) :]
                    capture.alive()
                    if not rest:
                        selector.unregister(into)
                        into.close()
                elif chunk := os.read(key.fd, CHUNK):
                    takers[key.fileobj](chunk)
                else:
                    selector.unregister(key.fileobj)
                    open_outputs -= 1


def _write(stream: IO[bytes], rest: memoryview) -> int:
    """Bytes done with: those taken, or all of them when the command no longer reads (`head -1`), which is its right."""
    try:
        return os.write(stream.fileno(), rest[:CHUNK])
    except BlockingIOError:
        return 0
    except BrokenPipeError:
        return len(rest)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Let nothing outlive an abandoned command; a finished one is left alone."""
    for stream in (process.stdin, process.stdout, process.stderr):
        if stream is not None:
            with contextlib.suppress(BrokenPipeError):
                stream.close()
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, sign)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE)
