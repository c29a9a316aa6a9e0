"""A lab host with its project and its relay, and the two states between which it is moved."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab_faults import MEMORY, Relay, TappedProject, assert_sound, differences, logged, power_on, steady
from lab_project import Said
from lab_server import Server

PREFIX = "lab-fault-"
# Two inventories, a change of settings apart.
ZONES = ("Etc/UTC", "Asia/Tokyo")

Picture = dict[str, list[str]]


@dataclass
class Site:
    """`pictures` are those of an undisturbed host, by the inventory's time zone."""

    server: Server
    project: TappedProject
    relay: Relay
    pictures: dict[str, Picture] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.server.name

    def want(self, zone: str, **changes: Any) -> None:
        """The inventory asks for this time zone."""
        self.project.write(self.name, vars={"timezone": zone}, **changes)

    def deploy(self, *options: str) -> Said:
        return self.project.ctl("deploy", self.name, "--yes", "--json", *options)

    def bring(self) -> Said:
        """What the inventory asks for, undisturbed; it has to succeed."""
        self.relay.expect()
        said = self.deploy()
        assert said.code == 0, said
        return said

    def settle(self) -> None:
        """Take the pictures of both states; ends in the first."""
        for zone in (*ZONES, ZONES[0]):
            self.want(zone)
            self.bring()
            self.pictures[zone] = steady(self.server)
        # A release that is current was applied before, and its folder is not made anew: the order does not matter.

    def reset(self, zone: str) -> None:
        """To one of the two states, whatever a failed trial left behind."""
        self.want(zone)
        self.bring()

    def runs(self) -> list[str]:
        return [name for name in self.server.runs() if ".new" not in name]

    def current(self) -> str:
        return self.server.sh(f"cat {MEMORY}/current")

    def assert_as(self, zone: str) -> None:
        """Equal to the undisturbed host in that state: files, containers, stamps, units, and nobody holds the lock."""
        now = steady(self.server)
        assert_sound(now)
        found = differences(now, self.pictures[zone])
        assert not found, "; ".join(found)

    def assert_nothing_to_do(self) -> None:
        self.relay.expect()
        said = self.deploy()
        assert (said.code, said.data.get("result")) == (0, "unchanged"), said

    def assert_told_whole(self, run: str) -> None:
        """The client was told every line of the run's log, each once, in order."""
        told, log = self.project.told, logged(self.server, run)
        assert len(told) == len(log), f"told of {len(told)} lines of {len(log)}"
        assert told == log

    def power_on(self) -> None:
        power_on(self.server)
        self.project.meet()
