"""Every service of the catalogue, on every stack: what it has to say of itself, and what other programs say of it."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import judges
import pytest
import yaml
from samples import PROJECT, rendered, texts

from ctl.core.errors import InvalidFile
from ctl.core.release import Release
from ctl.core.service import Catalogue, Service

CATALOGUE = Catalogue(texts())
NAMES = CATALOGUE.names()
STACKS = PROJECT.stack_names()
CATEGORIES = {
    *("agents", "automation", "chat", "communication", "data", "development"),
    *("documents", "models", "monitoring", "search", "security", "sessions"),
}
# Words that stand for a version which moves on.
FLOATING = re.compile(r"(^|[-_.])(latest|main|master|stable|nightly|edge|next|beta|dev|release)$")
CHANNELS = {"ubuntu/squid:6.6-24.04_edge"}
"""Canonical gives its images no other names: a version of the program, and a channel of builds of it."""


def service(name: str) -> Service:
    return CATALOGUE.get("services", name)


def with_needs(stack: str, *names: str) -> tuple[str, ...]:
    """The services to add to a stack for these, what they need before them."""
    there = PROJECT.stack(stack)
    added: list[str] = []

    def add(name: str) -> None:
        if name not in {*there.services, *there.external, *added}:
            meta = service(name).meta
            # Without these somebody would have to say what stands in for them.
            for need in (*meta.needs, *(var.without for var in meta.vars.values() if var.without)):
                add(need)
            added.append(name)

    for name in names:
        add(name)
    return tuple(added)


def below(name: str) -> bool:
    """Whether it, or what it needs, has names below its own, which not every stack can have."""
    route = service(name).meta.route
    return bool(route and route.wildcard) or any(below(need) for need in service(name).meta.needs)


CASES = [
    f"{stack}/{name}"
    for stack in STACKS
    for name in NAMES
    if PROJECT.stack(stack).proxy == "nginx" or name in PROJECT.stack(stack).services or not below(name)
]


@cache
def release(case: str) -> Release:
    stack, name = case.split("/")
    doors = {"doors": "subdomains"} if below(name) and PROJECT.stack(stack).doors.spare else {}
    return rendered(stack, services=with_needs(stack, name), vars={"access": "internal", **doors})


@pytest.mark.parametrize("name", [name for name in NAMES if below(name)])
def test_a_stack_that_has_no_names_below_others_says_so(name: str) -> None:
    with pytest.raises(InvalidFile, match="names below its own, for which doors have to be subdomains behind nginx"):
        rendered("lean-llm", services=with_needs("lean-llm", name), vars={"access": "internal"})


def containers(name: str, case: str) -> dict[str, dict[str, object]]:
    file = release(case).file(f"{release(case).root}/stacks/{name}/compose.yaml")
    assert file
    services: dict[str, dict[str, object]] = yaml.safe_load(file.content)["services"]
    return services


@pytest.mark.parametrize("name", NAMES)
def test_a_template_says_all_there_is_to_say(name: str) -> None:
    meta = service(name).meta
    assert 0 < len(meta.summary) <= 110 and not meta.summary.endswith(".")
    assert meta.category in CATEGORIES
    assert meta.requires.memory != "0" and meta.requires.disk != "0"
    assert meta.backup.volumes or meta.backup.databases or meta.backup.left_out, "a backup, or why there is none"
    if meta.route:
        assert meta.auth != "none", "a door without a login"
        assert meta.exposure != "internal"
    else:
        assert meta.exposure == "internal" and not meta.verify
    if meta.route and meta.route.bearer:
        assert meta.auth == "builtin", "the proxy asks for no password there"
    for named, spec in meta.secrets.items():
        assert spec.optional or spec.generate, f"{named} would have to be supplied"
        assert not spec.shared_with or spec.shared_with in {*meta.needs, *meta.uses}


@pytest.mark.parametrize("name", NAMES)
def test_every_volume_is_backed_up_or_said_to_be_left_out(name: str) -> None:
    case = f"{STACKS[0]}/{name}"
    file = release(case).file(f"{release(case).root}/stacks/{name}/compose.yaml")
    assert file
    kept = service(name).meta.backup
    missing = set(yaml.safe_load(file.content).get("volumes") or ()) - set(kept.volumes)
    assert not missing or kept.left_out, missing


@pytest.mark.parametrize("name", NAMES)
def test_every_container_is_pinned_limited_and_checked(name: str) -> None:
    for one, fragment in containers(name, f"{STACKS[0]}/{name}").items():
        image = str(fragment["image"])
        _, _, tag = image.rpartition(":")
        assert image in CHANNELS or (re.search(r"\d", tag) and not FLOATING.search(tag)), f"{one}: {image} moves on"
        check = fragment["healthcheck"]
        assert isinstance(check, dict) and {"test", "interval", "retries", "start_period", "start_interval"} <= set(
            check
        )
        assert fragment["deploy"]["resources"]["limits"]["memory"]  # type: ignore[index]
        assert one == name or one.startswith(f"{name}-"), "containers of a service bear its name"


def test_a_secret_that_two_services_declare_is_the_same_for_both() -> None:
    declared: dict[str, object] = {}
    for name in NAMES:
        for named, spec in service(name).meta.secrets.items():
            # Only the client itself shares it.
            assert declared.setdefault(named, spec) == spec, f"{named} of {name}"


def test_a_variable_that_two_services_declare_is_the_same_for_both() -> None:
    declared: dict[str, object] = {}
    for name in NAMES:
        for named, var in service(name).meta.vars.items():
            assert declared.setdefault(named, var) == var, f"{named} of {name}"


# Outside judges.


def judge(whole: Release, tmp_path: Path) -> None:
    host = judges.unpacked(whole, tmp_path / "host")
    judges.compose_config(whole, host)
    if PROJECT.stack(whole.stack).proxy == "caddy":
        judges.caddy_validate(whole, host, tmp_path)
    else:
        judges.nginx_test(whole, host, tmp_path)
    if whole.steps:
        judges.shellcheck(whole, tmp_path)


@pytest.mark.parametrize("case", CASES)
def test_compose_the_proxy_and_shellcheck_take_it(case: str, tmp_path: Path) -> None:
    # The steps of the stack itself are judged elsewhere.
    own = tuple(step for step in release(case).steps if step.id.endswith(f"@{case.split('/')[1]}"))
    judge(replace(release(case), steps=own), tmp_path)


@pytest.mark.parametrize("stack", STACKS)
@pytest.mark.parametrize("variables", [{}, {"gpu": "nvidia", "pgvector": True}])
def test_they_take_all_of_them_together(stack: str, variables: dict[str, object], tmp_path: Path) -> None:
    names = [case.split("/")[1] for case in CASES if case.startswith(f"{stack}/")]
    services = with_needs(stack, *(name for name in names if name not in PROJECT.stack(stack).services))
    # One name has not ports enough for so many.
    doors = {"doors": "subdomains"} if PROJECT.stack(stack).doors.spare else {}
    judge(rendered(stack, services=services, vars={"access": "internal", **doors, **variables}), tmp_path)
