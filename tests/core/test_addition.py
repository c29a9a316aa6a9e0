"""What comes and goes, and which part of a plan that is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from samples import APP_FILE, UNIT, Machine, container_fact, members, names, release, settled, step, templates, texts
from samples import PROJECT as SHIPPED

from ctl import run
from ctl.core import addition
from ctl.core.errors import RunFailed, UnknownName, UsageError
from ctl.core.inventory import Host
from ctl.core.plan import plan
from ctl.core.ports import Result
from ctl.core.probe import FileFact
from ctl.core.release import Container, File
from ctl.core.report import Event
from ctl.core.service import Catalogue
from ctl.edge.fake import FakeTransport
from ctl.run.following import Watch

SERVICE = "services: {}\nx-ctl:\n  summary: s\n"
OWN = {
    "services/web/compose.yaml.j2": f"{SERVICE}  needs: [db, ollama]\n  uses: [cache]\n  also: [www]\n",
    "services/db/compose.yaml.j2": f"{SERVICE}  needs: [disk]\n",
    "services/disk/compose.yaml.j2": SERVICE,
    "services/cache/compose.yaml.j2": SERVICE,
    "services/circle/compose.yaml.j2": f"{SERVICE}  needs: [circle]\n",
    "services/fan/compose.yaml.j2": f"{SERVICE}  uses: [web]\n",
}
CATALOGUE = Catalogue({**texts(), **OWN})
STACK = SHIPPED.stack("lean-llm")


def host(**changes: Any) -> Host:
    return Host(name="h1", address="203.0.113.1", user="root", port=22, stack="lean-llm", **changes)


def test_what_runs() -> None:
    assert addition.running(host(services=("www",), without=("n8n",)), STACK, CATALOGUE) == ("flowise", "web")


def test_needs_come_first_and_what_is_outside_does_not_come() -> None:
    assert addition.lacking(host(), STACK, CATALOGUE, "web") == ("disk", "db")
    assert addition.lacking(host(services=("disk",)), STACK, CATALOGUE, "web") == ("db",)
    assert addition.lacking(host(), STACK, CATALOGUE, "circle") == ()


def test_what_the_new_one_works_with_is_not_spared() -> None:
    here = host(services=("cache", "disk", "fan"))
    found = addition.add(here, STACK, CATALOGUE, ("db", "web"))
    assert found.after.services == ("cache", "disk", "fan", "db", "web")
    assert found.spared == {"n8n", "flowise", "fan"}, (
        "it may have to change what it needs: a database made, a key given"
    )
    assert addition.users(found, CATALOGUE) == ("fan",)


def test_there_and_back() -> None:
    here = host(without=("n8n",))
    assert addition.add(here, STACK, CATALOGUE, ("n8n",)).after == host()
    assert addition.remove(host(), STACK, CATALOGUE, "n8n").after == here
    assert addition.remove(host(services=("www",)), STACK, CATALOGUE, "web").after == host()
    with pytest.raises(UnknownName):
        addition.remove(here, STACK, CATALOGUE, "n8n")
    with pytest.raises(UsageError, match="disk has to stay on h1: db needs it"):
        addition.remove(host(services=("disk", "db")), STACK, CATALOGUE, "disk")


# --- the part of a plan -----------------------------------------------------------------------------------------------

OLD = FileFact("0" * 64, 0o644, "root:root")
SMALL = release()
WEB = "/opt/small/stacks/web/compose.yaml"
WEB_FILE, CONF = File(WEB, b"w\n", 2), File("/opt/small/proxy/conf", b"with web\n", 2)
WITH_CONF = replace(SMALL, files=(*SMALL.files, replace(CONF, content=b"without\n")))
GROWN = replace(
    SMALL,
    files=(*SMALL.files, WEB_FILE, CONF),
    steps=(*SMALL.steps, step("3-configure/30-reload@proxy", 3, "s9", (CONF.path,))),
    containers=(*SMALL.containers, Container("web", "web", "web:1", "f9", 4)),
)
ADDED = [f"create {WEB}", f"update {CONF.path}", "step 3-configure/30-reload@proxy", "create web"]


def test_only_what_differs_is_done() -> None:
    app, db = (container_fact(each) for each in SMALL.containers)
    there = settled(WITH_CONF)
    drifted = replace(there, files={**there.files, APP_FILE: OLD}, containers=(app, replace(db, state="exited")))
    assert names(addition.difference(plan(GROWN, drifted), WITH_CONF)) == ADDED
    assert names(addition.difference(plan(WITH_CONF, settled(GROWN)), GROWN)) == [
        f"update {CONF.path}",
        "remove web",
        f"delete {WEB}",
    ]


def test_others_are_spared() -> None:
    changed = replace(GROWN, containers=(*GROWN.containers[1:], replace(SMALL.containers[0], fingerprint="f8")))
    whole = plan(changed, settled(WITH_CONF))
    assert "recreate app" in names(addition.difference(whole, WITH_CONF))
    assert names(addition.difference(whole, WITH_CONF, {"app"})) == ADDED
    assert f"update {UNIT}" not in names(whole)


def test_all_of_it_or_nothing() -> None:
    """Whatever fails, the part that was done is undone, and nothing else is done on the way."""
    kept = {"release.json": WITH_CONF.manifest(), **{f"files/{f.sha}": f.content for f in WITH_CONF.files}}
    machine = Machine(settled(WITH_CONF), log=b"@ release r\n@ fail pull web:1\n@ exit 1\n", contents=kept)

    def answer(command: str, stdin: bytes) -> Result | Exception:
        result = machine(command, stdin)
        if len(machine.started) == 1 and stdin:  # from now on the first run has half happened
            drifted = settled(GROWN, current=WITH_CONF.id)
            machine.facts = replace(drifted, files={**drifted.files, APP_FILE: OLD})
            machine.log = b"@ release r\n@ exit 0\n"
        return result

    heard: list[Event] = []
    transport = FakeTransport(answer)
    aim = run.Aim(GROWN, templates(), since=run.Aim(WITH_CONF, templates()))
    todo = run.propose(transport, aim)
    assert names(todo) == ADDED
    with pytest.raises(RunFailed, match=rf"web:1[\s\S]*release {WITH_CONF.id} is back in its place"):
        run.bring(transport, todo, aim, Watch("r1", "add", "me", 1, heard.append), rollback=True)
    assert "rollback" in [event.kind for event in heard]
    script = members(machine.started[1])["script"].decode()
    text = script[script.index("\nmain() {") :]
    assert f"del {WEB}" in text
    assert "remove web" in text
    assert APP_FILE not in text, "that was changed by somebody else, and is not ours to mend now"
