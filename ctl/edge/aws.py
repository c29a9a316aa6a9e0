"""A host's security group and volumes, from AWS. boto3 comes with the extra, and is imported when it is needed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ctl.core.cloud import Group, Rule, Standing, Volume
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
from ctl.core.probe import clean

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client

MARK = "ctl"
"""The tag of rules that are ours; its value is the host's name in the inventory."""

_SECONDS = 10
_CREDENTIALS = "set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; `aws sts get-caller-identity` tells"
_POLICY = "docs/ai-platform.md lists the permissions that are needed"
_NETWORK = "check the region in inventory.yaml, and this machine's network"

# botocore's classes, by name: the nearest ancestor of an error decides. What is below none of them is not botocore's.
MEANING: dict[str, tuple[type[CtlError], str, str]] = {
    "NoCredentialsError": (AuthFailed, "has no credentials from us", _CREDENTIALS),
    "PartialCredentialsError": (AuthFailed, "has half of the credentials from us", _CREDENTIALS),
    "CredentialRetrievalError": (AuthFailed, "has no credentials from us", _CREDENTIALS),
    "ProfileNotFound": (AuthFailed, "is to be asked with a profile that is not there", "set another AWS_PROFILE"),
    "SSOError": (AuthFailed, "wants a new login", "aws sso login"),
    "TokenRetrievalError": (AuthFailed, "wants a new login", "aws sso login"),
    "LoginError": (AuthFailed, "wants a new login", "aws login"),
    "NoRegionError": (UsageError, "needs a region", "set `aws: {region: …}` in inventory.yaml"),
    "InvalidRegionError": (UsageError, "has no such region", "set another `aws: {region: …}` in inventory.yaml"),
    "ConnectTimeoutError": (ConnectTimeout, "does not answer in time", _NETWORK),
    "ReadTimeoutError": (ConnectTimeout, "does not answer in time", _NETWORK),
    "ConnectionError": (ConnectFailed, "cannot be reached", _NETWORK),
    "HTTPClientError": (ConnectFailed, "cannot be reached", _NETWORK),
    "ParamValidationError": (UsageError, "cannot be asked that", "check `aws:` in inventory.yaml"),
    "BotoCoreError": (CtlError, "could not be asked", ""),
    "Boto3Error": (CtlError, "could not be asked", ""),
    "ClientError": (CtlError, "refused", ""),
}

# What the service says, by the beginning of its code: the longest that fits decides.
CODES: dict[str, tuple[type[CtlError], str, str]] = {
    "AuthFailure": (AuthFailed, "does not know these credentials", _CREDENTIALS),
    "InvalidClientTokenId": (AuthFailed, "does not know these credentials", _CREDENTIALS),
    "UnrecognizedClient": (AuthFailed, "does not know these credentials", _CREDENTIALS),
    "SignatureDoesNotMatch": (AuthFailed, "does not accept this secret key", _CREDENTIALS),
    "ExpiredToken": (AuthFailed, "says that the credentials have expired", _CREDENTIALS),
    "RequestExpired": (AuthFailed, "says that the request has expired", "check this machine's clock"),
    "OptInRequired": (AuthFailed, "has this region not switched on for the account", "switch it on, or check region"),
    "UnauthorizedOperation": (AuthFailed, "does not allow us that", _POLICY),
    "AccessDenied": (AuthFailed, "does not allow us that", _POLICY),
    "RequestLimitExceeded": (Unreachable, "is asked too often", "wait a minute and try again"),
    "Throttl": (Unreachable, "is asked too often", "wait a minute and try again"),
    "ServiceUnavailable": (Unreachable, "is not available", "wait a minute and try again"),
    "Unavailable": (Unreachable, "is not available", "wait a minute and try again"),
    "InternalError": (Unreachable, "failed", "wait a minute and try again"),
    "InvalidGroup": (UsageError, "has no such security group in this region", "check `aws:` in inventory.yaml"),
    "InvalidInstanceID": (UsageError, "has no such instance in this region", "check `aws:` in inventory.yaml"),
    "RulesPerSecurityGroupLimitExceeded": (HostUnfit, "lets a security group have no more rules", "see its quotas"),
}


_GONE = ("InvalidSecurityGroupRuleId.NotFound", "InvalidPermission.NotFound")


@contextmanager
def translated(what: str, *, but: Collection[str] = ()) -> Iterator[None]:
    """Raise what boto3 and botocore raise as one of ours. `but`: codes of a refusal that is as good as a yes."""
    try:
        yield
    except Exception as error:
        names = [kin.__name__ for kin in type(error).__mro__ if kin.__module__.startswith(("botocore.", "boto3."))]
        found = next((name for name in names if name in MEANING), None)
        if found is None:
            raise
        kind, says, hint = MEANING[found]
        if found == "ClientError":
            code = str(getattr(error, "response", {}).get("Error", {}).get("Code", ""))
            if code in but:
                return
            known = max((start for start in CODES if code.startswith(start)), key=len, default="")
            kind, says, hint = CODES.get(known, MEANING[found])
        raise kind(f"AWS {says} ({what}): {clean(str(error), 300)}", hint=hint) from error


class AwsCloud:
    """One host in AWS. Credentials are found as AWS's own tools find them."""

    def __init__(self, place: Aws) -> None:
        self._place = place

    @cached_property
    def _ec2(self) -> EC2Client:
        try:
            import boto3  # noqa: PLC0415  an extra, and 300 ms
            from botocore.config import Config  # noqa: PLC0415
        except ImportError as error:
            raise MissingTool(
                "a host in AWS needs boto3, which is not installed",
                hint="pip install 'selfhostctl[aws]', or take `aws:` out of inventory.yaml",
            ) from error
        patience = Config(
            connect_timeout=_SECONDS,
            read_timeout=2 * _SECONDS,
            retries={"mode": "standard", "max_attempts": 4},
            user_agent_extra="ctl",
        )
        with translated(f"region {self._place.region}"):
            # A session of its own: the default one is not made for threads.
            return boto3.session.Session().client("ec2", region_name=self._place.region, config=patience)

    def group(self) -> Group:
        """Raises UsageError where none or several are meant, and what `translated` raises."""
        place, instance = self._place, self._instance()
        theirs = {one["GroupId"]: one.get("GroupName", "") for one in instance.get("SecurityGroups", ())}
        if not place.security_group:
            if len(theirs) != 1:
                raise UsageError(
                    f"the instance {place.instance} has {len(theirs)} security groups: {', '.join(sorted(theirs))}",
                    hint="name the one to look after: `aws: {security_group: …}` in inventory.yaml",
                )
            group_id, name = next(iter(theirs.items()))
        else:
            group_id, name = self._find(place.security_group)
            if instance and group_id not in theirs:
                raise UsageError(
                    f"the instance {place.instance} has not the security group {group_id}: {', '.join(sorted(theirs))}",
                    hint="check `aws:` in inventory.yaml",
                )
        return Group(group_id, name, tuple(self._rules(group_id)), self._members(group_id))

    def _instance(self) -> dict[str, Any]:
        """The instance that is named, or nothing."""
        if not self._place.instance:
            return {}
        with translated(f"instance {self._place.instance}"):
            said = self._ec2.describe_instances(InstanceIds=[self._place.instance])
        return next((dict(one) for many in said["Reservations"] for one in many["Instances"]), {})

    def _find(self, named: str) -> tuple[str, str]:
        key = "group-id" if named.startswith("sg-") else "group-name"
        with translated(f"security group {named}"):
            pages = self._ec2.get_paginator("describe_security_groups").paginate(
                Filters=[{"Name": key, "Values": [named]}]
            )
            found = [(one["GroupId"], one["GroupName"]) for page in pages for one in page["SecurityGroups"]]
        if len(found) != 1:
            several = f"several security groups are named {named} in" if found else f"there is no {named} in"
            known = f": {', '.join(sorted(group_id for group_id, _ in found))}" if found else ""
            raise UsageError(
                f"{several} {self._place.region}{known}",
                hint="check `aws:` in inventory.yaml; the id of a group, sg-…, is like no other",
            )
        return found[0]

    def _rules(self, group_id: str) -> Iterator[Standing]:
        with translated(f"rules of {group_id}"):
            pages = self._ec2.get_paginator("describe_security_group_rules").paginate(
                Filters=[{"Name": "group-id", "Values": [group_id]}]
            )
            found: list[Any] = [one for page in pages for one in page["SecurityGroupRules"] if not one["IsEgress"]]
        for one in sorted(found, key=lambda one: str(one["SecurityGroupRuleId"])):
            rule = Rule(
                str(one["IpProtocol"]),
                int(one.get("FromPort", -1)),
                int(one.get("ToPort", -1)),
                _source(one),
                clean(str(one.get("Description", "")), 80),
            )
            ours = any(tag.get("Key") == MARK for tag in one.get("Tags", ()))
            yield Standing(str(one["SecurityGroupRuleId"]), rule, ours)

    def _members(self, group_id: str) -> tuple[str, ...]:
        with translated(f"instances of {group_id}"):
            pages = self._ec2.get_paginator("describe_instances").paginate(
                Filters=[
                    {"Name": "instance.group-id", "Values": [group_id]},
                    {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped"]},
                ]
            )
            return tuple(
                sorted(
                    one["InstanceId"] for page in pages for many in page["Reservations"] for one in many["Instances"]
                )
            )

    def open(self, group: str, rules: Iterable[Rule], host: str) -> None:
        """One rule a call, so that one that is there already stops no other. Raises what `translated` raises."""
        for rule in rules:
            about = f"ctl {host}: {rule.about}"
            source: Any = (
                {"Ipv6Ranges": [{"CidrIpv6": rule.source, "Description": about}]}
                if ":" in rule.source
                else {"IpRanges": [{"CidrIp": rule.source, "Description": about}]}
            )
            with translated(f"opening {rule} in {group}", but=("InvalidPermission.Duplicate",)):
                permission: Any = {"IpProtocol": rule.protocol, "FromPort": rule.first, "ToPort": rule.last, **source}
                self._ec2.authorize_security_group_ingress(
                    GroupId=group,
                    IpPermissions=[permission],
                    TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": [{"Key": MARK, "Value": host}]}],
                )

    def close(self, group: str, ids: Iterable[str]) -> None:
        """Raises what `translated` raises."""
        for rule_id in ids:
            with translated(f"closing {rule_id} in {group}", but=_GONE):
                self._ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule_id])

    def volumes(self) -> tuple[Volume, ...]:
        """Of the instance that is named, or else of the only one with the group. Raises UsageError for several."""
        instance = self._place.instance
        if not instance:
            members = self._members(self._find(self._place.security_group)[0])
            if len(members) != 1:
                raise UsageError(
                    f"the security group {self._place.security_group} is that of {len(members)} instances",
                    hint="name the host's: `aws: {instance: i-…}` in inventory.yaml",
                )
            instance = members[0]
        with translated(f"volumes of {instance}"):
            said = self._ec2.describe_instances(InstanceIds=[instance])
            root = next(
                (one.get("RootDeviceName", "") for many in said["Reservations"] for one in many["Instances"]), ""
            )
            pages = self._ec2.get_paginator("describe_volumes").paginate(
                Filters=[{"Name": "attachment.instance-id", "Values": [instance]}]
            )
            found = [one for page in pages for one in page["Volumes"]]
        devices = {
            one["VolumeId"]: next((at["Device"] for at in one["Attachments"] if at.get("InstanceId") == instance), "")
            for one in found
        }
        volumes = [
            Volume(one["VolumeId"], devices[one["VolumeId"]], devices[one["VolumeId"]] == root, one["Encrypted"])
            for one in found
        ]
        return tuple(sorted(volumes, key=lambda volume: (not volume.root, volume.device)))


def _source(one: dict[str, Any]) -> str:
    """A network in its usual form, or the id of a group or a prefix list."""
    referenced = one.get("ReferencedGroupInfo") or {}
    known = (one.get("CidrIpv4"), one.get("CidrIpv6"), one.get("PrefixListId"), referenced.get("GroupId"))
    return str(next((word for word in known if word), "?"))
