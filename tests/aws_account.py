"""An account of AWS that exists only in a test: moto answers what boto3 asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
import pytest
from moto import mock_aws

REGION = "eu-central-1"


class Account:
    """`ec2` is a client of boto3's own, for what somebody does by hand."""

    def __init__(self) -> None:
        self.ec2: Any = boto3.client("ec2", region_name=REGION)
        self.image = self.ec2.register_image(Name="debian", RootDeviceName="/dev/xvda")["ImageId"]

    def make_group(self, name: str = "web", vpc: str = "") -> str:
        vpc = vpc or self.ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
        return str(self.ec2.create_security_group(GroupName=name, Description="of a test", VpcId=vpc)["GroupId"])

    def make_instance(self, *groups: str) -> str:
        said = self.ec2.run_instances(ImageId=self.image, MinCount=1, MaxCount=1, SecurityGroupIds=list(groups))
        return str(said["Instances"][0]["InstanceId"])

    def make_volume(self, instance: str = "", *, encrypted: bool = False) -> str:
        """A second disk, of an instance or of nobody."""
        zone = self.ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
        volume = self.ec2.create_volume(AvailabilityZone=zone, Size=10, Encrypted=encrypted)["VolumeId"]
        if instance:
            self.ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdf")
        return str(volume)

    def let_in(self, group: str, port: int, **sources: Any) -> None:
        """Somebody does, by hand; everybody, where no source is named."""
        permission = {"IpProtocol": "tcp", "FromPort": port, "ToPort": port}
        permission |= sources or {"IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
        self.ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[permission])

    def rules(self, group: str) -> set[str]:
        """What comes in: `tcp 22 0.0.0.0/0`."""
        found = self.ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
        return {
            f"{one['IpProtocol']} {one['FromPort']} {one.get('CidrIpv4') or one.get('CidrIpv6')}"
            for one in found["SecurityGroupRules"]
            if not one["IsEgress"]
        }


@contextmanager
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[Account]:
    for name in ("AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    # Thousands of images that nobody here starts take seconds to load.
    monkeypatch.setenv("MOTO_EC2_LOAD_DEFAULT_AMIS", "false")
    with mock_aws():
        yield Account()
