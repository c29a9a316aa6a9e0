"""Runs commands on a host over one SSH connection.

`ssh_dial` opens the connection, `ssh_trust` knows the host, `ssh_keys` proves who we are, `ssh_errors` translates what
goes wrong. Here are the channels: one for each command, raw, because a Fabric `run` feeds stdin a byte at a time.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from pathlib import Path
from types import TracebackType
from typing import Self

import fabric
import paramiko

from ctl.core.errors import ConnectionLost, InvalidTarget
from ctl.core.ports import Result
from ctl.core.target import is_address, is_user
from ctl.edge.output import CHUNK, Capture, command_bytes
from ctl.edge.ssh_dial import Dial, hang_up
from ctl.edge.ssh_errors import translated

_SESSION_TIMEOUT = 30.0  # seconds for a standing connection to open a session and start a command in it
_KILLED = 255  # the code of a command that ended without one, as ssh itself reports it
# What a lost connection raises in a helping thread. The main one meets the loss too, and reports it.
_LOST = (OSError, EOFError, paramiko.SSHException)
_LAST_WORDS = 0.2  # seconds in which a dying connection is told from a command that was killed


class SshTransport:
    """One host over SSH: connects at the first command, again after a loss, and serves one command at a time.

    An error inside `run` drops the connection, so that no later command meets the remains of an earlier one. What had
    been started on the host may go on there. A command killed by a signal has the code 255.

    `connections` and `channels` count what was opened so far: the price of the work in round trips.
    """

    def __init__(
        self,
        *,
        address: str,
        port: int | None = None,
        user: str | None = None,
        key: Path | None = None,
        known_hosts: Path | None = None,
        accept_new_host_key: bool = False,
        connect_timeout: float = 15,
        ssh_config: bool = True,
    ) -> None:
        """`key`: a private key file. `known_hosts`: None is ~/.ssh/known_hosts. `connect_timeout`: seconds.

        `port` and `user` None, and everything about jump hosts, are left to ssh_config. Raises InvalidTarget.
        """
        # They reach ssh_config's ProxyCommand, and with it a shell.
        if not is_address(address) or (user is not None and not is_user(user)):
            raise InvalidTarget(f"cannot connect to {user!a} at {address!a}", hint="see address and user of the host")
        self._dial = Dial(
            address=address.lower(),
            port=port,
            user=user,
            key=key,
            known_hosts=known_hosts,
            accept_new_host_key=accept_new_host_key,
            connect_timeout=connect_timeout,
            ssh_config=ssh_config,
        )
        self._connection: fabric.Connection | None = None
        self._ahead: Future[fabric.Connection] | None = None
        self.connections = 0
        self.channels = 0

    def connect_ahead(self) -> None:
        """Begin to connect, beside whatever else there is to do; the first command waits for it and meets its error."""
        if self._connection is None and self._ahead is None:
            self._ahead = Future()
            # A daemon: nobody is kept waiting for a connection that is no longer wanted.
            threading.Thread(target=_settle, args=(self._ahead, self._dial.open), daemon=True).start()

    def run(
        self,
        command: str,
        *,
        stdin: bytes = b"",
        timeout: float | None = None,
        on_stdout: Callable[[bytes], None] | None = None,
    ) -> Result:
        request = command_bytes(command)
        transport = self._connected()
        with self._session(transport, request) as channel:
            capture = Capture(on_stdout, timeout)
            self._pump(channel, stdin, capture)
            return capture.result(self._code(transport, channel, capture))

    def close(self) -> None:
        connection, self._connection = self._connection, None
        ahead, self._ahead = self._ahead, None
        if connection is not None:
            hang_up(connection)
        if ahead is not None:
            ahead.add_done_callback(_unwanted)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None:
        self.close()

    @property
    def _peer(self) -> str:
        return self._dial.address

    def _connected(self) -> paramiko.Transport:
        if self._ahead is not None:
            wait([self._ahead])
            ahead, self._ahead = self._ahead, None
            self._connection = ahead.result()
            self.connections += 1
        if self._connection is None or not self._connection.is_connected:
            self.close()
            self._connection = self._dial.open()
            self.connections += 1
        transport: paramiko.Transport = self._connection.transport
        return transport

    @contextlib.contextmanager
    def _session(self, transport: paramiko.Transport, request: bytes) -> Iterator[paramiko.Channel]:
        try:
            with translated(self._peer, running=True):
                channel = transport.open_session(timeout=_SESSION_TIMEOUT)
        except BaseException:
            self.close()
            raise
        self.channels += 1
        try:
            # exec_command waits without a limit; closing the channel under it is what ends the wait.
            alarm = threading.Timer(_SESSION_TIMEOUT, channel.close)
            alarm.daemon = True
            alarm.start()
            try:
                with translated(self._peer, running=True):
                    channel.exec_command(request)
            finally:
                alarm.cancel()
            yield channel
        except BaseException:
            # The connection first: a thread that is stuck in a full socket would hold up the closing of the channel.
            self.close()
            raise
        finally:
            channel.close()

    def _pump(self, channel: paramiko.Channel, stdin: bytes, capture: Capture) -> None:
        """Send stdin and drain both outputs at once until both have ended: each could block the others."""
        workers = [threading.Thread(target=_drain_stderr, args=(channel, capture), daemon=True)]
        if stdin:
            workers.append(threading.Thread(target=_send, args=(channel, stdin, capture), daemon=True))
        else:
            with translated(self._peer, running=True):
                channel.shutdown_write()
        for worker in workers:
            worker.start()
        while True:
            channel.settimeout(capture.patience())
            with translated(self._peer, running=True):
                chunk = _receive(channel.recv)
            if chunk is None:
                continue
            if not chunk:
                break
            capture.stdout(chunk)
        while workers[0].is_alive():
            workers[0].join(capture.patience())

    def _code(self, transport: paramiko.Transport, channel: paramiko.Channel, capture: Capture) -> int:
        while not channel.status_event.wait(capture.patience()):
            pass
        if channel.exit_status >= 0:
            return channel.exit_status
        transport.join(_LAST_WORDS)
        if transport.is_active():
            return _KILLED
        raise ConnectionLost(
            f"the connection to {self._peer} was lost in the middle of a command",
            hint="what was started there may still be at work; look before it is started again",
        )


def _settle(future: Future[fabric.Connection], work: Callable[[], fabric.Connection]) -> None:
    try:
        future.set_result(work())
    except BaseException as error:
        future.set_exception(error)


def _unwanted(future: Future[fabric.Connection]) -> None:
    if future.exception() is None:
        hang_up(future.result())


def _receive(receive: Callable[[int], bytes]) -> bytes | None:
    """A chunk, b"" at the end, None when the channel's timeout passed."""
    try:
        return receive(CHUNK)
    except TimeoutError:
        return None


def _drain_stderr(channel: paramiko.Channel, capture: Capture) -> None:
    with contextlib.suppress(*_LOST):
        while (chunk := _receive(channel.recv_stderr)) != b"":
            if chunk:
                capture.stderr(chunk)


def _send(channel: paramiko.Channel, stdin: bytes, capture: Capture) -> None:
    """Send in slices (`sendall` copies the whole rest for each). A command may end without reading it all."""
    sent = 0
    with contextlib.suppress(*_LOST):
        while sent < len(stdin):
            try:
                taken = channel.send(stdin[sent : sent + CHUNK])
            except TimeoutError:
                continue
            if not taken:
                return
            sent += taken
            capture.alive()
        channel.shutdown_write()
