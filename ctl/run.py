"""The order of work on a host: probe, plan, confirm, apply, report. Hosts come as transports; nothing here prints."""

from __future__ import annotations

import io
import tarfile
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from ctl.core import probe, script
from ctl.core.errors import (
    ConnectFailed,
    ConnectionLost,
    ConnectTimeout,
    CtlError,
    HostUnfit,
    Locked,
    RunFailed,
    Unhealthy,
    Unreachable,
)
from ctl.core.history import About, History, parse_history, summary
from ctl.core.plan import FileChange, Plan, plan, preflight
from ctl.core.ports import Result, Transport
from ctl.core.probe import Facts
from ctl.core.release import Release, load_release
from ctl.core.report import Event, Log, Outcome, locked
from ctl.core.template import Templates

PROBE_SECONDS = 60
HOSTS_AT_ONCE = 16
T = TypeVar("T")
MAX_FETCH = 16 * 1024 * 1024
RECONNECT_PAUSES = (0.2, 0.5, 1, 2, *(5,) * 60)
"""Seconds between attempts to get back to a run: some five minutes in all, anew whenever something was heard of it."""
ASK_PAUSES = (0.2, 0.5, 1, 2, 5)
"""Seconds between attempts to ask again what a lost connection left without an answer."""


@dataclass(frozen=True, slots=True)
class Aim:
    """What is to be on one host, and which part of it this command is about."""

    release: Release
    templates: Templates
    phases: Collection[int] = (1, 2, 3, 4)
    only: Collection[str] = ()


def each(works: Sequence[Callable[[], T]]) -> list[T | CtlError]:
    """Every host's work, side by side; in place of a result that host's error, which stops no other."""

    def one(work: Callable[[], T]) -> T | CtlError:
        try:
            return work()
        except CtlError as error:
            return error

    if len(works) == 1:
        return [one(works[0])]
    with ThreadPoolExecutor(max_workers=HOSTS_AT_ONCE) as pool:
        return list(pool.map(one, works))


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


def look(transport: Transport, aim: Aim, *, externals: bool = False) -> Facts:
    """One round trip. Raises Unreachable, HostUnfit."""
    text = script.probe(aim.release, aim.templates, externals=externals)
    result = _ask(transport, text)
    if result.code != 0 and b"ctl-probe\t1" not in result.stdout:
        raise _refused(result, aim.release.host)
    return probe.parse(result.stdout)


def _ask(transport: Transport, text: str) -> Result:
    """Run sh text that changes nothing. A connection that is lost meanwhile is made again; one that never stood is not.

    Raises Unreachable.
    """
    pauses, stood = iter(ASK_PAUSES), False
    while True:
        try:
            return transport.run(script.as_root(text), timeout=PROBE_SECONDS)
        except Unreachable as error:
            stood = stood or isinstance(error, ConnectionLost)
            pause = next(pauses, None) if stood else None
            if pause is None:
                raise
            time.sleep(pause)


def propose(transport: Transport, aim: Aim, *, wait: float = 0, sleep: Callable[[float], None] = time.sleep) -> Plan:
    """Probe and plan, and whether the host can carry it. Nothing is changed. Raises HostUnfit, Unreachable.

    With `wait` (seconds), as long as another run is at work, it looks again.
    """
    facts = look(transport, aim)
    while facts.locked and wait > 0:
        sleep(min(2.0, wait))
        wait -= 2
        facts = look(transport, aim)
    preflight(aim.release, facts)
    return plan(aim.release, facts, phases=aim.phases, only=aim.only)


def propose_bare(aim: Aim) -> Plan:
    """The plan for a host on which nothing is there yet, without asking it."""
    return plan(aim.release, Facts(), phases=aim.phases, only=aim.only)


def contents(transport: Transport, changes: Iterable[FileChange]) -> Mapping[str, bytes]:
    """What stands on the host now in the files that would change, for a diff. Sensitive files are not fetched."""
    paths = [
        change.path for change in changes if change.kind == "update" and change.after and not change.after.sensitive
    ]
    if not paths:
        return {}
    result = _ask(transport, script.fetch(paths))
    if len(result.stdout) > MAX_FETCH:
        raise RunFailed("the files to compare are too large")
    return {"/" + name.lstrip("/"): content for name, content in _untar(result.stdout).items()}


def apply(transport: Transport, todo: Plan, aim: Aim, watch: Watch) -> Outcome:
    """Start the run, follow its log to the end, through lost connections. Raises RunFailed's children, Locked."""
    if todo.facts.locked:
        raise locked(todo.release.host, todo.facts.lock)
    about = About(
        release=todo.release.id,
        previous=todo.facts.current,
        command=watch.command,
        who=watch.who,
        started=watch.started,
        changes=summary(todo),
    )
    follower = _Follower(transport, todo.release.host, todo.release.root, watch)
    follower.start(script.archive(todo, aim.templates, about=about))
    if not watch.detach:
        follower.outcome.raise_for_failure(todo.release.host)
    return follower.outcome


def bring(transport: Transport, todo: Plan, aim: Aim, watch: Watch, *, rollback: bool, wait: float = 0) -> Outcome:
    """Apply; if what came up is not healthy, bring back the release that was there before, and say so.

    When another run was quicker and there is time to `wait` (seconds), plan anew after it; what was planned for the
    host before is worth nothing then. Raises as `apply` does.
    """
    try:
        return apply(transport, todo, aim, watch)
    except Locked:
        if wait <= 0:
            raise
        began = time.monotonic()
        todo = propose(transport, aim, wait=wait, sleep=watch.sleep)
        if not todo:
            return Outcome(run=watch.run_id, code=0)
        left = wait - max(time.monotonic() - began, 1)
        return bring(transport, todo, aim, replace(watch, run_id=f"{watch.run_id}-again"), rollback=rollback, wait=left)
    except Unhealthy as error:
        before = todo.facts.current
        if not rollback or not before or before == todo.release.id:
            raise
        watch.listen(Event("rollback", (before,)))
        try:
            again = replace(
                watch, run_id=f"{watch.run_id}-back", command="automatic rollback", started=int(time.time())
            )
            go_back(transport, aim, before, again)
        except CtlError as second:
            raise Unhealthy(
                f"{error.message}\nand release {before} could not be brought back: {second.message}", hint=second.hint
            ) from error
        raise Unhealthy(f"{error.message}\nrelease {before} is back in its place", hint=error.hint) from error


def attach(transport: Transport, host: str, root: str, watch: Watch) -> Outcome:
    """Follow a run that is at work, or read the log of one that has ended. Raises as `apply` does."""
    follower = _Follower(transport, host, root, watch)
    follower.go_on(None)
    follower.outcome.raise_for_failure(host)
    return follower.outcome


def history(transport: Transport, host: str, root: str) -> History:
    result = _ask(transport, script.history(root))
    if result.code != 0:
        raise _refused(result, host)
    return parse_history(result.stdout)


def kept_release(transport: Transport, host: str, root: str, release_id: str) -> Release:
    """A release as it is kept on the host, whole. Raises RunFailed, InvalidFile."""
    result = _ask(transport, script.fetch_release(root, release_id))
    if result.code != 0:
        raise RunFailed(f"{host} does not have the release {release_id}", hint=f"ctl history {host}")
    members = _untar(result.stdout)
    blobs = {name.removeprefix("files/"): content for name, content in members.items() if name.startswith("files/")}
    return load_release(members.get("release.json", b""), blobs)


def go_back(transport: Transport, aim: Aim, release_id: str, watch: Watch) -> Plan:
    """Bring a kept release back, by the same plan and apply. Raises what they raise."""
    old = replace(aim, release=kept_release(transport, aim.release.host, aim.release.root, release_id))
    todo = propose(transport, old)
    if todo:
        apply(transport, todo, old, watch)
    return todo


class _Follower:
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
            raise _refused(result, self.host)
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
                    raise _refused(result, self.host)
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


def _untar(data: bytes) -> dict[str, bytes]:
    """Regular files of a tar by name. What a host sends is bounded by the transport."""
    found: dict[str, bytes] = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for entry in tar:
                if entry.isfile() and (file := tar.extractfile(entry)):
                    found[entry.name] = file.read()
    except tarfile.TarError as error:
        raise RunFailed(f"the host sent no archive: {error}") from error
    return found


def _refused(result: Result, host: str) -> CtlError:
    """Why the host did not run our script as root at all."""
    said = probe.clean(result.stderr.decode("utf-8", "replace").strip(), 500)
    if "No space left on device" in said:
        return HostUnfit(f"there is no space left on {host}: {said.splitlines()[0]}", hint="free some room there")
    if "password is required" in said or "terminal is required" in said:
        return HostUnfit(f"sudo on {host} wants a password", hint="allow it without (NOPASSWD), or deploy as root")
    if "sudo" in said and ("not found" in said or result.code == 127):
        return HostUnfit(f"there is no sudo on {host}", hint="deploy as root, or install sudo")
    if "not in the sudoers" in said or "not allowed" in said:
        return HostUnfit(
            f"this user may not use sudo on {host}", hint="add the user to the sudo group, or deploy as root"
        )
    return RunFailed(f"{host} did not run the script (exit code {result.code}): {said or 'it said nothing'}")
