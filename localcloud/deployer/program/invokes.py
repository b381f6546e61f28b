"""Answers the lookup functions of pulumi-aws, such as `aws.get_region`, from the local cloud."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from localcloud.deployer.cloud import Cloud
from localcloud.deployer.errors import DeployError, UnknownType

Values = Mapping[str, Any]
Function = Callable[[Cloud, Values], dict[str, Any]]


def call(cloud: Cloud, token: str, arguments: Values) -> dict[str, Any]:
    """Answer one call.

    Raises:
        UnknownType: the function is not supported.
        DeployError: it found nothing, or more than one.
    """
    function = FUNCTIONS.get(token)
    if function is None:
        raise UnknownType(
            f"the local cloud cannot answer {token}", next_step="add it to localcloud/deployer/program/invokes.py"
        )
    return function(cloud, arguments)


def caller_identity(cloud: Cloud, arguments: Values) -> dict[str, Any]:
    """aws.get_caller_identity"""
    del arguments
    found = cloud.client("sts").get_caller_identity()
    return {"accountId": found["Account"], "arn": found["Arn"], "userId": found["UserId"], "id": found["Account"]}


def region(cloud: Cloud, arguments: Values) -> dict[str, Any]:
    """aws.get_region"""
    del arguments
    return {"name": cloud.region, "region": cloud.region, "id": cloud.region, "description": cloud.region}


def availability_zones(cloud: Cloud, arguments: Values) -> dict[str, Any]:
    """aws.get_availability_zones"""
    found = cloud.client("ec2").describe_availability_zones()["AvailabilityZones"]
    wanted = arguments.get("state")
    zones = [zone for zone in found if not wanted or zone["State"] == wanted]
    return {
        "names": [zone["ZoneName"] for zone in zones],
        "zoneIds": [zone["ZoneId"] for zone in zones],
        "groupNames": [],
        "id": cloud.region,
    }


def vpc(cloud: Cloud, arguments: Values) -> dict[str, Any]:
    """aws.ec2.get_vpc, by id or the default one"""
    filters = {"vpc-id": [arguments["id"]]} if arguments.get("id") else {}
    if arguments.get("default"):
        filters["is-default"] = ["true"]
    found = cloud.client("ec2").describe_vpcs(Filters=_filters(filters))["Vpcs"]
    one = _only(found, "VPC", arguments)
    return {"id": one["VpcId"], "cidrBlock": one["CidrBlock"], "default": one["IsDefault"], "state": one["State"]}


def subnet(cloud: Cloud, arguments: Values) -> dict[str, Any]:
    """aws.ec2.get_subnet, by id"""
    filters = _filters({"subnet-id": [arguments["id"]]})
    one = _only(cloud.client("ec2").describe_subnets(Filters=filters)["Subnets"], "subnet", arguments)
    return {
        "id": one["SubnetId"],
        "vpcId": one["VpcId"],
        "availabilityZone": one["AvailabilityZone"],
        "cidrBlock": one["CidrBlock"],
    }


def instance_type_offerings(cloud: Cloud, arguments: Values) -> dict[str, Any]:
    """aws.ec2.get_instance_type_offerings"""
    pages = (
        cloud.client("ec2")
        .get_paginator("describe_instance_type_offerings")
        .paginate(LocationType=arguments.get("locationType", "region"), Filters=_given(arguments))
    )
    found = [entry for page in pages for entry in page["InstanceTypeOfferings"]]
    return {
        "instanceTypes": [entry["InstanceType"] for entry in found],
        "locations": [entry["Location"] for entry in found],
        "locationTypes": [entry["LocationType"] for entry in found],
        "id": cloud.region,
    }


def image(cloud: Cloud, arguments: Values) -> dict[str, Any]:
    """aws.ec2.get_ami"""
    found = cloud.client("ec2").describe_images(Filters=_given(arguments))["Images"]
    one = _only(found, "image", arguments)
    root = one.get("RootDeviceName", "")
    return {"imageId": one["ImageId"], "id": one["ImageId"], "rootDeviceName": root, "name": one.get("Name", "")}


def parameter(cloud: Cloud, arguments: Values) -> dict[str, Any]:
    """aws.ssm.get_parameter"""
    found = cloud.client("ssm").get_parameter(Name=arguments["name"])["Parameter"]
    text = found["Value"]
    return {
        "name": found["Name"],
        "id": found["Name"],
        "value": text,
        "insecureValue": text,
        "type": found["Type"],
        "version": found["Version"],
        "arn": found.get("ARN", ""),
    }


FUNCTIONS: Mapping[str, Function] = {
    "aws:index/getCallerIdentity:getCallerIdentity": caller_identity,
    "aws:index/getRegion:getRegion": region,
    "aws:index/getAvailabilityZones:getAvailabilityZones": availability_zones,
    "aws:ec2/getVpc:getVpc": vpc,
    "aws:ec2/getSubnet:getSubnet": subnet,
    "aws:ec2/getInstanceTypeOfferings:getInstanceTypeOfferings": instance_type_offerings,
    "aws:ec2/getAmi:getAmi": image,
    "aws:ssm/getParameter:getParameter": parameter,
}


def _given(arguments: Values) -> list[dict[str, Any]]:
    return _filters({entry["name"]: entry["values"] for entry in arguments.get("filters") or []})


def _filters(wanted: Mapping[str, list[str]]) -> list[dict[str, Any]]:
    return [{"Name": name, "Values": values} for name, values in wanted.items()]


def _only(found: list[Any], what: str, arguments: Values) -> Any:
    if len(found) != 1:
        raise DeployError(f"{len(found)} {what}s match {dict(arguments)}, not exactly one")
    return found[0]
