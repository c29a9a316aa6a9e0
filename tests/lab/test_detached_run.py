"""A run belongs to the host: whoever started it may go away, and whoever comes meanwhile is told who is at work."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import yaml
from lab_project import ROOT, VARS, Project, Said, until
from lab_server import Server

from ctl.lab import SECRETS


@dataclass(frozen=True)
class FirstRun:
    """A first deploy to an address, interrupted while Docker was being installed, and met by a second one."""

    project: Project
    server: Server
    interrupted: Said
    met: Said
    run: str


@pytest.fixture(scope="module")
def first(bare: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FirstRun]:
    project = Project(tmp_path_factory.mktemp("away"))
    (project.folder / ".env").write_text("".join(f"{name}={value}\n" for name, value in SECRETS.items()))
    target = f"{bare.lab.user}@{bare.lab.address}:{bare.lab.port}"
    settings = [word for name, value in VARS.items() for word in ("--set", f"{name}={value}")]
    words = ["deploy", target, "--stack", "lean-llm", *settings, "--key", str(bare.lab.key), "--yes"]
    with project.start(*words, "--accept-new-host-key") as started:
        started.wait_for("… Docker Engine")
        started.interrupt()
        interrupted = started.end(seconds=30)
    met = project.ctl(*words)
    run = bare.sh(f"ls {ROOT}/.ctl/runs | sort | head -n 1")
    until("the run's end", lambda: bare.inside.file(f"{ROOT}/.ctl/runs/{run}/exit").exists, seconds=180)
    yield FirstRun(project, bare, interrupted, met, run)


def test_interrupted_client_names_the_run(first: FirstRun) -> None:
    assert first.interrupted.code == 130, first.interrupted
    assert first.run in first.interrupted.error
    assert "goes on" in first.interrupted.error


def test_second_deploy_is_told_who_is_at_work(first: FirstRun) -> None:
    assert first.met.code == 4, first.met
    assert "tester@" in first.met.error
    assert re.search(r"since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", first.met.error), first.met
    assert "ctl deploy" in first.met.error


def test_run_went_on_to_its_good_end(first: FirstRun) -> None:
    assert first.server.sh(f"cat {ROOT}/.ctl/runs/{first.run}/exit") == "0", first.server.sh(
        f"tail -n 30 {ROOT}/.ctl/runs/{first.run}/log"
    )
    said = first.project.ctl("status", "--json")
    assert (said.code, said.data["healthy"]) == (0, True), said
    assert {one.state for one in first.server.containers().values()} == {"running"}


def test_host_was_written_into_the_inventory(first: FirstRun) -> None:
    entry = yaml.safe_load(first.project.inventory.read_text())["hosts"]
    lab = first.server.lab
    assert entry == {
        lab.address: {
            "address": lab.address,
            "user": lab.user,
            "port": lab.port,
            "key": str(lab.key),
            "stack": "lean-llm",
            "vars": dict(VARS),
        }
    }
    assert "inventory.yaml now says" in first.interrupted.stderr
    assert str(lab.port) in first.project.known_hosts.read_text()


def test_next_deploy_has_nothing_to_do(first: FirstRun) -> None:
    """By then the inventory is enough: one host in it, its key accepted."""
    before = first.server.containers()
    said = first.project.ctl("deploy", "--yes", "--json")
    assert (said.code, said.data["empty"]) == (0, True), said
    assert first.server.containers() == before


def test_lost_connection_loses_nothing(first: FirstRun) -> None:
    """All SSH sessions of the user are cut off in the middle of a run; the client comes back and follows to the end."""
    with first.project.start("deploy", "--set", "timezone=Asia/Tokyo", "--yes") as started:
        started.wait_for("starting n8n")
        first.server.sh(f"pkill -KILL -u {first.server.lab.user} -f '^sshd'")
        said = started.end()
    assert said.code == 0, said
    assert "n8n is healthy" in said.stderr
    assert said.stderr.count("starting n8n") == 1
