"""Everything that would stop a deploy: what to make of one look at the host."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from ctl.core.errors import CtlError
from ctl.core.fitness import doors_taken, guard, has_network, ports_taken, published, subnet_taken, unfit
from ctl.core.graphics import missing, unused
from ctl.core.probe import Facts
from ctl.core.release import Release
from ctl.core.secret import SecretSpec, settle
from ctl.core.surroundings import DOCKER_PACKAGES, Surroundings, registry

State = Literal["ok", "note", "warning", "problem"]
_SKEW = 30
_SKEW_TOO_MUCH = 300
_WAIT = "setup waits up to five minutes for it"


@dataclass(frozen=True, slots=True)
class Check:
    """One finding. A `note` is what could not be found out; only a `problem` stops a deploy."""

    name: str
    state: State
    text: str
    remedy: str = ""


def failed(name: str, error: CtlError) -> Check:
    return Check(name, "problem", error.message, error.hint)


@dataclass(frozen=True, slots=True)
class Plans:
    """What the doctor has to know of what is to be deployed, beside the release. `names`: resolved from here."""

    access: str = ""
    acme: bool = False
    """Whether an authority is to look at port 80 of these names."""
    address: str = ""
    names: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asked: tuple[float, float] = (0, 0)
    """Our clock before and after the host was asked, in seconds since 1970."""


def secrets(
    specs: Mapping[str, SecretSpec], supplied: Mapping[str, str], kept: Mapping[str, str], host: str
) -> list[Check]:
    """Those that are missing or weak; one good line where none is."""
    found = []
    for name, spec in specs.items():
        try:
            settle({name: spec}, supplied, kept, lambda size: b"\1" * size, host)
        except CtlError as error:
            found.append(failed("secrets", error))
    return found or [Check("secrets", "ok", f"{len(specs)} are there or will be generated" if specs else "none needed")]


def examine(release: Release, facts: Facts, around: Surroundings, plans: Plans) -> list[Check]:
    """All checks of a host that answered, in the order in which a deploy would meet them."""
    return [
        *_system(release, facts),
        *_cards(release, facts),
        _clock(facts.time, plans.asked),
        _run(facts),
        *_packages(around),
        *_docker(release, facts, around),
        *_network(release, facts),
        *_ports(release, facts),
        *_reach(release, facts, around),
        *_names(plans, around),
        *_certificates(release, plans, around),
        *_kept(release, facts),
    ]


def _system(release: Release, facts: Facts) -> Iterable[Check]:
    problems = [failed("host", error) for error in unfit(release, facts)]
    if not problems:
        yield Check("host", "ok", f"{facts.os_name}, {facts.arch}, systemd")
    yield from problems
    if not facts.current and facts.memory_free < release.memory <= facts.memory:
        yield Check(
            "memory",
            "warning",
            f"the stack declares {release.memory} MB, {facts.memory_free} MB of {facts.memory} MB are free now",
            "see what else runs on the host",
        )
    else:
        yield Check("memory", "ok", f"{facts.memory_free} of {facts.memory} MB free, {release.memory} MB declared")
    yield Check("disk", "ok", f"{facts.disk_free} MB free at {release.root}, {release.disk} MB declared")


def _cards(release: Release, facts: Facts) -> Iterable[Check]:
    problems = [failed("gpu", error) for error in missing(release, facts)]
    yield from problems
    if problems or not release.gpu:
        return
    if facts.cards.ready:
        yield Check("gpu", "ok", f"{', '.join(facts.cards.ready)}; services get what they can use")
    elif said := unused(release, facts):
        yield Check("gpu", "warning", *said.split(": ", 1))
    else:
        yield Check("gpu", "note", "no NVIDIA card is here; models run on the processor")


def _clock(theirs: int, asked: tuple[float, float]) -> Check:
    before, after = asked
    off = round(theirs - after) if theirs > after else round(theirs - before) if theirs + 1 < before else 0
    text = f"{abs(off)} s {'ahead of' if off > 0 else 'behind'} this machine's" if off else "agrees with this machine's"
    state: State = "problem" if abs(off) > _SKEW_TOO_MUCH else "warning" if abs(off) > _SKEW else "ok"
    remedy = "" if state == "ok" else "timedatectl set-ntp true on the host; certificates and logins depend on the time"
    return Check("clock", state, text, remedy)


def _run(facts: Facts) -> Check:
    if facts.locked:
        return Check("lock", "warning", f"a run is at work: {facts.lock or 'of nobody known'}", "wait for its end")
    return Check("lock", "ok", "no run is at work")


def _packages(around: Surroundings) -> Iterable[Check]:
    for program in dict.fromkeys(program or "something" for _, program in around.held):
        yield Check("packages", "warning", f"{program} is at work on the package system", _WAIT)
    if not around.held:
        yield Check("packages", "ok", "nobody holds the package system's locks")


def _docker(release: Release, facts: Facts, around: Surroundings) -> Iterable[Check]:
    path, version = around.engine
    if path.startswith("/snap/") or path == "/usr/bin/snap":
        remedy = "snap remove docker; setup installs the real one"
        yield Check("docker", "problem", "Docker is a snap here, which sees no files outside of homes", remedy)
    elif "podman" in f"{path} {version}".lower():
        yield Check(
            "docker", "problem", "`docker` is Podman here", "apt-get remove podman-docker; setup installs Docker"
        )
    elif facts.docker == "stopped":
        yield Check("docker", "warning", "Docker is installed and does not answer", "setup starts it")
    else:
        yield Check("docker", "ok", version if facts.docker == "running" else "is not there yet; setup installs it")
    others = [name for project, name, _ in facts.neighbours if project != release.stack]
    if others:
        names = ", ".join(others[:5]) + (f" and {len(others) - 5} more" if len(others) > 5 else "")
        yield Check("neighbours", "warning", f"containers of others run here: {names}", "they are left alone")


def _network(release: Release, facts: Facts) -> Iterable[Check]:
    problems = [failed("network", error) for error in subnet_taken(release, facts)]
    yield from problems
    if facts.docker == "stopped":
        yield Check("network", "note", "Docker does not answer, so nobody can tell whose the subnets are")
    elif release.subnet and not problems:
        yield Check("network", "ok", f"{release.subnet} is {'ours' if has_network(release, facts) else 'free'}")


def _ports(release: Release, facts: Facts) -> Iterable[Check]:
    taken = {door.port for door in doors_taken(release, facts)}
    yield from (failed("ports", error) for error in ports_taken(release, facts))
    if free := [str(port) for _, port in published(release) if port not in taken]:
        yield Check("ports", "ok", f"{', '.join(free)} {'is' if len(free) == 1 else 'are'} ours to use")


def _reach(release: Release, facts: Facts, around: Surroundings) -> Iterable[Check]:
    missing = sorted({registry(image) for image in release.images if image not in around.images})
    wanted = {f"https://{host}/v2/": host for host in missing}
    if facts.docker == "none":
        wanted[DOCKER_PACKAGES] = "download.docker.com"
    for url, code in around.reached:
        if url not in wanted:
            continue
        if code == "-":
            yield Check("reach", "note", f"{wanted[url]}: curl is not there yet, so nobody asked")
        elif code == "000":
            remedy = "look at the host's DNS, firewall and proxy settings"
            yield Check("reach", "problem", f"the host does not reach {wanted[url]}", remedy)
        else:
            yield Check("reach", "ok", f"{wanted[url]} answers")
    if release.images and not missing:
        yield Check("reach", "ok", "all images are on the host already")


def _names(plans: Plans, around: Surroundings) -> Iterable[Check]:
    here = {plans.address, *around.addresses}
    state: State = "problem" if plans.acme else "warning"
    for name, addresses in plans.names.items():
        if not addresses:
            remedy = f"add an A record for {name} that leads to {plans.address}"
            yield Check("dns", state, f"{name} does not resolve", remedy)
        elif plans.access == "public" and not here & set(addresses):
            remedy = f"let its A record lead to {plans.address}, unless a proxy of yours stands before the host"
            yield Check("dns", "warning", f"{name} leads to {', '.join(addresses)}, not to this host", remedy)
        else:
            yield Check("dns", "ok", f"{name} resolves")


def _certificates(release: Release, plans: Plans, around: Surroundings) -> Iterable[Check]:
    if not plans.acme or not release.routes:
        return
    known = ("acme", "letsencrypt", "certbot")
    stored = {name for name, folder in around.certificates if any(word in folder for word in known)}
    if stored:
        yield Check("certificates", "ok", f"{len(stored)} are on the host, and are used as long as they are valid")
    else:
        count = 1 if release.proxy == "nginx" else len(release.routes)
        yield Check(
            "certificates",
            "note",
            f"{count} will be asked for; how many were issued before cannot be known from here",
            "Let's Encrypt issues 50 a week for a domain, 5 for the same names, and refuses after 5 failures an hour",
        )


def _kept(release: Release, facts: Facts) -> Iterable[Check]:
    try:
        guard(release, facts)
    except CtlError as error:
        yield failed("secrets", error)
