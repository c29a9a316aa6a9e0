"""What the host's graphics cards mean for a release: whether services get them, and what to say where they do not."""

from __future__ import annotations

from collections.abc import Iterable

from ctl.core.errors import HostUnfit
from ctl.core.probe import Facts
from ctl.core.release import Release


def decided(facts: Facts) -> bool:
    """Whether services get a card, where that is left to the host: it has one that answers, or had one until now."""
    return bool(facts.cards.ready) or facts.cards.given


def missing(release: Release, facts: Facts) -> Iterable[HostUnfit]:
    """A card that the release counts on, and that does not answer: without it models would be slow in silence."""
    if facts.cards.ready or not (release.gpu == "nvidia" or (release.gpu == "auto" and facts.cards.given)):
        return
    what = "the NVIDIA card that services have is gone" if facts.cards.given else "services want an NVIDIA card"
    yield HostUnfit(
        f"{what}: {state(facts)}", hint=f"{remedy(facts)}; or do without: --gpu none, `gpu: none` in the inventory"
    )


def unused(release: Release, facts: Facts) -> str:
    """What to say of a card that is there and that nobody gets; nothing where there is none."""
    if release.gpu != "auto" or not facts.cards.found or decided(facts):
        return ""
    return f"the NVIDIA card stays unused, for {state(facts)}: {remedy(facts)}, and deploy again"


def state(facts: Facts) -> str:
    cards = facts.cards
    if cards.driver:
        return f"its driver {cards.driver} is loaded, and nvidia-smi shows no card"
    return "no driver is loaded for it" if cards.found else "none is on the PCI bus"


def remedy(facts: Facts) -> str:
    """What a person does on the host so that the card answers."""
    if not facts.cards.found and not facts.cards.driver:
        return "give the host one"
    if facts.os == "ubuntu":
        return "run `ubuntu-drivers install --gpgpu` there, and reboot until `nvidia-smi -L` names it"
    return (
        "install the packages nvidia-driver and nvidia-smi there (non-free), and reboot until `nvidia-smi -L` names it"
    )
