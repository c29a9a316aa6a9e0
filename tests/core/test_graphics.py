"""Graphics cards: what the probe sees of them, what that decides, and what is said where they do not answer."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samples import Machine, context, fit, names, release, rendered, secrets_for, selection, settled, templates

from ctl import run
from ctl.core.errors import HostUnfit
from ctl.core.fitness import preflight
from ctl.core.graphics import decided, missing, unused
from ctl.core.plan import plan
from ctl.core.probe import Cards, Facts, parse
from ctl.core.release import File, load_release
from ctl.core.render import render
from ctl.edge.fake import FakeTransport

# --- what the probe sees ----------------------------------------------------------------------------------------------

DRIVER = (
    "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22 01:44:30 UTC 2024\nGCC version:  12.2.0\n"
)
OPEN_DRIVER = "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  575.57.08  Release Build  (root@host)\n"
SMI = "GPU 0: NVIDIA L4 (UUID: GPU-0000)\nGPU 1: NVIDIA A100-SXM4-80GB (UUID: GPU-1111)\n"
CARD, AUDIO, OTHER = ("0x10de", "0x030200"), ("0x10de", "0x040300"), ("0x1002", "0x030000")


def seen(
    tmp_path: Path,
    devices: Mapping[str, tuple[str, str]],
    driver: str = "",
    smi: str | None = None,
    manifest: bytes = b"",
) -> Cards:
    """What the probe's own function tells of a tree that looks like a host's /sys and /proc."""
    (tmp_path / "sys/bus/pci/devices").mkdir(parents=True)
    for address, (vendor, kind) in devices.items():
        folder = tmp_path / "sys/bus/pci/devices" / address
        folder.mkdir()
        (folder / "vendor").write_text(f"{vendor}\n")
        (folder / "class").write_text(f"{kind}\n")
    programs, proc, kept = tmp_path / "bin", tmp_path / "proc/driver/nvidia", tmp_path / "ctl/releases/r1"
    for folder in (programs, proc, kept):
        folder.mkdir(parents=True)
    if driver:
        (proc / "version").write_text(driver)
    if smi is not None:
        (programs / "nvidia-smi").write_text(f"#!/bin/sh\n[ \"$*\" = -L ] && cat <<'END'\n{smi}END\n")
        (programs / "nvidia-smi").chmod(0o755)
    if manifest:
        (tmp_path / "ctl/current").write_text("r1\n")
        (kept / "release.json").write_bytes(manifest)
    text = f"{templates().source('host/probe.sh')}\nsay ctl-probe 1\ncards {tmp_path}/sys {tmp_path}/proc\nsay end\n"
    done = subprocess.run(
        ["sh", "-uc", text],
        env={"PATH": f"{programs}:/usr/bin:/bin", "ctl": f"{tmp_path}/ctl"},
        capture_output=True,
        check=True,
    )
    assert done.stderr == b""
    return parse(done.stdout).cards


ADDRESS = "0000:01:00.0"


@pytest.mark.parametrize(
    ("what", "cards"),
    [
        ({"devices": {}}, Cards()),
        ({"devices": {ADDRESS: OTHER, "0000:02:00.1": AUDIO}}, Cards()),
        ({"devices": {ADDRESS: CARD, "0000:01:00.1": AUDIO}}, Cards((ADDRESS,))),
        ({"devices": {ADDRESS: CARD}, "driver": DRIVER}, Cards((ADDRESS,), "550.54.14")),
        ({"devices": {ADDRESS: CARD}, "driver": OPEN_DRIVER}, Cards((ADDRESS,), "575.57.08")),
        (
            {"devices": {ADDRESS: CARD}, "driver": DRIVER, "smi": SMI},
            Cards((ADDRESS,), "550.54.14", ("NVIDIA L4", "NVIDIA A100-SXM4-80GB")),
        ),
        ({"devices": {ADDRESS: CARD}, "smi": "No devices were found\n"}, Cards((ADDRESS,))),
        ({"devices": {}, "smi": SMI}, Cards(ready=("NVIDIA L4", "NVIDIA A100-SXM4-80GB"))),
    ],
)
def test_what_the_probe_sees(tmp_path: Path, what: dict[str, Any], cards: Cards) -> None:
    assert seen(tmp_path, **what) == cards


def test_what_the_release_on_the_host_has_is_read_from_its_manifest(tmp_path: Path) -> None:
    words = File("/opt/small/x", b'{\n "gpu": "nvidia"\n}', 2)
    for at, (wanted, given) in enumerate((("nvidia", True), ("auto", False), ("", False))):
        kept = release(gpu=wanted, files=(*release().files, words))
        assert seen(tmp_path / str(at), {}, manifest=kept.manifest()).given is given
        blobs = {file.sha: file.content for file in kept.files}
        assert load_release(kept.manifest(), blobs).gpu == wanted


# --- what it decides --------------------------------------------------------------------------------------------------

HAS = Cards((ADDRESS,), "550.54.14", ("NVIDIA L4",))
SILENT = Cards((ADDRESS,))
GONE = Cards(given=True)
BROKEN = Cards((ADDRESS,), "550.54.14", given=True)


@pytest.mark.parametrize(
    ("gpu", "cards", "refused", "said"),
    [
        ("", Cards(), "", ""),
        ("", SILENT, "", ""),
        ("", GONE, "", ""),
        ("auto", Cards(), "", ""),
        ("auto", HAS, "", ""),
        ("auto", SILENT, "", "the NVIDIA card stays unused, for no driver is loaded for it: install the packages"),
        (
            "auto",
            replace(SILENT, driver="550"),
            "",
            "stays unused, for its driver 550 is loaded, and nvidia-smi shows no",
        ),
        ("auto", GONE, "the NVIDIA card that services have is gone: none is on the PCI bus", ""),
        ("auto", BROKEN, "the NVIDIA card that services have is gone: its driver 550.54.14 is loaded, and", ""),
        ("nvidia", HAS, "", ""),
        ("nvidia", Cards(), "services want an NVIDIA card: none is on the PCI bus", ""),
        ("nvidia", SILENT, "services want an NVIDIA card: no driver is loaded for it", ""),
    ],
)
def test_what_is_made_of_it(gpu: Any, cards: Cards, refused: str, said: str) -> None:
    wanted, facts = release(gpu=gpu), fit(cards=cards)
    found = list(missing(wanted, facts))
    assert (bool(found), bool(unused(wanted, facts))) == (bool(refused), bool(said))
    assert said in unused(wanted, facts)
    if refused:
        with pytest.raises(HostUnfit) as caught:
            preflight(plan(wanted, facts))
        assert refused in caught.value.message
        assert "--gpu none" in caught.value.hint
    else:
        preflight(plan(wanted, facts))


def test_the_remedy_is_the_distributions() -> None:
    assert "ubuntu-drivers" in unused(release(gpu="auto"), fit(os="ubuntu", cards=SILENT))
    assert "nvidia-driver" in unused(release(gpu="auto"), fit(cards=SILENT))


@pytest.mark.parametrize(("cards", "wanted"), [(Cards(), False), (SILENT, False), (HAS, True), (GONE, True)])
def test_what_the_host_decides(cards: Cards, wanted: bool) -> None:
    assert decided(fit(cards=cards)) is wanted


# --- one look is enough -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stack", "host"),
    [
        ("enterprise-llm", {"vars": {"access": "internal"}}),
        ("enterprise-llm", {"vars": {"ollama_engines": ["here:0", "here:1"]}, "services": ("litellm", "whisper")}),
        ("ai-platform", {"vars": {"access": "internal"}, "services": ("comfyui",)}),
        ("lean-llm", {"services": ("whisper",)}),
    ],
)
def test_with_a_card_a_release_asks_the_host_for_the_same(stack: str, host: dict[str, Any]) -> None:
    """So what the host said about the one is what there is to know for the other."""
    chosen = selection(stack, **host)
    values = secrets_for(chosen)
    without, carded = (render(each, values, templates(), context) for each in (chosen, chosen.with_card()))
    assert (without.gpu, carded.gpu) == ("auto", "nvidia")
    assert [step.text for step in without.steps] == [step.text for step in carded.steps]
    assert [file.path for file in without.files] == [file.path for file in carded.files]
    assert (without.doors, without.externals) == (carded.doors, carded.externals)
    assert without.id != carded.id


def test_who_has_no_use_for_a_card_is_not_asked_about_it() -> None:
    assert rendered("lean-llm").gpu == ""
    assert not [step for step in rendered("lean-llm").steps if "nvidia" in step.id]
    assert rendered("enterprise-llm", vars={"gpu": "none"}).gpu == ""


SMALL, CARDED = release(gpu="auto"), release(gpu="nvidia", memory=513)


def _aim(**changes: Any) -> run.Aim:
    return replace(run.Aim(SMALL, templates(), carded=lambda: CARDED), **changes)


@pytest.mark.parametrize(("cards", "wanted"), [(Cards(), SMALL), (SILENT, SMALL), (HAS, CARDED)])
def test_a_proposal_is_for_the_host_that_answered(cards: Cards, wanted: Any) -> None:
    transport = FakeTransport(Machine(settled(wanted, cards=cards)))
    todo = run.propose(transport, _aim())
    assert (todo.release, names(todo), bool(todo)) == (wanted, [], False)
    assert (transport.connections, transport.channels) == (1, 1)


def test_a_card_that_is_gone_is_refused_by_a_proposal() -> None:
    with pytest.raises(HostUnfit, match="is gone"):
        run.propose(FakeTransport(Machine(settled(CARDED, cards=GONE))), _aim())


def test_what_was_there_until_now_is_decided_too() -> None:
    before = _aim()
    grown = replace(CARDED, memory=600)
    todo = run.propose(
        FakeTransport(Machine(settled(CARDED, cards=HAS))), _aim(since=before, carded=lambda: grown, release=SMALL)
    )
    assert (todo.release, names(todo)) == (grown, [])


def test_a_kept_release_is_what_it_was() -> None:
    facts: Facts = settled(SMALL, cards=HAS)
    assert _aim(carded=None).on(facts).release == SMALL
