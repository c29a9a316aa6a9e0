"""What is to come to a host or go from it: which services, what has to be asked, and which part of a plan that is."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from ctl.core.document import load
from ctl.core.errors import HostUnfit, UnknownName, UsageError
from ctl.core.fitness import dispensable
from ctl.core.inventory import Host
from ctl.core.plan import Change, ContainerChange, Plan, StepChange, belongs
from ctl.core.probe import Facts
from ctl.core.release import File, Release
from ctl.core.secret import SecretSpec
from ctl.core.service import Catalogue, Service, Var
from ctl.core.stack import Stack


@dataclass(frozen=True, slots=True)
class Amendment:
    """A host as the inventory has it and as it is to be; `names` come or go, `spared` stay as they are on the host."""

    before: Host
    after: Host
    names: tuple[str, ...]
    spared: frozenset[str] = frozenset()


def running(host: Host, stack: Stack, catalogue: Catalogue) -> tuple[str, ...]:
    """The services of a host by the names of their folders: the stack's own without what is left out, and the added."""
    own, more, less = (
        [catalogue.proper("services", name) for name in names]
        for names in (stack.services, host.services, host.without)
    )
    return tuple(name for name in (*own, *more) if name not in less)


# --- adding -----------------------------------------------------------------------------------------------------------


def refuse_present(host: Host, stack: Stack, catalogue: Catalogue, word: str) -> None:
    """Raises UsageError for a service that the host has, under whichever name."""
    name = catalogue.get("services", word).name
    if name not in running(host, stack, catalogue):
        return
    added = name in {catalogue.proper("services", other) for other in host.services}
    why = "inventory.yaml adds it" if added else f"it is one of the stack {stack.name}'s own"
    subject = name if word == name else f"{name}, which is {word},"
    raise UsageError(
        f"{host.name} has {subject} already: {why}", hint=f"ctl deploy {host.name} brings what the inventory says"
    )


def lacking(host: Host, stack: Stack, catalogue: Catalogue, name: str) -> tuple[str, ...]:
    """What a service needs of the catalogue that the host does not have, each after what it needs itself."""
    here = {*running(host, stack, catalogue), *stack.external}
    found: list[str] = []

    def gather(of: str) -> None:
        for need in catalogue.get("services", of).meta.needs:
            if need not in here and need not in found and need != name and need in catalogue.names():
                gather(need)
                found.append(need)

    gather(name)
    return tuple(dict.fromkeys(found))


def add(host: Host, stack: Stack, catalogue: Catalogue, names: Iterable[str]) -> Amendment:
    """Services come to a host. One of the stack's own that is left out is left out no more."""
    after, come = host, tuple(names)
    for name in come:
        left = tuple(word for word in after.without if catalogue.proper("services", word) != name)
        if left != after.without:
            after = replace(after, without=left)
        else:
            after = replace(after, services=(*after.services, name))
    around = _around(come, catalogue)
    return Amendment(host, after, come, frozenset(set(running(host, stack, catalogue)) - around))


def _around(names: Iterable[str], catalogue: Catalogue) -> set[str]:
    """Services with all that they need, make use of, and share a secret with."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name not in found and name in catalogue.names():
            found.add(name)
            meta = catalogue.get("services", name).meta
            waiting += [*meta.needs, *meta.uses, *(spec.shared_with for spec in meta.secrets.values())]
    return found


def users(amendment: Amendment, catalogue: Catalogue) -> tuple[str, ...]:
    """Services that are there and would make use of what comes."""
    come = set(amendment.names)
    return tuple(sorted(name for name in amendment.spared if come & set(catalogue.get("services", name).meta.uses)))


def unanswered(host: Host, stack: Stack, services: Iterable[Service]) -> dict[str, Var]:
    """Variables of these services that are required and have no value for this host."""
    declared = {name: stack.vars.get(name, var) for service in services for name, var in service.meta.vars.items()}
    return {
        name: var
        for name, var in declared.items()
        if name not in host.vars and var.default is msgspec.UNSET and not var.optional
    }


def unsupplied(services: Iterable[Service], have: Collection[str]) -> dict[str, SecretSpec]:
    """Secrets of these services that somebody has to supply, but those that we have."""
    return {
        name: spec
        for service in services
        for name, spec in service.meta.secrets.items()
        if spec.generate is None and not spec.optional and name not in have
    }


def foreign(given: Mapping[str, Any], services: Iterable[Service]) -> None:
    """Raises UnknownName for a variable that is none of these services'."""
    declared = [name for service in services for name in service.meta.vars]
    for name in given:
        if name not in declared:
            raise UnknownName(
                "variable of what is added", name, declared, hint="--set is for what the services declare"
            )


# --- removing ---------------------------------------------------------------------------------------------------------


def remove(host: Host, stack: Stack, catalogue: Catalogue, word: str) -> Amendment:
    """A service goes from a host: one of the stack's own is left out. Raises UsageError's children."""
    here = running(host, stack, catalogue)
    name = catalogue.proper("services", word)
    if name not in here:
        raise UnknownName(f"service of {host.name}", word, here)
    for other in here:
        meta = catalogue.get("services", other).meta
        needs = name in meta.needs and name not in stack.external
        if other != name and (needs or name in {database.container for database in meta.backup.databases}):
            why = "needs it" if needs else "has its data in it"
            raise UsageError(
                f"{name} has to stay on {host.name}: {other} {why}",
                hint=f"ctl remove-service {other} {host.name} first",
            )
    kept = tuple(other for other in host.services if catalogue.proper("services", other) != name)
    if kept != host.services:
        return Amendment(host, replace(host, services=kept), (name,))
    return Amendment(host, replace(host, without=(*host.without, name)), (name,))


def data_of(release: Release, service: str) -> tuple[str, ...]:
    """Where a service's data stays when it goes: its volumes, and its folders outside of what ctl wrote."""
    file = release.file(f"{release.root}/stacks/{service}/compose.yaml")
    data: Any = load(file.content.decode(), file=file.path).data if file else {}
    places = [
        f"volume {(spec or {}).get('name') or f'{release.stack}_{name}'}"
        for name, spec in (data.get("volumes") or {}).items()
    ]
    for fragment in (data.get("services") or {}).values():
        for mount in fragment.get("volumes") or ():
            source = str(mount.get("source", "")) if isinstance(mount, dict) else str(mount).partition(":")[0]
            if source.startswith(f"{release.root}/data/"):
                places.append(f"folder {source}")
    return tuple(dict.fromkeys(places))


# --- the part of a plan -----------------------------------------------------------------------------------------------


def room(before: Release, after: Release, facts: Facts) -> None:
    """Raises HostUnfit where the host has not the memory or the disk for what comes."""
    there = {container.service for container in before.containers}
    come = sorted({container.service for container in after.containers} - there)
    missing = after.memory - facts.memory
    if come and facts.memory and missing > 0:
        out = dispensable([(name, size) for name, size in after.spare if name not in come], missing)
        way = "".join(f", or first ctl remove-service {name} {after.host}" for name in out)
        raise HostUnfit(
            f"{after.host} has {facts.memory} MB of memory, and with {' and '.join(come)} its services declare "
            f"{after.memory} MB: {missing} MB are missing",
            hint=f"take a larger host{way}",
        )
    if facts.disk_free < (disk := after.disk - before.disk):
        raise HostUnfit(
            f"{' and '.join(come)} declares {disk} MB of disk, {facts.disk_free} MB are free at {after.root}",
            hint="free some room there",
        )


def difference(whole: Plan, before: Release, spared: Collection[str] = ()) -> Plan:
    """What of a plan is there because its release is not `before`: nothing that was pending or has drifted besides.

    Of services to be spared nothing is in it.
    """
    after = whole.release
    marks = [_marks(release) for release in (before, after)]
    project = f"{after.root}/compose.yaml"

    def wanted(change: Change) -> bool:
        key = _key(change)
        if marks[0].get(key) == marks[1].get(key):
            return False
        return key == ("file", project) or not belongs(change, after, spared)

    return replace(whole, changes=tuple(filter(wanted, whole.changes)), whole=False)


def _marks(release: Release) -> dict[tuple[str, str], object]:
    """Everything of a release by kind and name, with what tells it from another."""
    files = {("file", file.path): _look(file) for file in release.files}
    steps = {("step", step.id): step.fingerprint for step in release.steps}
    containers = {("container", each.name): each.fingerprint for each in release.containers}
    return {**files, **steps, **containers}


def _look(file: File) -> tuple[str, int, str]:
    return file.sha, file.mode, file.owner


def _key(change: Change) -> tuple[str, str]:
    if isinstance(change, StepChange):
        return "step", change.step.id
    return ("container", change.name) if isinstance(change, ContainerChange) else ("file", change.path)
