"""Look-ups of pulumi-aws, answered by moto's data."""

from __future__ import annotations

import pytest

from localcloud.deployer.cloud import Cloud
from localcloud.deployer.errors import DeployError
from localcloud.deployer.program.invokes import FUNCTIONS, call
from tests.unit.localcloud.deployer.test_types import cloud

__all__ = ["cloud"]
AL2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"


def ask(here: Cloud, function: str, **arguments: object) -> dict[str, object]:
    (token,) = [token for token in FUNCTIONS if token.endswith(f":{function}")]
    return call(here, token, arguments)


def test_who_and_where(cloud: Cloud) -> None:
    assert ask(cloud, "getCallerIdentity")["accountId"] == "123456789012"
    assert ask(cloud, "getRegion")["name"] == "us-east-1"


def test_the_default_vpc_and_a_subnet_of_it(cloud: Cloud) -> None:
    vpc = ask(cloud, "getVpc", default=True)
    subnet_id = cloud.client("ec2").describe_subnets()["Subnets"][0]["SubnetId"]
    subnet = ask(cloud, "getSubnet", id=subnet_id)
    assert subnet["vpcId"] == vpc["id"]
    assert subnet["availabilityZone"] in ask(cloud, "getAvailabilityZones", state="available")["names"]


def test_what_is_not_exactly_one_is_refused(cloud: Cloud) -> None:
    with pytest.raises(DeployError, match=r"0 subnets match \{'id': 'subnet-0'\}, not exactly one"):
        ask(cloud, "getSubnet", id="subnet-0")


def test_the_newest_image_and_the_device_that_it_boots_from(cloud: Cloud) -> None:
    image_id = ask(cloud, "getParameter", name=AL2023)["insecureValue"]
    found = ask(cloud, "getAmi", filters=[{"name": "image-id", "values": [image_id]}])
    assert (found["imageId"], str(found["rootDeviceName"]).startswith("/dev/")) == (image_id, True)


def test_where_a_type_is_offered(cloud: Cloud) -> None:
    filters = [{"name": "instance-type", "values": ["t3.small"]}]
    found = ask(cloud, "getInstanceTypeOfferings", locationType="availability-zone", filters=filters)
    assert "us-east-1a" in found["locations"]
