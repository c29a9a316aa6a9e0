"""ctl doctor, with hosts that exist only here."""

from __future__ import annotations

import json
import time

import pytest
from conftest import INVENTORY, Ctl
from samples import Machine, fit

from ctl.cli.workplace import Workplace
from ctl.core.errors import ConnectFailed, HostKeyUnknown
from ctl.edge.fake import FakeTransport


@pytest.fixture(autouse=True)
def clock(ctl: Ctl) -> None:
    """A host whose time is ours."""
    ctl.facts = lambda release: fit(time=int(time.time()))


@pytest.fixture
def asked(ctl: Ctl) -> None:
    """A host that answers, whatever can be rendered for it."""
    machine = Machine(fit(time=int(time.time())))
    ctl.monkeypatch.setattr(Workplace, "transport", lambda place, host, **_: FakeTransport(machine))


def test_a_good_host(ctl: Ctl) -> None:
    said = ctl("doctor", "h1")
    assert (said.code, said.err) == (0, "")
    assert "✓ connection" in said.out
    assert "✓ secrets" in said.out
    assert [(each.connections, each.channels) for each in ctl.transports] == [(1, 1)]
    assert not ctl.started


def test_json(ctl: Ctl) -> None:
    data = json.loads(ctl("doctor", "h1", "--json").out)
    assert (data["host"], data["ready"]) == ("h1", True)
    assert {"name", "state", "text", "remedy"} == set(data["checks"][0])


def test_it_leaves_no_trace_in_the_vault(ctl: Ctl) -> None:
    refusing = FakeTransport(lambda *_: ConnectFailed("no"))
    ctl.monkeypatch.setattr(Workplace, "transport", lambda place, host, **_: refusing)
    assert ctl("doctor", "h1").code == 1
    assert not (ctl.folder / "vault.enc").exists()


def test_a_problem_is_exit_1_with_its_remedy(ctl: Ctl) -> None:
    ctl.facts = lambda release: fit(systemd=False, time=int(time.time()))
    said = ctl("doctor", "h1")
    assert said.code == 1
    assert "✗ host" in said.out
    assert "a server or VPS with systemd is needed" in said.out


@pytest.mark.parametrize("error", [ConnectFailed("refused", hint="look"), HostKeyUnknown("unknown", hint="accept")])
def test_a_host_that_is_not_reached_is_one_finding_among_others(ctl: Ctl, error: Exception) -> None:
    ctl.monkeypatch.setattr(Workplace, "transport", lambda place, host, **_: FakeTransport(lambda *_: error))
    ctl.monkeypatch.setenv("BASIC_AUTH_PASSWORD", "changeme")
    said = ctl("doctor", "h1")
    assert said.code == 1
    assert "✗ connection" in said.out
    assert "the secret BASIC_AUTH_PASSWORD is a known default" in said.out
    assert "changeme" not in said.out


def test_what_cannot_be_rendered_does_not_keep_the_host_from_being_asked(ctl: Ctl, asked: None) -> None:
    said = ctl("doctor", "h1", "--set", "timzone=x")
    assert said.code == 1
    assert "✗ files" in said.out
    assert "did you mean timezone?" in said.out
    assert "✓ host" in said.out


def test_a_vault_that_does_not_open_is_one_finding_among_others(ctl: Ctl, asked: None) -> None:
    ctl.write("vault.enc", "nonsense")
    said = ctl("doctor", "h1")
    assert said.code == 1
    assert "✗ vault" in said.out
    assert "✓ host" in said.out


def test_a_missing_secret_is_named(ctl: Ctl, asked: None) -> None:
    ctl.write("inventory.yaml", INVENTORY.replace("access: internal", "access: ngrok, ngrok_domain: a.ngrok-free.app"))
    said = ctl("doctor", "h1")
    assert said.code == 1
    assert "the secret NGROK_AUTHTOKEN (the authtoken of the ngrok account) has no value" in said.out
    assert "✓ host" in said.out


def test_a_stack_that_builds_its_images_is_rendered_too(ctl: Ctl) -> None:
    said = ctl("doctor", "h1", "--stack", "enterprise-llm", "--set", "admin_email=a@example.com", "--json")
    states = {check["name"]: check["state"] for check in json.loads(said.out)["checks"]}
    assert (states["files"], states["gpu"]) == ("ok", "note")
