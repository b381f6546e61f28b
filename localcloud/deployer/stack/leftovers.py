"""Lists what a stack has left behind, from the cloud and not the state: the proof that a `down` was complete."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from localcloud.deployer.cloud import Cloud

TAG = "runctl:stack"
OVER = {"terminated", "shutting-down"}


@dataclass(frozen=True, kw_only=True)
class Leftover:
    """One resource of the stack that still exists: `kind` is a noun such as `instance`, `id` is AWS's."""

    kind: str
    id: str


def leftovers(stack: str, endpoint: str, region: str = "us-east-1") -> list[Leftover]:
    """Return everything that carries the stack's tag, of every kind that a stack or its hosts can create."""
    # boto3 takes a quarter of a second to import, which a mere import of this module does not pay.
    from localcloud.deployer.cloud import Cloud  # noqa: PLC0415

    cloud = Cloud(endpoint, region)
    return [Leftover(kind=kind, id=found) for kind, ids in KINDS.items() for found in ids(cloud, stack)]


def _instances(cloud: Cloud, stack: str) -> Iterator[str]:
    for page in cloud.client("ec2").get_paginator("describe_instances").paginate(Filters=_tagged(stack)):
        for reservation in page["Reservations"]:
            yield from (i["InstanceId"] for i in reservation["Instances"] if i["State"]["Name"] not in OVER)


def _described(action: str, key: str, id_key: str) -> Callable[[Cloud, str], Iterator[str]]:
    def ids(cloud: Cloud, stack: str) -> Iterator[str]:
        found = getattr(cloud.client("ec2"), action)(Filters=_tagged(stack))[key]
        yield from (entry[id_key] for entry in found)

    return ids


def _buckets(cloud: Cloud, stack: str) -> Iterator[str]:
    from botocore.exceptions import ClientError  # noqa: PLC0415  as above

    s3 = cloud.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        try:
            tags = s3.get_bucket_tagging(Bucket=bucket["Name"])["TagSet"]
        except ClientError:  # untagged, or deleted in the meantime
            continue
        if _has(tags, stack):
            yield bucket["Name"]


def _repositories(cloud: Cloud, stack: str) -> Iterator[str]:
    ecr = cloud.client("ecr")
    for repository in ecr.describe_repositories()["repositories"]:
        if _has(ecr.list_tags_for_resource(resourceArn=repository["repositoryArn"])["tags"], stack):
            yield repository["repositoryName"]


def _roles(cloud: Cloud, stack: str) -> Iterator[str]:
    iam = cloud.client("iam")
    for role in iam.list_roles()["Roles"]:
        if _has(iam.list_role_tags(RoleName=role["RoleName"])["Tags"], stack):
            yield role["RoleName"]


def _profiles(cloud: Cloud, stack: str) -> Iterator[str]:
    iam = cloud.client("iam")
    for profile in iam.list_instance_profiles()["InstanceProfiles"]:
        name = profile["InstanceProfileName"]
        found = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
        if _has(found.get("Tags", []), stack):
            yield name


def _tagged(stack: str) -> list[dict[str, Any]]:
    return [{"Name": f"tag:{TAG}", "Values": [stack]}]


def _has(tags: list[dict[str, str]], stack: str) -> bool:
    return any(tag["Key"] == TAG and tag["Value"] == stack for tag in tags)


KINDS: dict[str, Callable[[Cloud, str], Iterator[str]]] = {
    "instance": _instances,
    "volume": _described("describe_volumes", "Volumes", "VolumeId"),
    "launch template": _described("describe_launch_templates", "LaunchTemplates", "LaunchTemplateId"),
    "security group": _described("describe_security_groups", "SecurityGroups", "GroupId"),
    "network interface": _described("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    "bucket": _buckets,
    "repository": _repositories,
    "role": _roles,
    "instance profile": _profiles,
}
