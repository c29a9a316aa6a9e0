"""A site that is made on this machine before a deploy takes it along."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Ctl

HOSTS = """\
hosts:
  h1:
    address: 203.0.113.1
    stack: cloudtolocalllm
    vars: {access: internal, portal: {build: BUILD, directory: ../app/web}}
"""
MAKE = "mkdir -p web && echo hello >web/index.html && echo made >>made"


@pytest.fixture
def app(ctl: Ctl) -> Path:
    """An application beside the project; its top is told by its Makefile."""
    folder = ctl.folder.parent / "app"
    folder.mkdir()
    (folder / "Makefile").touch()
    ctl.write("inventory.yaml", HOSTS.replace("BUILD", MAKE))
    return folder


def test_a_deploy_runs_the_command_first_and_says_so(ctl: Ctl, app: Path) -> None:
    said = ctl("deploy", "h1", "--yes")
    assert said.code == 0, said
    assert f"building portal on this machine, in {app}: {MAKE}" in said.err
    assert (app / "made").read_text() == "made\n"
    assert len(ctl.started) == 1


def test_plan_and_render_take_what_is_there(ctl: Ctl, app: Path) -> None:
    absent = ctl("plan", "h1")
    assert absent.code == 2 and "app/web is no folder" in absent.err and f"`{MAKE}` first" in absent.err
    (app / "web").mkdir()
    (app / "web/index.html").touch()
    said = ctl("plan", "h1")
    assert said.code == 0 and f"a deploy first builds portal on this machine: {MAKE}" in said.err
    assert ctl("render", "h1", "--out", "out").code == 0
    assert not (app / "made").exists()


def test_a_command_that_fails_ends_the_deploy_before_any_host_is_looked_at(ctl: Ctl, app: Path) -> None:
    ctl.write("inventory.yaml", HOSTS.replace("BUILD", "echo no such widget; exit 3"))
    said = ctl("deploy", "h1", "--yes")
    assert said.code == 1
    assert "failed on this machine (exit code 3), and said last:\n    no such widget" in said.err
    assert not ctl.transports


@pytest.mark.parametrize("words", [("--only", "postgres"), ("--phase", "1")])
def test_what_does_not_bring_the_portal_does_not_build_it(ctl: Ctl, app: Path, words: tuple[str, str]) -> None:
    (app / "web").mkdir()
    (app / "web/index.html").touch()
    assert ctl("deploy", "h1", "--yes", *words).code == 0
    assert not (app / "made").exists()
