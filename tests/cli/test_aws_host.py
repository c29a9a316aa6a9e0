"""Commands on a host in AWS: the account is moto's, behind real boto3 calls, and the host exists only here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from aws_account import REGION, Account, opened
from conftest import Ctl
from samples import Machine, fit, settled

from ctl.cli.workplace import Workplace
from ctl.core.errors import ConnectTimeout
from ctl.core.ports import Result
from ctl.edge.fake import FakeTransport

WANTED = {"tcp 22 0.0.0.0/0", "tcp 22 ::/0"}


@dataclass
class Site:
    """One instance with one security group of its own."""

    account: Account
    group: str
    instance: str

    def let_in(self, port: int) -> None:
        self.account.let_in(self.group, port)

    @property
    def rules(self) -> set[str]:
        return self.account.rules(self.group)


@pytest.fixture
def site(ctl: Ctl) -> Iterator[Site]:
    with opened(ctl.monkeypatch) as account:
        group = account.make_group()
        found = Site(account, group, account.make_instance(group))
        write(ctl, found)
        ctl.facts = settled
        yield found


def write(ctl: Ctl, site: Site, **values: Any) -> None:
    aws = {"region": REGION, "instance": site.instance}
    host = {"address": "203.0.113.1", "stack": "lean-llm", "vars": {"access": "internal", **values}, "aws": aws}
    ctl.write("inventory.yaml", json.dumps({"hosts": {"h1": host}}))


def test_a_plan_shows_the_rules_and_changes_none(ctl: Ctl, site: Site) -> None:
    site.let_in(5432)
    said = ctl("plan", "h1", "--detailed-exitcode")
    assert said.code == 3
    assert f"h1: security group {site.group} (web), 3 changes" in said.out
    assert "+ rule      22/tcp from 0.0.0.0/0  SSH" in said.out
    assert "- rule      5432/tcp from 0.0.0.0/0  drift: somebody else let this in" in said.out
    assert site.rules == {"tcp 5432 0.0.0.0/0"}


def test_a_deploy_opens_and_closes_and_a_second_one_does_nothing(ctl: Ctl, site: Site) -> None:
    site.let_in(5432)
    said = ctl("deploy", "h1", "--yes", "--json")
    assert said.code == 0, said
    data = json.loads(said.out)
    assert (data["empty"], data["result"]) == (False, "changed")
    assert {(change["action"], change["rule"], change["drift"]) for change in data["changes"]} == {
        ("open", "22/tcp from 0.0.0.0/0", False),
        ("open", "22/tcp from ::/0", False),
        ("close", "5432/tcp from 0.0.0.0/0", True),
    }
    assert site.rules == WANTED
    assert not ctl.started, "the host itself is as it should be"
    again = json.loads(ctl("deploy", "h1", "--yes", "--json").out)
    assert (again["empty"], again["result"], again["changes"]) == (True, "unchanged", [])
    assert ctl("plan", "h1", "--detailed-exitcode").code == 0


def test_without_a_yes_nothing_is_opened(ctl: Ctl, site: Site) -> None:
    ctl.answer("n")
    assert ctl("deploy", "h1").code == 130
    assert site.rules == set()


@pytest.mark.parametrize("words", ["deploy h1 --phase 2 --yes", "deploy h1 --only n8n --yes", "configure h1 --yes"])
def test_it_is_a_part_of_phase_1(ctl: Ctl, site: Site, words: str) -> None:
    assert ctl(*words.split()).code == 0
    assert site.rules == set()


def test_phase_1_alone_has_it(ctl: Ctl, site: Site) -> None:
    assert ctl("deploy", "h1", "--phase", "1", "--yes").code == 0
    assert site.rules == WANTED


def test_a_run_that_fails_takes_back_what_was_opened_but_not_ssh(ctl: Ctl, site: Site) -> None:
    ctl.facts, ctl.log = fit(), b"@ release r\n@ fail step 1-setup/20-docker\n@ exit 1\n"
    site.let_in(5432)
    write(ctl, site, allow_ports=[25565])
    assert ctl("deploy", "h1", "--yes").code == 1
    assert site.rules == WANTED | {"tcp 5432 0.0.0.0/0"}, "nothing is closed after a run that failed"


def test_nobody_shuts_himself_out(ctl: Ctl, site: Site) -> None:
    site.let_in(22)
    write(ctl, site, ssh_from=["203.0.113.0/24"])
    said = ctl("deploy", "h1", "--yes")
    assert said.code == 2
    assert "would shut us out: the host sees us come from 198.51.100.7" in said.err
    assert site.rules == {"tcp 22 0.0.0.0/0"}
    write(ctl, site, ssh_from=["203.0.113.0/24", "198.51.100.7/32"])
    assert ctl("deploy", "h1", "--yes").code == 0
    assert site.rules == {"tcp 22 203.0.113.0/24", "tcp 22 198.51.100.7/32"}


@pytest.fixture
def shut(ctl: Ctl, site: Site) -> None:
    """A host that is out of reach until its security group lets SSH in."""

    def transport(place: Workplace, host: Any, **_: Any) -> FakeTransport:
        machine = Machine(settled(place.aim(host).release))

        def answer(command: str, stdin: bytes) -> Result | Exception:
            return machine(command, stdin) if "tcp 22 0.0.0.0/0" in site.rules else ConnectTimeout("no answer")

        return FakeTransport(answer)

    ctl.monkeypatch.setattr(Workplace, "transport", transport)


def test_ssh_is_let_in_first_where_the_host_is_out_of_reach(ctl: Ctl, site: Site, shut: None) -> None:
    said = ctl("plan", "h1")
    assert said.code == 5
    assert f"the security group {site.group} does not let us in at 22: ctl deploy opens it" in said.err
    said = ctl("deploy", "h1", "--yes")
    assert said.code == 0, said
    assert site.rules == WANTED


def test_it_is_not_let_in_unasked(ctl: Ctl, site: Site, shut: None) -> None:
    ctl.answer("n")
    said = ctl("deploy", "h1")
    assert said.code == 130
    assert "Let SSH in, so that the host can be looked at?" in said.err
    assert site.rules == set()


def test_status_tells_of_drift_and_of_volumes_that_are_not_encrypted(ctl: Ctl, site: Site) -> None:
    assert ctl("deploy", "h1", "--yes").code == 0
    assert ctl("status", "h1", "--detailed-exitcode").code == 0
    site.let_in(5432)
    said = ctl("status", "h1")
    assert "drifted" in said.out
    assert "- rule      5432/tcp from 0.0.0.0/0  somebody else let this in" in said.out
    assert "(root) is not encrypted" in said.out
    said = ctl("status", "h1", "--json", "--detailed-exitcode")
    data = json.loads(said.out)
    assert said.code == 3
    assert [change["rule"] for change in data["drift"]] == ["5432/tcp from 0.0.0.0/0"]
    assert (data["cloud"]["error"], data["cloud"]["group"]) == (None, site.group)
    assert [(one["root"], one["encrypted"]) for one in data["cloud"]["volumes"]] == [(True, False)]


def test_status_of_a_host_whose_cloud_does_not_answer(ctl: Ctl, site: Site) -> None:
    ctl.monkeypatch.setenv("AWS_PROFILE", "nobody")
    said = ctl("status", "h1", "--detailed-exitcode")
    assert said.code == 3, "what cannot be known is not well"
    assert "healthy" in said.out
    assert "AWS is to be asked with a profile that is not there" in said.out
    assert ctl("plan", "h1").code == 5
    assert ctl("deploy", "h1", "--yes").code == 5


def test_the_doctor(ctl: Ctl, site: Site) -> None:
    site.let_in(5432)
    write(ctl, site, data_device="vol-0123456789abcdef0")
    data = {check["text"]: check["state"] for check in json.loads(ctl("doctor", "h1", "--json").out)["checks"]}
    where = f"{site.group}: a deploy would open 2 and close 1 rules, 1 of them somebody else's"
    assert data[where] == "warning"
    assert data["vol-0123456789abcdef0 is no volume of this instance"] == "problem"
    assert [state for text, state in data.items() if "(root) is not encrypted" in text] == ["warning"]
    assert site.rules == {"tcp 5432 0.0.0.0/0"}


def test_the_doctor_where_all_is_well(ctl: Ctl, site: Site) -> None:
    data = site.account.make_volume(site.instance, encrypted=True)
    write(ctl, site, data_device=data)
    assert ctl("setup", "h1", "--yes").code == 0
    said = ctl("doctor", "h1")
    assert f"{site.group} lets in what the stack wants, and nothing else" in said.out
    assert data not in said.out


def test_the_doctor_where_the_group_is_shared(ctl: Ctl, site: Site) -> None:
    site.account.make_instance(site.group)
    assert "is that of 2 instances" in ctl("doctor", "h1").out


@pytest.mark.parametrize(
    ("aws", "told"),
    [
        ({"region": REGION}, "hosts.h1.aws: names neither a security_group nor an instance"),
        ({"region": "Frankfurt", "instance": "i-0a"}, "hosts.h1.aws.region"),
        ({"region": REGION, "instance": "web"}, "hosts.h1.aws.instance"),
        ({"region": REGION, "instance": "i-0a", "groups": []}, "groups"),
    ],
)
def test_what_the_inventory_may_not_say(ctl: Ctl, aws: dict[str, Any], told: str) -> None:
    ctl.write("inventory.yaml", json.dumps({"hosts": {"h1": {"stack": "lean-llm", "aws": aws}}}))
    said = ctl("plan", "h1")
    assert said.code == 2
    assert told in said.err
