"""A short selection of what `make faults` does at length: one cut, one killed client, two at once, one power cut."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest
from lab_deployed import Deployed
from lab_faults import Cut, Relay, TappedProject, assert_sound, differences, logged, power_off, power_on, steady
from lab_project import until


@pytest.fixture
def tapped(live: Deployed) -> Iterator[TappedProject]:
    """The deployed host, reached through a relay; `live` puts the plain inventory back."""
    with Relay(lambda: (live.server.lab.ip, 22)) as relay:
        project = TappedProject(live.project, live.server, relay)
        yield project
    live.project.plain(live.name)


def want(tapped: TappedProject, zone: str) -> None:
    tapped.write(tapped.server.name, vars={"timezone": zone})


def test_line_is_cut_twice(tapped: TappedProject) -> None:
    """In the middle of what is sent, and again while containers start: the client comes back both times."""
    server = tapped.server
    want(tapped, "Asia/Tokyo")
    assert tapped.ctl("deploy", server.name, "--yes").code == 0
    undisturbed = steady(server)
    tapped.write(server.name)
    assert tapped.ctl("deploy", server.name, "--yes").code == 0

    want(tapped, "Asia/Tokyo")
    starts = threading.Event()
    tapped.relay.expect(Cut(bytes=25_000), Cut(word=starts))
    with tapped.start("deploy", server.name, "--yes") as client:
        client.wait_for("starting n8n")
        starts.set()
        said = client.end()
    assert said.code == 0, said
    assert tapped.relay.broken == 2
    assert tapped.told == logged(server, server.runs()[-1]), "every line of the log, each once"
    now = steady(server)
    assert_sound(now)
    assert differences(now, undisturbed) == []


def test_client_is_killed(tapped: TappedProject) -> None:
    """The run goes on; `attach` tells the whole of it, and then there is nothing left to do."""
    server = tapped.server
    want(tapped, "Asia/Tokyo")
    with tapped.start("deploy", server.name, "--yes") as client:
        client.wait_for("starting n8n")
        client.process.send_signal(signal.SIGKILL)
        client.end()
    assert tapped.ctl("attach", server.name).code == 0
    assert tapped.told == logged(server, server.runs()[-1])
    said = tapped.ctl("deploy", server.name, "--yes", "--json")
    assert (said.code, said.data["result"]) == (0, "unchanged"), said
    assert_sound(steady(server))


def test_two_clients_at_once(tapped: TappedProject) -> None:
    """One gets through, the other is told who was quicker; the host is as the winner wants it."""
    server, zones = tapped.server, ("Asia/Tokyo", "Europe/Paris")
    words = ["deploy", server.name, "--yes", "--set"]
    with (
        tapped.start(*words, f"timezone={zones[0]}") as one,
        tapped.start(*words, f"timezone={zones[1]}") as other,
    ):
        said = [one.end(), other.end()]
    codes = [each.code for each in said]
    assert sorted(codes) == [0, 4], [str(each) for each in said]
    assert "tester@" in said[codes.index(4)].error
    want(tapped, zones[codes.index(0)])
    nothing = tapped.ctl("deploy", server.name, "--yes", "--json")
    assert (nothing.code, nothing.data["result"]) == (0, "unchanged"), nothing
    assert_sound(steady(server))


def test_power_fails(tapped: TappedProject) -> None:
    """The client is told that the run broke off; nobody holds the lock; the next deploy ends where it was going."""
    server = tapped.server
    want(tapped, "Asia/Tokyo")
    with tapped.start("deploy", server.name, "--yes") as client:
        client.wait_for("starting n8n")
        time.sleep(0.5)
        power_off(server)
        power_on(server)
        said = client.end()
    assert said.code == 1, said
    assert "ended without a result" in said.error
    until("docker", lambda: server.inside.run("docker ps").rc == 0)
    deploy = tapped.ctl("deploy", server.name, "--yes", "--json")
    assert deploy.code == 0, deploy
    again = tapped.ctl("deploy", server.name, "--yes", "--json")
    assert (again.code, again.data["result"]) == (0, "unchanged"), again
    assert_sound(steady(server))
