"""Which rules a stack wants in front of its host, what brings a group there, and who is never shut out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from samples import NGROK, selection

from ctl.core.cloud import Group, GroupPlan, Rule, Standing, plan, wanted
from ctl.core.entrance import Entrance
from ctl.core.errors import ConnectFailed, InvalidFile, RunFailed, Unhealthy, UsageError
from ctl.run.cloud import Front

TAILNET = {"domain": "ai.tail1234.ts.net"}
PUBLIC = {"access": "public", "address": "0.0.0.0", "domain": "ai.example.com"}


def spelled(rules: Iterable[Rule]) -> list[str]:
    return [str(rule) for rule in rules]


def both(*ports: str) -> list[str]:
    return [f"{port} from {source}" for port in ports for source in ("0.0.0.0/0", "::/0")]


@pytest.mark.parametrize(
    ("stack", "values", "rules"),
    [
        ("ai-platform", TAILNET, both("22/tcp", "41641/udp")),
        (
            "ai-platform",
            {**TAILNET, "ssh_from": ["203.0.113.0/24", "2001:db8::/48"]},
            ["22/tcp from 203.0.113.0/24", "22/tcp from 2001:db8::/48", *both("41641/udp")],
        ),
        ("ai-platform", {**TAILNET, "ssh_from": []}, both("41641/udp")),
        ("ai-platform", PUBLIC, both("22/tcp", "8443/tcp", "8447/tcp", "8444/tcp", "8445/tcp", "8446/tcp")),
        ("ai-platform", {**PUBLIC, "doors": "subdomains", "https_port": 443}, both("22/tcp", "443/tcp")),
        ("ai-platform", {**PUBLIC, "address": "127.0.0.1"}, both("22/tcp")),
        ("ai-platform", {"access": "internal", "address": "0.0.0.0"}, both("22/tcp")),
        ("lean-llm", NGROK, both("22/tcp")),
        ("lean-llm", {**PUBLIC, "tls": "acme"}, both("22/tcp", "443/tcp", "80/tcp")),
        ("lean-llm", {**NGROK, "allow_ports": [25565]}, both("22/tcp", "25565/tcp")),
        ("lean-llm", {**PUBLIC, "tls": "acme", "allow_ports": [443, 22]}, both("22/tcp", "443/tcp", "80/tcp")),
    ],
)
def test_what_a_stack_wants(stack: str, values: dict[str, Any], rules: list[str]) -> None:
    assert sorted(spelled(wanted(selection(stack, vars=values)))) == sorted(rules)


SSH = Rule("tcp", 22, 22, "0.0.0.0/0")
DOOR = Rule("tcp", 443, 443, "0.0.0.0/0")
DATABASE = Rule("tcp", 5432, 5432, "0.0.0.0/0", "for Bob")
NEIGHBOURS = Rule("-1", -1, -1, "sg-0abc")


@pytest.mark.parametrize(
    ("rules", "there", "opened", "closed", "drift"),
    [
        ([SSH], [], [SSH], [], []),
        ([SSH], [Standing("r1", SSH)], [], [], []),
        ([SSH, DOOR], [Standing("r1", SSH)], [DOOR], [], []),
        ([SSH], [Standing("r1", SSH), Standing("r2", DOOR, ours=True)], [], ["r2"], []),
        ([SSH], [Standing("r1", SSH), Standing("r2", DATABASE)], [], ["r2"], ["r2"]),
        ([SSH], [Standing("r1", NEIGHBOURS)], [SSH], ["r1"], ["r1"]),
        ([SSH], [Standing("r1", Rule("tcp", 22, 22, "::/0"), ours=True)], [SSH], ["r1"], []),
        ([SSH], [Standing("r1", Rule("tcp", 20, 30, "0.0.0.0/0"))], [SSH], ["r1"], ["r1"]),
    ],
)
def test_the_difference(
    rules: list[Rule], there: list[Standing], opened: list[Rule], closed: list[str], drift: list[str]
) -> None:
    found = plan("h1", rules, Group("sg-1", "web", tuple(there)))
    assert list(found.open) == opened
    assert [one.id for one in found.close] == closed
    assert [one.id for one in found.drift] == drift
    assert bool(found) == bool(opened or closed)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (SSH, "22/tcp from 0.0.0.0/0"),
        (NEIGHBOURS, "everything from sg-0abc"),
        (Rule("icmp", -1, -1, "::/0"), "icmp from ::/0"),
        (Rule("udp", 1, 9, "10.0.0.0/8"), "1-9/udp from 10.0.0.0/8"),
    ],
)
def test_rules_in_words(rule: Rule, text: str) -> None:
    assert str(rule) == text


# --- who comes in -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("networks", "tailnet", "peer", "admitted"),
    [
        (("203.0.113.0/24",), False, "203.0.113.9", True),
        (("203.0.113.0/24",), False, "::ffff:203.0.113.9", True),
        (("203.0.113.0/24",), False, "198.51.100.7", False),
        (("203.0.113.0/24",), False, "2001:db8::1", False),
        (("2001:db8::/48",), False, "2001:db8::1", True),
        ((), False, "100.101.102.103", False),
        ((), True, "100.101.102.103", True),
        ((), True, "fd7a:115c:a1e0::7", True),
        ((), False, "127.0.0.1", True),
        ((), False, "", True),
    ],
)
def test_who_is_admitted(networks: tuple[str, ...], tailnet: bool, peer: str, admitted: bool) -> None:
    entrance = Entrance(networks, tailnet)
    assert entrance.admits(peer) is admitted
    if admitted:
        entrance.guard(peer, "h1")
    else:
        with pytest.raises(UsageError, match=f"would shut us out: the host sees us come from {peer}"):
            entrance.guard(peer, "h1")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["203.0.113.1/24"], "has host bits set"),
        (["home"], "'home' is no network"),
        ([22], "22 is no network"),
        (["0.0.0.0/0; flush ruleset"], "is no network"),
    ],
)
def test_what_is_no_network(given: list[Any], told: str) -> None:
    with pytest.raises(InvalidFile, match=r"hosts\.h1\.vars\.ssh_from: .*" + told):
        selection(vars={**NGROK, "ssh_from": given})


@pytest.mark.parametrize("port", [0, 70000, "443", "443 }; flush ruleset"])
def test_what_is_no_port(port: Any) -> None:
    with pytest.raises(InvalidFile, match=r"is not a port"):
        selection(vars={**NGROK, "allow_ports": [port]})


# --- the order of work ------------------------------------------------------------------------------------------------


class Recorder:
    """A cloud that notes what it is asked for."""

    def __init__(self, group: Group) -> None:
        self.now, self.asked = group, list[str]()

    def group(self) -> Group:
        return self.now

    def open(self, group: str, rules: Iterable[Rule], host: str) -> None:
        for rule in rules:
            self.asked.append(f"open {rule}")
            fresh = Standing(f"new-{rule.first}", rule, ours=True)
            self.now = Group(group, "web", (*self.now.rules, fresh))

    def close(self, group: str, ids: Iterable[str]) -> None:
        self.asked += [f"close {one}" for one in ids]

    def volumes(self) -> tuple[Any, ...]:
        return ()


def fronted() -> tuple[Recorder, Front]:
    group = Group("sg-1", "web", (Standing("r9", DATABASE),))
    cloud = Recorder(group)
    return cloud, Front(cloud, GroupPlan("h1", group, (SSH, DOOR), group.rules), 22)


def test_open_before_and_close_after() -> None:
    cloud, front = fronted()
    assert front.around(lambda: cloud.asked.append("work"), back=True) is None
    assert cloud.asked == ["open 22/tcp from 0.0.0.0/0", "open 443/tcp from 0.0.0.0/0", "work", "close r9"]


def test_what_goes_on_after_we_leave_has_nothing_closed() -> None:
    cloud, front = fronted()
    front.around(lambda: None, back=True, stay=True)
    assert not [word for word in cloud.asked if word.startswith("close")]


def failing(error: Exception) -> Callable[[], None]:
    def work() -> None:
        raise error

    return work


@pytest.mark.parametrize("error", [RunFailed("no"), Unhealthy("no")])
@pytest.mark.parametrize(("back", "closed"), [(True, ["close new-443"]), (False, [])])
def test_a_failed_run_takes_back_what_was_opened_but_not_our_way_in(
    error: Exception, back: bool, closed: list[str]
) -> None:
    cloud, front = fronted()
    with pytest.raises(RunFailed):
        front.around(failing(error), back=back)
    assert [word for word in cloud.asked if word.startswith("close")] == closed


def test_a_run_that_may_be_at_work_still_keeps_what_it_needs() -> None:
    cloud, front = fronted()
    with pytest.raises(ConnectFailed):
        front.around(failing(ConnectFailed("gone")), back=True)
    assert not [word for word in cloud.asked if word.startswith("close")]


def test_ssh_alone_is_let_in_first() -> None:
    cloud, front = fronted()
    front.let_in()
    assert cloud.asked == ["open 22/tcp from 0.0.0.0/0"]
    assert (front.todo.open, front.opened) == ((DOOR,), (SSH,))
