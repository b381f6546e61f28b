"""Removes everything that carries a stack's tag when the stack has lost the state that lists its resources.

Only the tag identifies the resources, so they are removed in an order in which none of them is still in use.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from localcloud.deployer.cloud import Cloud, absence_is_fine
from localcloud.deployer.stack.leftovers import Leftover, leftovers
from localcloud.deployer.types import ec2, ecr, iam, s3

REGION = "us-east-1"


def sweep(stack: str, endpoint: str, region: str = REGION) -> list[Leftover]:
    """Remove everything that carries the stack's tag, runs and checkpoints included; return what it was.

    Raises:
        DeployError, ClientError: a resource could not be removed; those before it are gone.
    """
    cloud = Cloud(endpoint, region)
    found = leftovers(stack, endpoint, region)
    for kind, remove in REMOVALS.items():
        for left in found:
            if left.kind == kind:
                with absence_is_fine():
                    remove(cloud, left.id)
    return found


def _volume(cloud: Cloud, volume: str) -> None:
    client = cloud.client("ec2")

    def attachments() -> list[Any]:
        return list(client.describe_volumes(VolumeIds=[volume])["Volumes"][0].get("Attachments", []))

    for attachment in attachments():
        client.detach_volume(VolumeId=volume, InstanceId=attachment["InstanceId"])
    cloud.wait(f"release of {volume}", lambda: not attachments())
    client.delete_volume(VolumeId=volume)


def _role(cloud: Cloud, role: str) -> None:
    client = cloud.client("iam")
    for name in client.list_role_policies(RoleName=role)["PolicyNames"]:
        client.delete_role_policy(RoleName=role, PolicyName=name)
    for policy in client.list_attached_role_policies(RoleName=role)["AttachedPolicies"]:
        client.detach_role_policy(RoleName=role, PolicyArn=policy["PolicyArn"])
    iam.Role().delete(cloud, role, {"name": role})


REMOVALS: dict[str, Callable[[Cloud, str], None]] = {
    "instance": lambda cloud, found: ec2.Instance().delete(cloud, found, {}),
    "volume": _volume,
    "instance profile": lambda cloud, found: iam.InstanceProfile().delete(cloud, found, {"name": found}),
    "role": _role,
    "launch template": lambda cloud, found: ec2.LaunchTemplate().delete(cloud, found, {}),
    "security group": lambda cloud, found: ec2.SecurityGroup().delete(cloud, found, {}),
    "bucket": lambda cloud, found: s3.S3Bucket().delete(cloud, found, {"bucket": found, "forceDestroy": True}),
    "repository": lambda cloud, found: ecr.Repository().delete(cloud, found, {"name": found, "forceDelete": True}),
}
"""A network interface is deleted with its instance."""
