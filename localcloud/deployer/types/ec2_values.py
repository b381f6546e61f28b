"""Converts rules, launch template data and placements between Pulumi's form and EC2's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcloud.deployer.cloud import tag_list, tag_mapping
from localcloud.deployer.types.base import Values
from localcloud.deployer.types.table import Property, camel, nested, pascal

ALL_PROTOCOLS = "-1"
TEMPLATE_ID, TEMPLATE_VERSION = "aws:ec2launchtemplate:id", "aws:ec2launchtemplate:version"


def present(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values without the empty ones, which EC2 refuses."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}


def permissions(declared: list[Values]) -> list[dict[str, Any]]:
    """Return a security group's rules as EC2's permissions."""
    return [_permission(rule) for rule in declared]


def rules(granted: list[Values]) -> list[dict[str, Any]]:
    """Return EC2's permissions as rules: EC2 describes each range, Pulumi each rule."""
    found: list[dict[str, Any]] = []
    for permission in granted:
        ranges = [("cidrBlocks", each, each["CidrIp"]) for each in permission.get("IpRanges", [])]
        ranges += [("ipv6CidrBlocks", each, each["CidrIpv6"]) for each in permission.get("Ipv6Ranges", [])]
        ports = {"fromPort": permission.get("FromPort", 0), "toPort": permission.get("ToPort", 0)}
        by_description: dict[str, dict[str, Any]] = {}
        for key, each, block in ranges:
            by_description.setdefault(each.get("Description", ""), {}).setdefault(key, []).append(block)
        for description, blocks in by_description.items():
            named = present({"description": description})
            found.append({**named, "protocol": permission["IpProtocol"], **ports, **blocks})
    return found


def launch_options(found: Values, outputs: Values) -> dict[str, Any]:
    """Return how an instance was launched, which never changes.

    EC2 says that it is spot, but not with which options, and which version `$Latest` was at the time.
    """
    options: dict[str, Any] = {}
    if found.get("InstanceLifecycle") == "spot":
        options["instanceMarketOptions"] = outputs.get("instanceMarketOptions") or {"marketType": "spot"}
    tags = {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])}
    if TEMPLATE_ID in tags:
        asked = str((outputs.get("launchTemplate") or {}).get("version", ""))
        version = asked if asked.startswith("$") else tags[TEMPLATE_VERSION]
        options["launchTemplate"] = {"id": tags[TEMPLATE_ID], "version": version}
    return options


def _permission(rule: Values) -> dict[str, Any]:
    described = present({"Description": rule.get("description")})
    permission: dict[str, Any] = {
        "IpProtocol": rule["protocol"],
        "IpRanges": [{"CidrIp": cidr, **described} for cidr in rule.get("cidrBlocks") or []],
        "Ipv6Ranges": [{"CidrIpv6": cidr, **described} for cidr in rule.get("ipv6CidrBlocks") or []],
    }
    if rule["protocol"] != ALL_PROTOCOLS:
        permission |= {"FromPort": rule["fromPort"], "ToPort": rule["toPort"]}
    return present(permission)


def _mappings_to_aws(mappings: list[Values]) -> list[dict[str, Any]]:
    return [_converted(pascal(mapping), "Ebs", _as_flag) for mapping in mappings]


def _mappings_from_aws(mappings: list[Values]) -> list[dict[str, Any]]:
    return [_converted(camel(mapping), "ebs", _as_text) for mapping in mappings]


def _converted(mapping: Values, ebs: str, convert: Callable[[Any], Any]) -> dict[str, Any]:
    return {**mapping, ebs: {key: convert(value) for key, value in mapping.get(ebs, {}).items()}}


def _as_flag(value: Any) -> Any:
    # Pulumi has the truth values of a block device as text.
    return {"true": True, "false": False}.get(str(value).lower(), value)


def _as_text(value: Any) -> Any:
    return str(value).lower() if isinstance(value, bool) else value


def _tags_to_aws(entries: list[Values]) -> list[dict[str, Any]]:
    return [{"ResourceType": entry["resourceType"], "Tags": tag_list(entry["tags"])} for entry in entries]


def _tags_from_aws(entries: list[Values]) -> list[dict[str, Any]]:
    # moto adds the tags of the template itself, which launches nothing with them.
    given = [entry for entry in entries if entry["ResourceType"] != "launch-template"]
    return [{"resourceType": entry["ResourceType"], "tags": tag_mapping(entry["Tags"])} for entry in given]


DESCRIPTION = Property("description", "VersionDescription", default="")
TEMPLATE_DATA = (
    Property("imageId", "ImageId"),
    Property("instanceType", "InstanceType"),
    nested("iamInstanceProfile", "IamInstanceProfile"),
    Property("vpcSecurityGroupIds", "SecurityGroupIds"),
    nested("metadataOptions", "MetadataOptions"),
    Property("userData", "UserData"),
    Property("blockDeviceMappings", "BlockDeviceMappings", to_aws=_mappings_to_aws, from_aws=_mappings_from_aws),
    Property("tagSpecifications", "TagSpecifications", to_aws=_tags_to_aws, from_aws=_tags_from_aws),
)
PLACEMENT = Property(
    "availabilityZone",
    "Placement",
    to_aws=lambda zone: {"AvailabilityZone": zone},
    from_aws=lambda placement: placement["AvailabilityZone"],
)
PROFILE = Property(
    "iamInstanceProfile",
    "IamInstanceProfile",
    to_aws=lambda name: {"Name": name},
    from_aws=lambda profile: profile["Arn"].rpartition("/")[2],
)
METADATA = Property(
    "metadataOptions",
    "MetadataOptions",
    to_aws=pascal,
    from_aws=lambda options: camel({key: value for key, value in options.items() if key != "State"}),
)
