from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from samples import APP_FILE, ROOT, UNIT, container_fact, fit, names, release, rendered, settled, step

from ctl.core.plan import Plan, plan
from ctl.core.probe import ContainerFact, Facts, FileFact
from ctl.core.release import Container, File, Release

SMALL = release()
DONE = settled(SMALL)
OLD = FileFact("0" * 64, 0o644, "root:root")
APP, DB = (container_fact(each) for each in SMALL.containers)
ORPHAN = f"{ROOT}/stacks/gone/compose.yaml"


def with_file(path: str, now: FileFact | None, last: FileFact | None = None) -> dict[str, Any]:
    """Facts in which one file is `now` and was `last` when it was put there (as it should be, where not given)."""
    files = {**DONE.files, path: now}
    applied = {**DONE.applied, **({path: last} if last else {})}
    return {"files": {name: fact for name, fact in files.items() if fact}, "applied": applied}


def containers(*facts: ContainerFact) -> dict[str, Any]:
    return {"containers": facts}


EXAMPLES: dict[str, tuple[Facts, list[str]]] = {
    "a bare host: everything, in phase order, files before steps before containers": (
        fit(),
        [
            "step 1-setup/10-a",
            f"create {APP_FILE}",
            "create app",
            "create db",
            f"create {UNIT}",
            "step 3-configure/10-units",
            "step 3-configure/20-extra@app",
        ],
    ),
    "nothing to do": (DONE, []),
    "a file that the host does not have any more": (
        replace(DONE, **with_file(APP_FILE, None)),
        [f"create {APP_FILE}", "restart app"],
    ),
    "a changed file restarts the container that mounts it": (
        replace(DONE, **with_file(APP_FILE, OLD, OLD)),
        [f"update {APP_FILE}", "restart app"],
    ),
    "a changed file makes the step that names it run": (
        replace(DONE, **with_file(UNIT, OLD, OLD)),
        [f"update {UNIT}", "step 3-configure/10-units"],
    ),
    "another mode, the same content": (
        replace(DONE, **with_file(UNIT, replace(DONE.files[UNIT], mode=0o600))),
        [f"mode {UNIT}", "step 3-configure/10-units"],
    ),
    "another owner, the same content": (
        replace(DONE, **with_file(UNIT, replace(DONE.files[UNIT], owner="app:app"))),
        [f"mode {UNIT}", "step 3-configure/10-units"],
    ),
    "a file that this release has no more": (
        replace(DONE, files={**DONE.files, ORPHAN: OLD}, applied={**DONE.applied, ORPHAN: OLD}),
        [f"delete {ORPHAN}"],
    ),
    "such a file that somebody removed already": (replace(DONE, applied={**DONE.applied, ORPHAN: OLD}), []),
    "a file of somebody else": (replace(DONE, files={**DONE.files, "/etc/other": OLD}), []),
    "a step whose work is undone": (
        replace(DONE, checks={**DONE.checks, "1-setup/10-a": False}),
        ["step 1-setup/10-a"],
    ),
    "a step that did not answer": (
        replace(DONE, checks={name: True for name in DONE.checks if name != "1-setup/10-a"}),
        ["step 1-setup/10-a"],
    ),
    "a step with another text": (
        replace(DONE, stamps={**DONE.stamps, "1-setup/10-a": "older"}),
        ["step 1-setup/10-a"],
    ),
    "a step whose work somebody else has done": (
        replace(DONE, stamps={name: mark for name, mark in DONE.stamps.items() if name != "1-setup/10-a"}),
        [],
    ),
    "a step with inputs that never ran here": (
        replace(DONE, stamps={name: mark for name, mark in DONE.stamps.items() if name != "3-configure/10-units"}),
        ["step 3-configure/10-units"],
    ),
    "a container that is missing": (replace(DONE, **containers(APP)), ["create db"]),
    "a container that has stopped": (replace(DONE, **containers(APP, replace(DB, state="exited"))), ["start db"]),
    "a container that was made and never started": (
        replace(DONE, **containers(APP, replace(DB, state="created", health=""))),
        ["start db"],
    ),
    "an unhealthy container": (replace(DONE, **containers(APP, replace(DB, health="unhealthy"))), ["restart db"]),
    "a container that is still starting": (replace(DONE, **containers(APP, replace(DB, health="starting"))), []),
    "a container of another configuration": (
        replace(DONE, **containers(APP, replace(DB, fingerprint="older"))),
        ["recreate db"],
    ),
    "a container of nobody's making": (
        replace(DONE, **containers(APP, DB, replace(DB, name="old", id="id-of-old", service="gone"))),
        ["remove old"],
    ),
}


@pytest.mark.parametrize(("facts", "changes"), EXAMPLES.values(), ids=EXAMPLES)
def test_what_is_planned(facts: Facts, changes: list[str]) -> None:
    found = plan(SMALL, facts)
    assert names(found) == changes
    assert bool(found) == bool(changes)


REASONS = [
    (replace(DONE, **with_file(APP_FILE, OLD, OLD)), "app", "app.conf changes"),
    (replace(DONE, **containers(replace(APP, fingerprint="x"), DB)), "app", "its configuration changes"),
    (replace(DONE, **containers(replace(APP, fingerprint="x", image="app:0"), DB)), "app", "image app:0 → app:1"),
    (replace(DONE, **containers(replace(APP, state="exited"), DB)), "app", "exited"),
    (replace(DONE, **containers(replace(APP, health="unhealthy"), DB)), "app", "unhealthy"),
    (fit(), "app", "not there"),
    (fit(), "1-setup/10-a", "not done yet"),
    (replace(DONE, checks={}), "1-setup/10-a", "no longer in place"),
    (replace(DONE, stamps={**DONE.stamps, "1-setup/10-a": "x"}), "1-setup/10-a", "the step or its inputs changed"),
    (replace(DONE, stamps={}), "3-configure/10-units", "never run here"),
    (replace(DONE, **with_file(UNIT, OLD)), "3-configure/10-units", "small-app.service changes"),
]


@pytest.mark.parametrize(("facts", "name", "reason"), REASONS, ids=[reason for _, _, reason in REASONS])
def test_reasons(facts: Facts, name: str, reason: str) -> None:
    found = plan(SMALL, facts)
    reasons = {change.name: change.reason for change in found.containers}
    reasons |= {change.step.id: change.reason for change in found.steps}
    assert reasons[name] == reason


@pytest.mark.parametrize(
    ("facts", "drift"),
    [
        (fit(), []),
        (DONE, []),
        (replace(DONE, **with_file(APP_FILE, OLD)), [f"update {APP_FILE}", "restart app"]),
        (replace(DONE, **with_file(APP_FILE, None)), [f"create {APP_FILE}", "restart app"]),
        (replace(DONE, current="older", **with_file(APP_FILE, OLD, OLD)), []),
        (replace(DONE, current="older", **with_file(APP_FILE, OLD)), [f"update {APP_FILE}"]),
        (replace(DONE, **containers(APP)), ["create db"]),
        (replace(DONE, current="older", **containers(APP)), []),
        (replace(DONE, checks={**DONE.checks, "1-setup/10-a": False}), ["step 1-setup/10-a"]),
        (
            replace(DONE, files={**DONE.files, ORPHAN: OLD}, applied={**DONE.applied, ORPHAN: replace(OLD, mode=0)}),
            [f"delete {ORPHAN}"],
        ),
    ],
)
def test_drift_is_what_nobody_asked_for(facts: Facts, drift: list[str]) -> None:
    found = plan(SMALL, facts)
    assert names(replace(found, changes=found.drift)) == drift


@pytest.mark.parametrize(
    ("chosen", "changes"),
    [
        ({"phases": (1,)}, ["step 1-setup/10-a"]),
        ({"phases": (2,)}, [f"create {APP_FILE}", "create app", "create db"]),
        ({"phases": (4,)}, []),
        ({"only": ("db",)}, ["create db"]),
        (
            {"only": ("app",)},
            [f"create {APP_FILE}", "create app", f"create {UNIT}", "step 3-configure/20-extra@app"],
        ),
        ({"only": ("app",), "phases": (2,)}, [f"create {APP_FILE}", "create app"]),
        ({"only": ("app", "db"), "phases": (2,)}, [f"create {APP_FILE}", "create app", "create db"]),
    ],
)
def test_a_part_of_a_plan(chosen: dict[str, Any], changes: list[str]) -> None:
    assert names(plan(SMALL, fit(), **chosen)) == changes


def test_the_proxy_alone_comes_with_its_files() -> None:
    whole = rendered(vars={"access": "internal"})
    found = plan(whole, fit(), only=("caddy",), phases=(2,))
    assert names(found) == [
        "create /opt/lean-llm/.ctl/secrets.env",
        "create /opt/lean-llm/compose.yaml",
        "create /opt/lean-llm/proxy/compose.yaml",
        "create /opt/lean-llm/proxy/conf/Caddyfile",
        "create caddy",
    ]


def test_a_service_alone_comes_with_the_file_that_includes_it() -> None:
    whole = rendered(vars={"access": "internal"})
    found = plan(whole, fit(), only=("n8n",))
    assert names(found) == [
        "create /opt/lean-llm/.ctl/secrets.env",
        "create /opt/lean-llm/compose.yaml",
        "create /opt/lean-llm/stacks/n8n/.env",
        "create /opt/lean-llm/stacks/n8n/compose.yaml",
        "create n8n",
        "create /etc/systemd/system/lean-llm-n8n.service",
    ]


def record(found: Plan) -> dict[str, str]:
    """Path → digest, as the host will have it."""
    lines = [line.split("\t") for line in found.applied_after().splitlines()]
    assert lines == sorted(lines, key=lambda line: line[3])
    return {path: sha for sha, _, _, path in lines}


APP_SHA, UNIT_SHA = (file.sha for file in SMALL.files)


@pytest.mark.parametrize(
    ("facts", "chosen", "after"),
    [
        (fit(), {}, {APP_FILE: APP_SHA, UNIT: UNIT_SHA}),
        (DONE, {}, {APP_FILE: APP_SHA, UNIT: UNIT_SHA}),
        (fit(), {"phases": (1,)}, {}),
        (fit(), {"phases": (2,)}, {APP_FILE: APP_SHA}),
        (replace(DONE, **with_file(UNIT, OLD, OLD)), {"phases": (2,)}, {APP_FILE: APP_SHA, UNIT: OLD.sha}),
        (
            replace(DONE, files={**DONE.files, ORPHAN: OLD}, applied={**DONE.applied, ORPHAN: OLD}),
            {},
            {APP_FILE: APP_SHA, UNIT: UNIT_SHA},
        ),
        (
            replace(DONE, files={**DONE.files, ORPHAN: OLD}, applied={**DONE.applied, ORPHAN: OLD}),
            {"phases": (2,)},
            {APP_FILE: APP_SHA, UNIT: UNIT_SHA, ORPHAN: OLD.sha},
        ),
        (replace(DONE, applied={**DONE.applied, ORPHAN: OLD}), {}, {APP_FILE: APP_SHA, UNIT: UNIT_SHA}),
    ],
    ids=[
        "all that is put",
        "all that is there",
        "nothing of what is left out",
        "what is put of a part",
        "what is left out stays as it was",
        "what goes is forgotten",
        "what goes later is not",
        "what somebody removed is forgotten",
    ],
)
def test_the_record_of_managed_files(facts: Facts, chosen: dict[str, Any], after: dict[str, str]) -> None:
    assert record(plan(SMALL, facts, **chosen)) == after


def test_a_file_that_was_there_already_as_wanted_becomes_ours() -> None:
    assert record(plan(SMALL, fit(files=DONE.files))) == {APP_FILE: APP_SHA, UNIT: UNIT_SHA}


def test_after_a_plan_the_next_one_is_empty() -> None:
    found = plan(SMALL, fit())
    applied = {
        path: FileFact(sha, int(mode, 8), owner)
        for sha, mode, owner, path in (line.split("\t") for line in found.applied_after().splitlines())
    }
    assert not plan(SMALL, settled(SMALL, applied=applied))


def test_order_within_a_phase_is_that_of_the_steps_numbers() -> None:
    many = Release(
        **{
            **{name: getattr(SMALL, name) for name in SMALL.__dataclass_fields__},
            "files": (File("/b", b"", 1), File("/a", b"", 1)),
            "steps": (step("1-setup/20-b"), step("1-setup/10-a@z")),
            "containers": (Container("z", "z", "z:1", "z", 1), Container("a", "a", "a:1", "a", 1)),
        }
    )
    assert names(plan(many, fit())) == [
        "create /b",
        "create /a",
        "step 1-setup/10-a@z",
        "step 1-setup/20-b",
        "create z",
        "create a",
    ]


def test_a_release_that_is_in_place_but_not_recorded_is_no_empty_plan() -> None:
    """The power failed after the last change: the next deploy makes the record, or the way back would be wrong."""
    small = release()
    late = replace(settled(small), current="an0ther")
    assert (bool(plan(small, late)), plan(small, late).changes) == (True, ())
    assert not plan(small, settled(small))
    for part in ({"phases": (1,)}, {"only": ("app",)}):
        assert not plan(small, late, **part), "a part of a release is never recorded for itself"  # type: ignore[arg-type]


def test_an_interactive_step_waits_for_somebody() -> None:
    asking = replace(step("3-configure/60-link", 3), interactive=True)
    whole = release(steps=(asking,), files=(), containers=())
    alone = plan(whole, fit())
    assert (alone.changes, alone.waiting) == ((), (asking,))
    attended = plan(whole, fit(), attended=True)
    assert ([change.step for change in attended.steps], attended.waiting) == ([asking], ())
