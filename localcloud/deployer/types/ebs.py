"""Describes EBS: a data volume, and its attachment to an instance."""

# ruff: noqa: D102  the base classes say what these methods promise

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from localcloud.deployer.cloud import Cloud
from localcloud.deployer.types.base import Made, ResourceType, Values
from localcloud.deployer.types.ec2 import Ec2Type, Instance
from localcloud.deployer.types.table import Property, Update, from_aws, to_aws

SIZED = (
    Property("size", "Size"),
    Property("type", "VolumeType", default="gp2"),
    Property("iops", "Iops"),
    Property("throughput", "Throughput"),
)


class Volume(Ec2Type):
    """aws.ebs.Volume"""

    pulumi_type = "aws:ebs/volume:Volume"
    replace = frozenset({"availabilityZone", "encrypted", "kmsKeyId", "snapshotId"})
    creator, reader, deleter = "create_volume", "describe_volumes", "delete_volume"
    noun, listing = "volume", "Volumes[]"
    in_use = "VolumeInUse"  # an instance that is going down still holds it
    release_seconds = 120.0
    keys = (Property("id", "VolumeId"),)
    properties = (
        Property("availabilityZone", "AvailabilityZone"),
        Property("encrypted", "Encrypted", default=False),
        Property("snapshotId", "SnapshotId"),
        *SIZED,
    )
    updates = (Update("modify_volume", SIZED),)

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        return super().update(cloud, resource_id, old or new, new)  # one that is adopted was created with all of this

    def is_ours(self, found: Values, inputs: Values, token: str) -> bool:
        # EC2 does not return the token of a volume; its tags have the stack and a name that no other volume has.
        del token
        return bool(inputs.get("tagsAll")) and found["State"] in {"creating", "available"}

    def is_settled(self, found: Values) -> bool:
        return bool(found["State"] != "creating")


class VolumeAttachment(ResourceType):
    """aws.ec2.VolumeAttachment"""

    pulumi_type = "aws:ec2/volumeAttachment:VolumeAttachment"
    replace = frozenset({"deviceName", "instanceId", "volumeId"})
    properties = (
        Property("volumeId", "VolumeId"),
        Property("instanceId", "InstanceId"),
        Property("deviceName", "Device"),
    )

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        volume, instance = inputs["volumeId"], inputs["instanceId"]
        cloud.wait(f"release of {volume}", lambda: _volume(cloud, volume).get("State", "") in {"available", ""})
        cloud.client("ec2").attach_volume(**to_aws(self.properties, inputs))
        cloud.wait(f"attachment of {volume} to {instance}", lambda: self.exists(cloud, "", inputs))
        return self._made(inputs)

    def read(self, cloud: Cloud, resource_id: str, outputs: Values) -> Values | None:
        del resource_id
        attachments: list[Any] = _volume(cloud, outputs["volumeId"]).get("Attachments", [])
        for found in attachments:
            if found["InstanceId"] == outputs["instanceId"] and found["State"] in {"attached", "attaching", "busy"}:
                return from_aws(self.properties, found)
        return None

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        # Only how to detach can change, and that is asked when the time comes.
        del cloud, resource_id, old, new
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        if outputs.get("skipDestroy") or not self.exists(cloud, resource_id, outputs):
            return
        volume, instance = outputs["volumeId"], outputs["instanceId"]
        if outputs.get("stopInstanceBeforeDetaching") and Instance().state(cloud, instance) in {"pending", "running"}:
            Instance().stop(cloud, instance)
        try:
            cloud.client("ec2").detach_volume(**to_aws(self.properties, outputs))
        except ClientError as error:
            if error.response["Error"]["Code"] != "IncorrectState":  # detached in the meantime
                raise
        cloud.wait(f"release of {volume}", lambda: _volume(cloud, volume).get("State") in {"available", None})

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        del token
        return self._made(inputs) if self.exists(cloud, "", inputs) else None

    def _made(self, inputs: Values) -> Made:
        return Made(id=f"vai-{inputs['volumeId'].removeprefix('vol-')}-{inputs['instanceId'].removeprefix('i-')}")


def _volume(cloud: Cloud, volume_id: str) -> Values:
    return Volume().describe(cloud, volume_id, {}) or {}


TYPES = (Volume, VolumeAttachment)
