"""The order of work on a host: probe, plan, confirm, apply, report. Hosts come as transports; nothing here prints."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from ctl.core import graphics, probe, script
from ctl.core.addition import difference, room
from ctl.core.entrance import ANYBODY, Entrance
from ctl.core.errors import CtlError, HostUnfit, Locked, RunFailed, Unhealthy
from ctl.core.fitness import preflight
from ctl.core.history import About, History, parse_history, summary
from ctl.core.plan import FileChange, Plan, plan
from ctl.core.ports import Transport
from ctl.core.probe import Facts
from ctl.core.release import Release, load_release
from ctl.core.report import Event, Outcome, locked
from ctl.core.template import Templates
from ctl.run.asking import ask, peer, refused, untar
from ctl.run.following import Follower, Watch

HOSTS_AT_ONCE = 16
T = TypeVar("T")
MAX_FETCH = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Aim:
    """What is to be on one host, and which part of it this command is about."""

    release: Release
    templates: Templates
    phases: Collection[int] = (1, 2, 3, 4)
    only: Collection[str] = ()
    attended: bool = False
    """Whether somebody is there for the interactive steps."""
    since: Aim | None = None
    """Only what is not as here, which is what the host was to be until now; all of it, or nothing."""
    spared: Collection[str] = ()
    """Services that stay as they are all the same."""
    entrance: Entrance = ANYBODY
    """Who may come in by SSH once phase 1 is through."""
    carded: Callable[[], Release] | None = None
    """Renders it for a host with a graphics card, where that is left to the host."""

    def on(self, facts: Facts) -> Aim:
        """The same on a host that said this of itself: what is left to it is decided."""
        release = self.carded() if self.carded and graphics.decided(facts) else self.release
        return replace(self, release=release, carded=None, since=self.since and self.since.on(facts))


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


def look(transport: Transport, aim: Aim, *, live: bool = False) -> Facts:
    """One round trip. Raises Unreachable, HostUnfit."""
    text = script.probe(aim.release, aim.templates, live=live)
    result = ask(transport, text)
    if result.code != 0 and b"ctl-probe\t1" not in result.stdout:
        raise refused(result, aim.release.host)
    return probe.parse(result.stdout)


def propose(transport: Transport, aim: Aim, *, wait: float = 0, sleep: Callable[[float], None] = time.sleep) -> Plan:
    """Probe and plan, and whether the host can carry it. Nothing is changed. Raises HostUnfit, Unreachable, Locked.

    With `wait` (seconds), as long as another run is at work, it looks again. Raises UsageError where the rules for SSH
    would shut us out.
    """
    if 1 in aim.phases and not aim.entrance.open:
        aim.entrance.guard(peer(transport), aim.release.host)
    facts = look(transport, aim)
    while facts.locked and wait > 0:
        sleep(min(2.0, wait))
        wait -= 2
        facts = look(transport, aim)
    aim = aim.on(facts)
    if aim.since:
        _ready(aim.since.release, aim.release, facts)
    todo = plan(aim.release, facts, phases=aim.phases, only=aim.only, attended=aim.attended)
    preflight(todo)
    return difference(todo, aim.since.release, aim.spared) if aim.since else todo


def _ready(before: Release, after: Release, facts: Facts) -> None:
    """Whether a part of what the host was to be can change. Raises HostUnfit, Locked."""
    if not facts.current:
        raise HostUnfit(
            f"nothing is deployed on {after.host}", hint=f"ctl deploy {after.host} brings what the inventory says"
        )
    if facts.locked:
        raise locked(after.host, facts.lock)
    room(before, after, facts)


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
    result = ask(transport, script.fetch(paths))
    if len(result.stdout) > MAX_FETCH:
        raise RunFailed("the files to compare are too large")
    return {"/" + name.lstrip("/"): content for name, content in untar(result.stdout).items()}


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
    follower = Follower(transport, todo.release.host, todo.release.root, watch)
    follower.start(script.archive(todo, aim.templates, about=about))
    if not watch.detach:
        follower.outcome.raise_for_failure(todo.release.host)
    return follower.outcome


def bring(transport: Transport, todo: Plan, aim: Aim, watch: Watch, *, rollback: bool, wait: float = 0) -> Outcome:
    """Apply; if what came up is not healthy, bring back the release that was there before, and say so.

    Where all of it or nothing is wanted (`aim.since`), whatever fails is a reason to. When another run was quicker and
    there is time to `wait` (seconds), plan anew after it; what was planned for the host before is worth nothing then.
    Raises as `apply` does.
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
    except RunFailed as error:
        before = todo.facts.current
        enough = isinstance(error, Unhealthy) or aim.since is not None
        if not (rollback and enough) or not before or before == todo.release.id:
            raise
        watch.listen(Event("rollback", (before,)))
        try:
            again = replace(
                watch, run_id=f"{watch.run_id}-back", command="automatic rollback", started=int(time.time())
            )
            go_back(transport, aim, before, again)
        except CtlError as second:
            raise type(error)(
                f"{error.message}\nand release {before} could not be brought back: {second.message}", hint=second.hint
            ) from error
        raise type(error)(f"{error.message}\nrelease {before} is back in its place", hint=error.hint) from error


def attach(transport: Transport, host: str, root: str, watch: Watch) -> Outcome:
    """Follow a run that is at work, or read the log of one that has ended. Raises as `apply` does."""
    follower = Follower(transport, host, root, watch)
    follower.go_on(None)
    follower.outcome.raise_for_failure(host)
    return follower.outcome


def history(transport: Transport, host: str, root: str) -> History:
    result = ask(transport, script.history(root))
    if result.code != 0:
        raise refused(result, host)
    return parse_history(result.stdout)


def kept_release(transport: Transport, host: str, root: str, release_id: str) -> Release:
    """A release as it is kept on the host, whole. Raises RunFailed, InvalidFile."""
    result = ask(transport, script.fetch_release(root, release_id))
    if result.code != 0:
        raise RunFailed(f"{host} does not have the release {release_id}", hint=f"ctl history {host}")
    members = untar(result.stdout)
    blobs = {name.removeprefix("files/"): content for name, content in members.items() if name.startswith("files/")}
    return load_release(members.get("release.json", b""), blobs)


def go_back(transport: Transport, aim: Aim, release_id: str, watch: Watch) -> Plan:
    """Bring a kept release back, by the same plan and apply; of a part only that part. Raises what they raise."""
    kept = kept_release(transport, aim.release.host, aim.release.root, release_id)
    until_now = replace(aim, since=None) if aim.since else None
    old = replace(aim, release=kept, carded=None, since=until_now, spared=())
    todo = propose(transport, old)
    if todo:
        apply(transport, todo, old, watch)
    return todo
