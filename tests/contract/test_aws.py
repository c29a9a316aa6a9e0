"""AWS through real boto3 calls, against moto: groups are found, read and changed, and every error has its meaning."""

from __future__ import annotations

import builtins
import inspect
from collections.abc import Iterator
from typing import Any

import boto3.exceptions
import botocore.exceptions
import moto
import pytest
from aws_account import REGION, Account, opened
from botocore.exceptions import BotoCoreError, ClientError

from ctl.core.cloud import Rule, plan
from ctl.core.errors import (
    AuthFailed,
    ConnectFailed,
    ConnectTimeout,
    CtlError,
    HostUnfit,
    MissingTool,
    Unreachable,
    UsageError,
)
from ctl.core.inventory import Aws
from ctl.edge.aws import CODES, MEANING, AwsCloud, translated

SSH = Rule("tcp", 22, 22, "203.0.113.0/24", "SSH")
SSH6 = Rule("tcp", 22, 22, "2001:db8::/48", "SSH")
WIREGUARD = Rule("udp", 41641, 41641, "0.0.0.0/0", "Tailscale's WireGuard")


@pytest.fixture(autouse=True)
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    with opened(monkeypatch) as found:
        yield found


def test_a_group_is_brought_to_the_wanted_rules_and_no_others(account: Account) -> None:
    group = account.make_group()
    account.let_in(group, 5432)
    account.let_in(group, 22, IpRanges=[{"CidrIp": "203.0.113.0/24"}])
    cloud, wanted = AwsCloud(Aws(REGION, group)), (SSH, SSH6, WIREGUARD)
    todo = plan("h1", wanted, cloud.group())
    assert (todo.open, [str(one.rule) for one in todo.drift]) == ((SSH6, WIREGUARD), ["5432/tcp from 0.0.0.0/0"])
    cloud.open(group, todo.open, "h1")
    cloud.close(group, [one.id for one in todo.close])
    after = cloud.group()
    assert not plan("h1", wanted, after)
    assert {str(one.rule): one.ours for one in after.rules} == {
        "22/tcp from 203.0.113.0/24": False,
        "22/tcp from 2001:db8::/48": True,
        "41641/udp from 0.0.0.0/0": True,
    }
    permissions = account.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    assert {(one["IpProtocol"], one["FromPort"], one["ToPort"]) for one in permissions} == {
        ("tcp", 22, 22),
        ("udp", 41641, 41641),
    }


def test_what_leaves_the_host_is_left_alone(account: Account) -> None:
    group = account.make_group()
    before = account.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"]
    cloud = AwsCloud(Aws(REGION, group))
    assert cloud.group().rules == ()
    cloud.open(group, [SSH], "h1")
    assert account.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissionsEgress"] == before


def test_rules_of_other_kinds_are_shown(account: Account) -> None:
    group, other = account.make_group(), account.make_group("other")
    account.let_in(group, 5432, UserIdGroupPairs=[{"GroupId": other}])
    account.ec2.authorize_security_group_ingress(
        GroupId=group, IpPermissions=[{"IpProtocol": "-1", "Ipv6Ranges": [{"CidrIpv6": "::/0"}]}]
    )
    found = [str(one.rule) for one in AwsCloud(Aws(REGION, group)).group().rules]
    assert sorted(found) == sorted([f"5432/tcp from {other}", "everything from ::/0"])


def test_what_is_there_or_gone_already_is_as_good(account: Account) -> None:
    group = account.make_group()
    cloud = AwsCloud(Aws(REGION, group))
    cloud.open(group, [SSH], "h1")
    cloud.open(group, [SSH, SSH6], "h1")
    ids = [one.id for one in cloud.group().rules]
    assert len(ids) == 2
    cloud.close(group, ids)
    cloud.close(group, ids)
    assert cloud.group().rules == ()


def test_groups_are_found_by_id_by_name_and_by_instance(account: Account) -> None:
    group = account.make_group()
    instance = account.make_instance(group)
    for place in (Aws(REGION, group), Aws(REGION, "web"), Aws(REGION, "", instance), Aws(REGION, "web", instance)):
        found = AwsCloud(place).group()
        assert (found.id, found.name, found.instances) == (group, "web", (instance,))


def test_what_is_not_clear_is_refused(account: Account) -> None:
    vpc = account.ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    one, two = account.make_group(), account.make_group(vpc=vpc)
    with pytest.raises(UsageError, match="several security groups are named web") as caught:
        AwsCloud(Aws(REGION, "web")).group()
    assert one in caught.value.message
    assert two in caught.value.message
    both = account.make_instance(one, account.make_group("ssh"))
    with pytest.raises(UsageError, match="has 2 security groups"):
        AwsCloud(Aws(REGION, "", both)).group()
    with pytest.raises(UsageError, match="has not the security group"):
        AwsCloud(Aws(REGION, account.make_group("elsewhere"), both)).group()


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (Aws(REGION, "nowhere"), "there is no nowhere in eu-central-1"),
        (Aws(REGION, "sg-00000000000000000"), "there is no sg-00000000000000000 in eu-central-1"),
        (Aws(REGION, "", "i-00000000000000000"), "no such instance in this region"),
        (Aws("us-east-1", "web"), "there is no web in us-east-1"),
    ],
)
def test_what_is_not_there(account: Account, place: Aws, told: str) -> None:
    account.make_group()
    with pytest.raises(UsageError, match=told) as caught:
        AwsCloud(place).group()
    assert "inventory.yaml" in caught.value.hint


def test_volumes_tell_whether_they_are_encrypted(account: Account) -> None:
    group = account.make_group()
    instance = account.make_instance(group)
    account.make_volume()
    data = account.make_volume(instance, encrypted=True)
    for place in (Aws(REGION, "", instance), Aws(REGION, "web")):
        root, second = AwsCloud(place).volumes()
        assert (root.root, root.encrypted) == (True, False)
        assert (second.id, second.device, second.root, second.encrypted) == (data, "/dev/sdf", False, True)
    account.make_instance(group)
    with pytest.raises(UsageError, match="is that of 2 instances"):
        AwsCloud(Aws(REGION, "web")).volumes()


# --- errors -----------------------------------------------------------------------------------------------------------


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "boto3":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingTool, match="needs boto3") as caught:
        AwsCloud(Aws(REGION, "web")).group()
    assert "selfhostctl[aws]" in caught.value.hint


def test_without_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    # Not those of the machine that the tests run on either.
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(AuthFailed, match="no credentials") as caught:
        AwsCloud(Aws(REGION, "web")).group()
    assert (caught.value.exit_code, "AWS_PROFILE" in caught.value.hint) == (5, True)


def test_with_a_profile_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(AuthFailed, match="profile"):
        AwsCloud(Aws(REGION, "web")).group()


@moto.core.set_initial_no_auth_action_count(0)
def test_credentials_that_nobody_knows() -> None:
    with pytest.raises(AuthFailed, match="does not know these credentials"):
        AwsCloud(Aws(REGION, "web")).group()


def test_an_address_that_nobody_answers_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    with pytest.raises(ConnectFailed, match="cannot be reached") as caught:
        AwsCloud(Aws(REGION, "web")).group()
    assert "region" in caught.value.hint


def raised(error: Exception) -> CtlError:
    with pytest.raises(CtlError) as caught, translated("a test"):
        raise error
    return caught.value


@pytest.mark.parametrize(
    ("code", "kind", "told"),
    [
        ("UnauthorizedOperation", AuthFailed, "does not allow us that"),
        ("AccessDeniedException", AuthFailed, "does not allow us that"),
        ("AuthFailure", AuthFailed, "does not know these credentials"),
        ("ExpiredToken", AuthFailed, "expired"),
        ("OptInRequired", AuthFailed, "not switched on"),
        ("RequestLimitExceeded", Unreachable, "asked too often"),
        ("ThrottlingException", Unreachable, "asked too often"),
        ("InvalidGroup.NotFound", UsageError, "no such security group"),
        ("InvalidInstanceID.Malformed", UsageError, "no such instance"),
        ("RulesPerSecurityGroupLimitExceeded", HostUnfit, "no more rules"),
        ("SomethingNew", CtlError, "refused"),
    ],
)
def test_what_the_service_says(code: str, kind: type[CtlError], told: str) -> None:
    error = raised(ClientError({"Error": {"Code": code, "Message": "said\x1b[31m so"}}, "DescribeThings"))
    assert type(error) is kind
    assert told in error.message
    assert "a test" in error.message
    assert "\x1b" not in error.message
    assert error.hint or code == "SomethingNew"


def test_the_codes_are_all_of_a_remedy() -> None:
    assert all(hint for _, _, hint in CODES.values())


def botocore_errors() -> list[type[Exception]]:
    found = inspect.getmembers(botocore.exceptions, inspect.isclass)
    return [kind for _, kind in found if issubclass(kind, (BotoCoreError, ClientError))]


@pytest.mark.parametrize("kind", botocore_errors(), ids=lambda kind: kind.__name__)
def test_every_error_of_botocore_is_one_of_ours(kind: type[Exception]) -> None:
    """Made without its constructor: each takes other arguments, and only its kind counts."""
    assert isinstance(raised(kind.__new__(kind)), CtlError)


def test_the_meanings_are_of_classes_that_there_are() -> None:
    known = {name for name, _ in inspect.getmembers(botocore.exceptions, inspect.isclass)}
    known |= {name for name, _ in inspect.getmembers(boto3.exceptions, inspect.isclass)}
    # Of newer versions than the oldest that will do.
    assert set(MEANING) - known <= {"LoginError"}


@pytest.mark.parametrize("name", ["ConnectTimeoutError", "ReadTimeoutError"])
def test_silence_is_a_timeout(name: str) -> None:
    error = getattr(botocore.exceptions, name)(endpoint_url="https://ec2", error="slow")
    assert type(raised(error)) is ConnectTimeout


def test_ours_and_strangers_pass_through() -> None:
    with pytest.raises(UsageError), translated("a test"):
        raise UsageError("ours")
    with pytest.raises(ZeroDivisionError), translated("a test"):
        raise ZeroDivisionError
