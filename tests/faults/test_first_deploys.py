"""A host that was bare: the line is cut, the power fails, the host reboots while it is being set up."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import pytest
from fault_results import Results, trials
from fault_site import Picture, Site
from lab_faults import Cut, assert_sound, differences, power_off, steady

NewSite = Callable[[str], AbstractContextManager[Site]]
HANDSHAKE = 9000
"""Bytes, more than a connection needs until it stands. What is lost before is no lost connection but none at all."""


@dataclass(frozen=True)
class Undisturbed:
    picture: Picture
    bytes: int
    seconds: float


@pytest.fixture(scope="module")
def undisturbed(new_site: NewSite) -> Undisturbed:
    """The first deploy of a host of the same name, with the same secrets, by which the others are measured."""
    with new_site("first") as site:
        seconds = site.bring().data["seconds"]
        site.assert_told_whole(site.runs()[-1])
        return Undisturbed(steady(site.server), site.relay.passed, seconds)


def assert_same(site: Site, undisturbed: Undisturbed) -> None:
    now = steady(site.server)
    assert_sound(now)
    assert differences(now, undisturbed.picture) == []


def cuts(at: random.Random, number: int, undisturbed: Undisturbed) -> list[Cut]:
    """Two to four: the first at any point of the first half, the others while the client is coming back, or later."""
    found = [
        Cut(bytes=at.randrange(HANDSHAKE, undisturbed.bytes // 2))
        if number % 2
        else Cut(seconds=at.uniform(1, undisturbed.seconds / 2))
    ]
    for _ in range(1 + number % 3):
        soon = at.random() < 0.5
        found.append(
            Cut(bytes=at.randrange(1, 2 * HANDSHAKE)) if soon else Cut(seconds=at.uniform(0.1, undisturbed.seconds / 8))
        )
    return found


def test_connection_cut(new_site: NewSite, undisturbed: Undisturbed, results: Results) -> None:
    with results.case(
        "first-cut",
        "first deploy: connection reset (RST) at two to four random bytes or seconds, also while it is made again",
        "the client comes back by itself, exit 0; host equal to an undisturbed one; every line of the log told once",
    ) as case:
        points = 0
        for number in trials(9):
            broken = cuts(case.random, number, undisturbed)
            with case.trial(f"{number}: {', '.join(map(str, broken))}"), new_site("first") as site:
                site.relay.expect(*broken)
                said = site.deploy()
                assert said.code == 0, said
                assert site.relay.broken >= 1, "nothing was cut"
                points += site.relay.broken
                case.notes = [f"{points} connections were reset"]
                site.assert_told_whole(said.data["run"])
                assert_same(site, undisturbed)


@pytest.mark.parametrize("kind", ["power cut", "reboot"])
def test_host_goes_down(new_site: NewSite, undisturbed: Undisturbed, results: Results, kind: str) -> None:
    with results.case(
        f"first-{kind.replace(' ', '-')}",
        f"first deploy: {'all processes killed' if kind == 'power cut' else 'orderly reboot'} in the middle",
        "the client is told that the run broke off, exit 1; the next deploy ends equal to an undisturbed one",
    ) as case:
        endings: dict[str, int] = {}
        for number in trials(3):
            moment = case.random.uniform(2, undisturbed.seconds * 0.7)
            with case.trial(f"{number}: after {moment:.1f} s"), new_site("first") as site:
                site.relay.expect()
                with site.project.start("deploy", site.name, "--yes") as client:
                    client.wait_for("1-setup")
                    time.sleep(moment)
                    if kind == "power cut":
                        power_off(site.server)
                        site.power_on()
                    else:
                        site.server.reboot()
                    said = client.end()
                assert said.code in {0, 1}, said
                assert said.code == 0 or "ended without a result" in said.error
                ending = "broken off, and the client told so" if said.code else "had ended before"
                endings[ending] = endings.get(ending, 0) + 1
                case.notes = [f"{count} {ending}" for ending, count in endings.items()]
                site.bring()
                assert_same(site, undisturbed)
                site.assert_nothing_to_do()
