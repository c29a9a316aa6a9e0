"""A disk without room. The lab host gets small ones of its own: this machine's stays as it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest
from fault_results import Results, trials
from fault_site import ZONES, Site
from lab_faults import assert_sound, picture, steady
from lab_project import ROOT

NewSite = Callable[[str], AbstractContextManager[Site]]
FILL = """cd {0} && rm -f filler && free=$(df -Pk . | awk 'NR == 2 {{ print $4 }}')
[ "$free" -le {1} ] || fallocate -l $((free - {1}))K filler
"""
FREE = (0, 4, 16, 64, 96, 120, 132, 140, 150, 160, 170, 180, 200, 220, 250)
"""Kilobytes that are left: from none, over too few for what is sent, to too few for what is written at the end."""


@pytest.fixture(scope="module")
def cramped(new_site: NewSite) -> Iterator[Site]:
    """A host whose /opt has 6 MB and whose Docker has 600 MB, both in memory."""
    with new_site("cramped") as site:
        # The first deploy wants to see the room that the stack declares.
        site.server.sh("mount -t tmpfs -o size=30g,mode=755 tmpfs /opt")
        site.server.sh("mount -t tmpfs -o size=600m,mode=710 tmpfs /var/lib/docker")
        site.settle()
        site.server.sh("mount -o remount,size=6m /opt")
        yield site


def test_no_room_for_the_release(cramped: Site, results: Results) -> None:
    site = cramped
    with results.case(
        "disk-upload",
        "disk of the stack's folder full, 0 to 250 KB left: while the release is sent, unpacked, applied, recorded",
        "exit 1 and `no space left`, or exit 0 if it was enough; release before still running; nothing half-written;"
        " with room again the next deploy ends equal to an undisturbed one",
    ) as case:
        endings: dict[str, list[int]] = {}
        for number in trials(len(FREE)):
            left = FREE[number]
            with case.trial(f"{left} KB left"):
                site.server.sh("rm -f /opt/filler")
                site.reset(ZONES[0])
                before = picture(site.server)
                site.server.sh(FILL.format("/opt", left))
                site.want(ZONES[1])
                said = site.deploy()
                site.server.sh("rm -f /opt/filler")
                now = steady(site.server)
                assert_sound(now)
                if said.code != 0:
                    assert said.code == 1, said
                    assert "no space left" in said.error.lower(), said
                    assert [line.split()[-2:] for line in now["containers"]] == [["running", "healthy"]] * 3
                    assert now["current"] == before["current"]
                ending = said.error.split(" failed")[0].removeprefix("error: ").split(":")[0] if said.code else "enough"
                endings.setdefault(ending.replace(ROOT, "…")[:60], []).append(left)
                site.bring()
                site.assert_as(ZONES[1])
        for ending, sizes in endings.items():
            case.note(f"{ending}: {', '.join(map(str, sizes))} KB")


def test_no_room_for_an_image(cramped: Site, results: Results) -> None:
    """PostgreSQL's image, which shares nothing with those that are there, is added to the stack."""
    site = cramped
    with results.case(
        "disk-pull",
        "disk of Docker's storage full (0, 20, 60 MB left) while an image of 86 MB is pulled",
        "exit 1, the image and `no space left` named; release before still running; with room again a deploy works",
    ) as case:
        for number in trials(3):
            left = (20, 60, 0)[number]
            with case.trial(f"{left} MB left"):
                site.server.sh("rm -f /opt/filler /var/lib/docker/filler")
                site.reset(ZONES[0])
                before = picture(site.server)
                site.server.sh(FILL.format("/var/lib/docker", left * 1024))
                site.want(ZONES[0], services=["postgres"])
                said = site.deploy()
                site.server.sh("rm -f /var/lib/docker/filler")
                assert said.code == 1, said
                assert "postgres" in said.error, said
                assert "no space left" in said.error.lower(), said
                now = steady(site.server)
                assert_sound(now)
                assert now["containers"] == before["containers"]
                assert now["current"] == before["current"]
                assert now["files"] == before["files"], "the image is missing before anything is changed"
                site.reset(ZONES[0])
                site.assert_as(ZONES[0])
        with case.trial("with room again"):
            site.want(ZONES[0], services=["postgres"])
            site.bring()
            site.assert_nothing_to_do()
