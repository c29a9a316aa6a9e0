"""The order of work on the firewall in front of a host: what is needed is opened before, what is not is closed after.

A run that fails takes back what was opened for it, but never the way in by which we came.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeVar

from ctl.core.cloud import GroupPlan, Rule, plan, wanted
from ctl.core.errors import CtlError, RunFailed
from ctl.core.ports import Cloud
from ctl.core.selection import Selection

T = TypeVar("T")


@dataclass(slots=True)
class Front:
    """A host's security group, and what is still to change in it. `ssh` is the port at which we come in."""

    cloud: Cloud
    todo: GroupPlan
    ssh: int
    opened: tuple[Rule, ...] = ()

    def let_in(self) -> None:
        """Open the rules for SSH alone. Raises what the cloud raises."""
        self._open([rule for rule in self.todo.open if self._is_ssh(rule)])

    def around(self, work: Callable[[], T], *, back: bool, stay: bool = False) -> T:
        """Open, do the work, close. Where the work fails, with `back`, what was opened for it is closed again.

        With `stay` nothing is closed: the work is not at its end when it returns. Raises what the work and the cloud
        raise.
        """
        self._open(self.todo.open)
        try:
            result = work()
        except RunFailed:
            if back:
                # Should that fail too, the next plan shows what is left.
                with suppress(CtlError):
                    self._take_back()
            raise
        if not stay:
            self.cloud.close(self.todo.group.id, [standing.id for standing in self.todo.close])
        return result

    def _open(self, rules: Iterable[Rule]) -> None:
        rules = tuple(rules)
        self.cloud.open(self.todo.group.id, rules, self.todo.host)
        self.opened += rules
        self.todo = replace(self.todo, open=tuple(rule for rule in self.todo.open if rule not in rules))

    def _take_back(self) -> None:
        there = {standing.rule: standing.id for standing in self.cloud.group().rules if standing.ours}
        back = [there[rule] for rule in self.opened if rule in there and not self._is_ssh(rule)]
        self.cloud.close(self.todo.group.id, back)

    def _is_ssh(self, rule: Rule) -> bool:
        return rule.protocol == "tcp" and rule.first <= self.ssh <= rule.last


def look(cloud: Cloud, selection: Selection) -> Front:
    """What is to change in front of the host. Nothing is changed. Raises what the cloud raises."""
    host = selection.host
    return Front(cloud, plan(host.name, wanted(selection), cloud.group()), host.port)
