"""Release against Facts: what would change, in phase order. Empty when there is nothing to do."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from ctl.core.probe import ContainerFact, Facts, FileFact
from ctl.core.release import PHASES, Container, File, Release, Step
from ctl.core.secret import KEEPSAKE


@dataclass(frozen=True, slots=True)
class FileChange:
    """`after` is None for a file that goes. `drift`: someone else changed it since it was put there."""

    path: str
    phase: int
    kind: Literal["create", "update", "mode", "delete"]
    after: File | None
    was: FileFact | None = None
    drift: bool = False


@dataclass(frozen=True, slots=True)
class StepChange:
    step: Step
    reason: str

    @property
    def phase(self) -> int:
        return self.step.phase


Doing = Literal["create", "recreate", "start", "restart", "remove", "roll", "scale"]
"""What is done to the container of a name. `roll` replaces its replicas one by one, `scale` changes their number."""


@dataclass(frozen=True, slots=True)
class ContainerChange:
    """`id` is that of the container that is there now, or empty."""

    name: str
    phase: int
    kind: Doing
    reason: str
    container: Container | None = None
    id: str = ""
    upgrade: bool = False
    """Another image takes over the data of the one that is there."""


Change = FileChange | StepChange | ContainerChange


@dataclass(frozen=True, slots=True)
class Plan:
    release: Release
    facts: Facts
    changes: tuple[Change, ...]
    whole: bool = False
    """Nothing was left out of it."""
    waiting: tuple[Step, ...] = ()
    """Interactive steps that are left for a person at a terminal."""

    def __bool__(self) -> bool:
        return bool(self.changes) or self.unrecorded

    @property
    def unrecorded(self) -> bool:
        """The host is as it should be, but does not know it: what brought it there was broken off at its very end."""
        return self.whole and not self.changes and self.release.id != self.facts.current

    @property
    def files(self) -> tuple[FileChange, ...]:
        return tuple(change for change in self.changes if isinstance(change, FileChange))

    @property
    def steps(self) -> tuple[StepChange, ...]:
        return tuple(change for change in self.changes if isinstance(change, StepChange))

    @property
    def containers(self) -> tuple[ContainerChange, ...]:
        return tuple(change for change in self.changes if isinstance(change, ContainerChange))

    @property
    def drift(self) -> tuple[Change, ...]:
        """What is not as the last run left it, though nobody asked for a change."""
        return tuple(change for change in self.changes if _is_drift(change, self))

    def applied_after(self) -> str:
        """The record of managed files as it will be once this plan is through: `sha mode owner path`, a line each.

        A file that somebody removed is forgotten: what stands at its path one day will not be ours.
        """
        record = {path: was for path, was in self.facts.applied.items() if path in self.facts.files}
        for change in self.files:
            if change.after is None:
                record.pop(change.path, None)
        done = {change.path for change in self.files}
        for file in self.release.files:
            if file.path in done or _same(self.facts.files.get(file.path), file):
                record[file.path] = FileFact(file.sha, file.mode, file.owner)
        return "".join(f"{was.sha}\t{was.mode:04o}\t{was.owner}\t{path}\n" for path, was in sorted(record.items()))


def plan(
    release: Release,
    facts: Facts,
    *,
    phases: Collection[int] = (1, 2, 3, 4),
    only: Collection[str] = (),
    attended: bool = False,
) -> Plan:
    """All changes that bring the host to the release; `phases` and `only` (service names) select a part of them.

    Interactive steps are changes only if somebody is there to attend to them.
    """
    files = tuple(_files(release, facts))
    touched = {change.path for change in files}
    steps = tuple(_steps(release, facts, touched))
    containers = tuple(_containers(release, facts, touched))
    changes: list[Change] = sorted((*files, *steps, *containers), key=_order)
    bringing = bool({2, 4} & set(phases))
    # Phase 4 is all that an added service needs, its files and unit too.
    added = {container.service for container in release.containers if container.phase == 4 and 4 in phases}
    chosen = [
        change
        for change in changes
        if (
            (change.phase in phases or _written_for(change) in phases or belongs(change, release, added))
            and (not only or belongs(change, release, only))
        )
        # Whichever service is brought: what its data will depend on is kept first.
        or (bringing and _is_keepsake(change, release))
    ]
    waiting = () if attended else tuple(c.step for c in chosen if isinstance(c, StepChange) and c.step.interactive)
    todo = tuple(change for change in chosen if not (isinstance(change, StepChange) and change.step in waiting))
    return Plan(release, facts, todo, whole=not only and set(PHASES) <= set(phases), waiting=waiting)


def _written_for(change: Change) -> int:
    return change.step.folder if isinstance(change, StepChange) else change.phase


def _is_keepsake(change: Change, release: Release) -> bool:
    return isinstance(change, FileChange) and change.path == f"{release.root}/{KEEPSAKE}"


def _order(change: FileChange | StepChange | ContainerChange) -> tuple[int, int, str]:
    if isinstance(change, StepChange):
        return change.phase, 1 if change.step.prepares else 3, change.step.id
    return change.phase, 0 if isinstance(change, FileChange) else 2, ""


def _files(release: Release, facts: Facts) -> Iterable[FileChange]:
    for file in release.files:
        now, last = facts.files.get(file.path), facts.applied.get(file.path)
        if _same(now, file):
            continue
        drift = last is not None and now != last
        if now is None:
            yield FileChange(file.path, file.phase, "create", file, None, drift)
        elif now.sha == file.sha:
            yield FileChange(file.path, file.phase, "mode", file, now, drift)
        else:
            yield FileChange(file.path, file.phase, "update", file, now, drift)
    wanted = {file.path for file in release.files}
    for path in sorted(facts.applied):
        if path not in wanted and path in facts.files:
            yield FileChange(path, 3, "delete", None, facts.files[path], facts.files[path] != facts.applied[path])


def _same(now: FileFact | None, file: File) -> bool:
    return now is not None and (now.sha, now.mode, now.owner) == (file.sha, file.mode, file.owner)


def _steps(release: Release, facts: Facts, touched: Collection[str]) -> Iterable[StepChange]:
    for step in release.steps:
        stamp = facts.stamps.get(step.id)
        changed = [path for path in step.inputs if path in touched]
        if not facts.checks.get(step.id, False):
            yield StepChange(step, "not done yet" if stamp is None else "no longer in place")
        elif stamp is None and not step.inputs:
            # Someone else did the same work: nothing is to be done, so nothing is.
            continue
        elif changed:
            yield StepChange(step, f"{changed[0].rsplit('/', 1)[1]} changes")
        elif stamp != step.fingerprint:
            yield StepChange(step, "never run here" if stamp is None else "the step or its inputs changed")


def _containers(release: Release, facts: Facts, touched: Collection[str]) -> Iterable[ContainerChange]:
    here: dict[str, list[ContainerFact]] = {}
    for fact in facts.containers:
        here.setdefault(fact.name, []).append(fact)
    for wanted in release.containers:
        there = here.get(wanted.name, [])
        kind_reason = _compare_all(wanted, there, touched)
        if kind_reason:
            kind, reason = kind_reason
            now = there[0] if there else None
            upgrade = kind == "recreate" and now is not None and now.image != wanted.image
            yield ContainerChange(wanted.name, wanted.phase, kind, reason, wanted, now.id if now else "", upgrade)
    names = {wanted.name for wanted in release.containers}
    for name, surplus in sorted(here.items()):
        for fact in surplus if name not in names else ():
            yield ContainerChange(name, 2, "remove", "not part of the stack", None, fact.id)


def _compare_all(wanted: Container, there: list[ContainerFact], touched: Collection[str]) -> tuple[Doing, str] | None:
    """Of all replicas, what has to be done about the first that is not as it should be."""
    if not there:
        return "create", "not there"
    found = [answer for fact in there if (answer := _compare(wanted, fact, touched))]
    if len(there) == 1 == wanted.replicas and not wanted.rolling:
        return found[0] if found else None
    # Made anew one by one: but what does not run has nobody to be kept waiting for it.
    stale = [reason for kind, reason in found if kind in {"recreate", "restart"}]
    if stale and wanted.rolling and all(fact.state == "running" for fact in there):
        return "roll", stale[0]
    if found:
        return found[0]
    if len(there) != wanted.replicas:
        return "scale", f"{len(there)} → {wanted.replicas}"
    return None


def _compare(wanted: Container, now: ContainerFact, touched: Collection[str]) -> tuple[Doing, str] | None:
    if now.fingerprint != wanted.fingerprint:
        reason = f"image {now.image} → {wanted.image}" if now.image != wanted.image else "its configuration changes"
        return "recreate", reason
    if changed := [path for path in wanted.mounts if path in touched]:
        return "restart", f"{changed[0].rsplit('/', 1)[1]} changes"
    if now.state == "paused":
        # `up` cannot wake it; it is made anew.
        return "restart", now.state
    if now.state != "running":
        return "start", now.state
    if now.health == "unhealthy":
        return "restart", "unhealthy"
    return None


def belongs(change: Change, release: Release, only: Collection[str]) -> bool:
    """Whether a change is about one of these services: its containers, steps, files or unit, or what includes them."""
    if isinstance(change, ContainerChange):
        return change.container is not None and change.container.service in only
    if isinstance(change, StepChange):
        return change.step.id.partition("@")[2] in only
    if not only:
        return False
    units = [f"/etc/systemd/system/{release.stack}-{name}.service" for name in only]
    # The project's file has to include whatever is chosen.
    return change.path in (f"{release.root}/compose.yaml", *units) or change.path.startswith(
        tuple(_folder(release, name) for name in only)
    )


def _folder(release: Release, service: str) -> str:
    """Where the service's files stand; the proxy's folder is not named after it."""
    own = f"{release.root}/stacks/{service}/"
    return own if any(file.path.startswith(own) for file in release.files) else f"{release.root}/proxy/"


def _is_drift(change: Change, whole: Plan) -> bool:
    if isinstance(change, FileChange):
        return change.drift
    settled = whole.release.id == whole.facts.current
    if isinstance(change, StepChange):
        return change.reason == "no longer in place"
    return settled and change.kind != "remove"
