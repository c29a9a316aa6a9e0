"""--gpu, and what the commands say where it is the host that decides about a graphics card."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Ctl
from samples import fit, settled

from ctl.cli.workplace import Workplace
from ctl.core.probe import Cards, Facts
from ctl.core.release import Release

WHISPER = "/opt/lean-llm/stacks/whisper/compose.yaml"
HAS = Cards(("0000:01:00.0",), "550.54.14", ("NVIDIA L4",))
INVENTORY = """\
hosts:
  h1: {address: 203.0.113.1, stack: lean-llm, services: [whisper], vars: {access: internal}}
"""


@pytest.fixture
def gpu(ctl: Ctl) -> Ctl:
    ctl.write("inventory.yaml", INVENTORY)
    return ctl


def carded(ctl: Ctl, cards: Cards) -> Callable[[Release], Facts]:
    """A host that is as a release with a card wants it, whatever cards it has now."""

    def facts(_: Release) -> Facts:
        place = Workplace(ctl.folder)
        aim = place.aim(place.host("h1"))
        return settled(aim.on(fit(cards=HAS)).release, cards=cards)

    return facts


def test_a_render_says_that_nobody_was_asked(gpu: Ctl, tmp_path: Path) -> None:
    def image(*words: str) -> tuple[str, str]:
        out = tmp_path / ("x" + "".join(words))
        said = gpu("render", "h1", "--out", str(out), *words)
        assert said.code == 0
        return (out / WHISPER.lstrip("/")).read_text(), said.err

    text, said = image()
    assert "as for a host without a graphics card" in said
    assert "driver: nvidia" not in text
    for word, there in (("none", False), ("nvidia", True)):
        text, said = image("--gpu", word)
        assert "graphics card" not in said
        assert ("driver: nvidia" in text) is there


def test_the_flag_comes_before_the_inventory(gpu: Ctl) -> None:
    gpu.write("inventory.yaml", INVENTORY.replace("internal}", "internal, gpu: nvidia}"))
    assert "services want an NVIDIA card" in gpu("plan", "h1").err
    assert gpu("plan", "h1", "--gpu", "none").code == 0
    assert gpu("plan", "h1", "--gpu", "auto").code == 0
    said = gpu("plan", "h1", "--gpu", "amd")
    assert said.code == 2
    assert "expected one of auto, none, nvidia" in said.err


def test_nothing_to_do_with_a_card_costs_one_connection_and_one_command(gpu: Ctl) -> None:
    gpu.facts = carded(gpu, HAS)
    said = gpu("deploy", "h1")
    assert said.code == 0, said
    assert "nothing to do" in said.err
    assert [(each.connections, each.channels) for each in gpu.transports] == [(1, 1)]
    assert gpu("status", "h1", "--detailed-exitcode").code == 0
    assert gpu("plan", "h1", "--gpu", "none", "--detailed-exitcode").code == 3


def test_a_card_without_a_driver_is_told_and_goes_on_without(gpu: Ctl) -> None:
    gpu.facts = fit(cards=Cards(("0000:01:00.0",)))
    said = gpu("plan", "h1")
    assert said.code == 0
    assert "the NVIDIA card stays unused" in said.out
    assert "the NVIDIA card stays unused" in json.loads(gpu("plan", "h1", "--json").out)["notes"][0]
    assert "the NVIDIA card stays unused" not in gpu("plan", "h1", "--gpu", "none").out


def test_a_card_that_is_gone_stops_a_deploy(gpu: Ctl) -> None:
    gpu.facts = carded(gpu, Cards(given=True))
    said = gpu("deploy", "h1", "--yes")
    assert said.code == 1
    assert "the NVIDIA card that services have is gone" in said.err
    assert not gpu.started
    assert gpu("deploy", "h1", "--yes", "--gpu", "none").code == 0
    assert len(gpu.started) == 1


def test_other_changes_of_a_host_leave_its_card_alone(gpu: Ctl) -> None:
    gpu.facts = carded(gpu, HAS)
    said = gpu("add-service", "qdrant", "h1", "--yes", "--json")
    assert said.code == 0, said
    assert {change["name"] for change in json.loads(said.out)["changes"] if change["type"] == "container"} == {"qdrant"}


def test_a_secret_is_rotated_on_a_host_with_a_card(gpu: Ctl) -> None:
    gpu.facts = carded(gpu, HAS)
    assert gpu("secrets", "show", "h1", "WHISPER_API_KEY").code == 0
    said = gpu("secrets", "rotate", "h1", "WHISPER_API_KEY", "--yes")
    assert said.code == 0, said
    assert len(gpu.started) == 1
