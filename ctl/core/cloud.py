"""The firewall that a cloud has in front of a host: the rules that a stack wants, those that are there, the difference.

Only what comes in is looked after. Which networks a rule of another kind than an address range stands for (a security
group, a prefix list) is not known here: such a rule is nobody's wish, and shown as drift.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ctl.core.entrance import ANYWHERE
from ctl.core.selection import Selection

WIREGUARD = 41641


@dataclass(frozen=True, slots=True, order=True)
class Rule:
    """Ports `first` to `last` of a protocol, let in from `source`: a network, or the id of whatever else it may be.

    What is about no ports (ICMP, all protocols) has -1 there.
    """

    protocol: str
    first: int
    last: int
    source: str
    about: str = field(default="", compare=False)

    def __str__(self) -> str:
        ports = f"{self.first}" if self.first == self.last else f"{self.first}-{self.last}"
        what = (
            "everything" if self.protocol == "-1" else self.protocol if self.first < 0 else f"{ports}/{self.protocol}"
        )
        return f"{what} from {self.source}"


@dataclass(frozen=True, slots=True)
class Standing:
    """A rule as it stands in the group, by its id there. `ours`: it has the mark of this program."""

    id: str
    rule: Rule
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A security group, and the instances that it is in front of."""

    id: str
    name: str
    rules: tuple[Standing, ...] = ()
    instances: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Volume:
    """A disk of the instance. `device` is what the cloud calls it there."""

    id: str
    device: str
    root: bool
    encrypted: bool


@dataclass(frozen=True, slots=True)
class GroupPlan:
    """What would change in a group; falsy where nothing would."""

    host: str
    group: Group
    open: tuple[Rule, ...] = ()
    close: tuple[Standing, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.open or self.close)

    @property
    def drift(self) -> tuple[Standing, ...]:
        """What somebody else let in."""
        return tuple(standing for standing in self.close if not standing.ours)

    def opens(self, port: int) -> bool:
        """Whether somebody is let in at this TCP port who was not before."""
        return any(rule.protocol == "tcp" and rule.first <= port <= rule.last for rule in self.open)


def wanted(selection: Selection) -> tuple[Rule, ...]:
    """What has to come in from outside for this stack: SSH, the tailnet's WireGuard, the doors where they are public.

    The host's own firewall lets in the same; doors of the kind `internal` are for the host's neighbours, who come
    past no security group of the internet's.
    """
    values = selection.vars
    found = [Rule("tcp", port := selection.host.port, port, source, "SSH") for source in values["ssh_from"]]
    if selection.access.kind == "tailscale":
        found += [Rule("udp", WIREGUARD, WIREGUARD, source, "Tailscale's WireGuard") for source in ANYWHERE]
    doors = selection.doors.reachable if selection.access.kind == "public" else ()
    for port in dict.fromkeys((*doors, *values["allow_ports"])):
        found += [Rule("tcp", port, port, source, "a door" if port in doors else "allow_ports") for source in ANYWHERE]
    return tuple(dict.fromkeys(found))


def plan(host: str, rules: Iterable[Rule], group: Group) -> GroupPlan:
    """What brings the group to these rules and no others."""
    rules = tuple(rules)
    there = {standing.rule for standing in group.rules}
    return GroupPlan(
        host,
        group,
        open=tuple(rule for rule in rules if rule not in there),
        close=tuple(standing for standing in group.rules if standing.rule not in rules),
    )
