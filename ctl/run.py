"""The order of work on a host: probe, plan, confirm, apply, report. Hosts come as transports; nothing here prints."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from ctl.core import probe, script
from ctl.core.errors import ConnectionLost, CtlError, HostUnfit, RunFailed
from ctl.core.plan import FileChange, Plan, plan, preflight
from ctl.core.ports import Result, Transport
from ctl.core.probe import Facts
from ctl.core.release import Release
from ctl.core.report import Event, Log, Outcome, locked
from ctl.core.template import Templates

PROBE_SECONDS = 60
MAX_FETCH = 16 * 1024 * 1024
RECONNECTS = 20


@dataclass(frozen=True, slots=True)
class Aim:
    """What is to be on one host, and which part of it this command is about."""

    release: Release
    templates: Templates
    phases: Collection[int] = (1, 2, 3, 4)
    only: Collection[str] = ()


def look(transport: Transport, aim: Aim, *, externals: bool = False) -> Facts:
    """One round trip. Raises Unreachable, HostUnfit."""
    text = script.probe(aim.release, aim.templates, externals=externals)
    result = transport.run(script.as_root(text), timeout=PROBE_SECONDS)
    if result.code != 0 and b"ctl-probe\t1" not in result.stdout:
        raise _refused(result, aim.release.host)
    return probe.parse(result.stdout)


def propose(transport: Transport, aim: Aim) -> Plan:
    """Probe and plan, and whether the host can carry it. Nothing is changed. Raises HostUnfit, Unreachable."""
    facts = look(transport, aim)
    preflight(aim.release, facts)
    return plan(aim.release, facts, phases=aim.phases, only=aim.only)


def propose_bare(aim: Aim) -> Plan:
    """The plan for a host on which nothing is there yet, without asking it."""
    return plan(aim.release, Facts(), phases=aim.phases, only=aim.only)


def contents(transport: Transport, changes: Iterable[FileChange]) -> Mapping[str, bytes]:
    """What stands on the host now in the files that would change, for a diff. Sensitive files are not fetched."""
    paths = [change.path for change in changes if change.was and not (change.after and change.after.sensitive)]
    if not paths:
        return {}
    result = transport.run(script.as_root(script.fetch(paths)), timeout=PROBE_SECONDS)
    if len(result.stdout) > MAX_FETCH:
        raise RunFailed("the files to compare are too large")
    found: dict[str, bytes] = {}
    with tarfile.open(fileobj=io.BytesIO(result.stdout)) as tar:
        for entry in tar:
            if entry.isfile() and (file := tar.extractfile(entry)):
                found["/" + entry.name.lstrip("/")] = file.read()
    return found


def apply(
    transport: Transport, todo: Plan, templates: Templates, *, run_id: str, holder: str, listen: Callable[[Event], None]
) -> Outcome:
    """Start the run, follow its log to the end, through lost connections. Raises RunFailed's children, Locked."""
    if todo.facts.locked:
        raise locked(todo.release.host, todo.facts.lock)
    outcome = _Follower(transport, todo.release, run_id, listen)
    outcome.start(script.archive(todo, templates, holder=holder))
    outcome.outcome.raise_for_failure(todo.release.host)
    return outcome.outcome


class _Follower:
    """Reads a run's log once, from its first byte to its last, over as many connections as it takes."""

    def __init__(self, transport: Transport, release: Release, run_id: str, listen: Callable[[Event], None]) -> None:
        self.transport, self.release, self.run_id, self.listen = transport, release, run_id, listen
        self.log = Log()
        self.outcome = Outcome(run=run_id)

    def start(self, archive: bytes) -> None:
        command = script.as_root(script.start(self.release.root, self.run_id))
        try:
            result = self.transport.run(command, stdin=archive, on_stdout=self.take)
        except ConnectionLost:
            self.go_on()
            return
        if self.outcome.code is None and not self.log.seen:
            raise _refused(result, self.release.host)
        self.go_on()

    def go_on(self) -> None:
        """Follow from where the log was last read, until the run has said how it ended."""
        for attempt in range(RECONNECTS):
            if self.outcome.code is not None:
                return
            self.log.broken()
            command = script.as_root(script.follow(self.release.root, self.run_id, self.log.seen))
            before = self.log.seen
            try:
                self.transport.run(command, on_stdout=self.take)
            except ConnectionLost:
                if attempt == RECONNECTS - 1:
                    raise
                continue
            if self.log.seen == before:
                return

    def take(self, chunk: bytes) -> None:
        for event in self.log.feed(chunk):
            self.outcome.take(event)
            self.listen(event)


def _refused(result: Result, host: str) -> CtlError:
    """Why the host did not run our script as root at all."""
    said = probe.clean(result.stderr.decode("utf-8", "replace").strip(), 500)
    if "password is required" in said or "terminal is required" in said:
        return HostUnfit(f"sudo on {host} wants a password", hint="allow it without (NOPASSWD), or deploy as root")
    if "sudo" in said and ("not found" in said or result.code == 127):
        return HostUnfit(f"there is no sudo on {host}", hint="deploy as root, or install sudo")
    if "not in the sudoers" in said or "not allowed" in said:
        return HostUnfit(
            f"this user may not use sudo on {host}", hint="add the user to the sudo group, or deploy as root"
        )
    return RunFailed(f"{host} did not run the script (exit code {result.code}): {said or 'it said nothing'}")
