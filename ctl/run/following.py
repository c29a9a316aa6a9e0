"""A run's log, read once from its first byte to its last, over as many connections as it takes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from ctl.core import script
from ctl.core.errors import ConnectFailed, ConnectionLost, ConnectTimeout, RunFailed, Unreachable
from ctl.core.ports import Result, Transport
from ctl.core.report import Event, Log, Outcome
from ctl.run.asking import refused

RECONNECT_PAUSES = (0.2, 0.5, 1, 2, *(5,) * 60)
"""Seconds between attempts to get back to a run: some five minutes in all, anew whenever something was heard of it."""


@dataclass(frozen=True, slots=True)
class Watch:
    """Who applies a plan, under which name, and how they follow it. `started` is in seconds since 1970."""

    run_id: str
    command: str
    who: str
    started: int
    listen: Callable[[Event], None]
    detach: bool = False
    sleep: Callable[[float], None] = time.sleep


class Follower:
    """Reads a run's log once, from its first byte to its last, over as many connections as it takes."""

    def __init__(self, transport: Transport, host: str, root: str, watch: Watch) -> None:
        self.transport, self.host, self.root, self.watch = transport, host, root, watch
        self.log = Log()
        self.outcome = Outcome(run=watch.run_id)

    def start(self, archive: bytes) -> None:
        try:
            result = self._send(archive)
        except (ConnectionLost, ConnectFailed, ConnectTimeout):
            # The host has answered before: it was there when this was planned.
            self.go_on(archive)
            return
        if not self.log.seen and result.code not in {0, script.ABSENT, script.DIED}:
            raise refused(result, self.host)
        if not self.watch.detach and self.outcome.code is None and result.code != script.DIED:
            self.go_on(archive)

    def go_on(self, archive: bytes | None) -> None:
        """Follow from where the log was last read, until the run has ended; start it if it never began."""
        pauses, pause = iter(RECONNECT_PAUSES), 0.0
        while True:
            self.watch.sleep(pause)
            if self.outcome.code is not None:
                return
            self.log.broken()
            heard = self.log.seen
            try:
                result = self._follow(archive)
                if self.outcome.code is not None or result.code in {0, script.DIED}:
                    return
                if result.code == script.ABSENT:
                    raise RunFailed(
                        f"there is no run {self.watch.run_id} on {self.host}", hint=f"ctl history {self.host}"
                    )
                if not self.log.seen:
                    raise refused(result, self.host)
                # Whatever followed the log there was ended; the run itself is another process.
                raise ConnectionLost(f"{self.host} ended what followed the run (exit code {result.code})")
            except Unreachable as error:
                if self.log.seen > heard:
                    pauses = iter(RECONNECT_PAUSES)
                pause = next(pauses, -1)
                if pause < 0:
                    raise ConnectionLost(
                        f"{error.message}; the run {self.watch.run_id} may still be at work on {self.host}",
                        hint=f"ctl attach {self.host} follows it later",
                    ) from error

    def _follow(self, archive: bytes | None) -> Result:
        if self.watch.detach and archive is not None:
            return self._send(archive)
        command = script.as_root(script.follow(self.root, self.watch.run_id, self.log.seen))
        result = self.transport.run(command, on_stdout=self.take)
        return self._send(archive) if result.code == script.ABSENT and archive is not None else result

    def _send(self, archive: bytes) -> Result:
        command = script.as_root(script.start(self.root, self.watch.run_id, follow=not self.watch.detach))
        return self.transport.run(command, stdin=archive, on_stdout=self.take)

    def take(self, chunk: bytes) -> None:
        for event in self.log.feed(chunk):
            self.outcome.take(event)
            self.watch.listen(event)
