"""EBS: a data volume, and that it is attached to an instance."""

# ruff: noqa: D102  the base class says what each of these methods promises

from __future__ import annotations

from typing import Any

from botocore.exceptions import ClientError

from localcloud.deployer.cloud import Cloud, absence_is_fine
from localcloud.deployer.types.base import Made, ResourceType, Values, changed
from localcloud.deployer.types.ec2 import retag, tag_filters, tag_specification

RELEASE_SECONDS = 120.0


class Volume(ResourceType):
    """aws.ebs.Volume"""

    pulumi_type = "aws:ebs/volume:Volume"
    replace = frozenset({"availabilityZone", "encrypted", "kmsKeyId", "snapshotId"})
    taggable = True

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        optional = {"Size": "size", "SnapshotId": "snapshotId", "Iops": "iops", "Throughput": "throughput"}
        made = cloud.client("ec2").create_volume(
            AvailabilityZone=inputs["availabilityZone"],
            VolumeType=inputs.get("type", "gp2"),
            Encrypted=bool(inputs.get("encrypted")),
            TagSpecifications=tag_specification("volume", inputs),
            ClientToken=token,
            **{aws: inputs[ours] for aws, ours in optional.items() if inputs.get(ours) is not None},
        )
        return self._made(cloud, made["VolumeId"])

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del outputs
        return _describe(cloud, resource_id) is not None

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        if old and changed(old, new, "size", "type", "iops", "throughput"):
            wanted = {"Size": "size", "VolumeType": "type", "Iops": "iops", "Throughput": "throughput"}
            given = {aws: new[ours] for aws, ours in wanted.items() if new.get(ours) is not None}
            cloud.client("ec2").modify_volume(VolumeId=resource_id, **given)
        retag(cloud, resource_id, old, new)
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del outputs
        cloud.wait(f"release of {resource_id}", lambda: self._deleted(cloud, resource_id), RELEASE_SECONDS)

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        # EC2 does not give the token of a volume back; its tags have the stack and a name that no other volume has.
        del token
        for found in cloud.client("ec2").describe_volumes(Filters=tag_filters(inputs))["Volumes"]:
            if inputs.get("tagsAll") and found["State"] in {"creating", "available"}:
                return self._made(cloud, found["VolumeId"])
        return None

    def _made(self, cloud: Cloud, volume_id: str) -> Made:
        cloud.wait(f"creation of {volume_id}", lambda: (_describe(cloud, volume_id) or {}).get("State") != "creating")
        account = cloud.client("sts").get_caller_identity()["Account"]
        return Made(id=volume_id, computed={"arn": f"arn:aws:ec2:{cloud.region}:{account}:volume/{volume_id}"})

    def _deleted(self, cloud: Cloud, volume_id: str) -> bool:
        try:
            with absence_is_fine():
                cloud.client("ec2").delete_volume(VolumeId=volume_id)
        except ClientError as error:
            # An instance that is going down still holds it.
            if error.response["Error"]["Code"] == "VolumeInUse":
                return False
            raise
        return True


class VolumeAttachment(ResourceType):
    """aws.ec2.VolumeAttachment"""

    pulumi_type = "aws:ec2/volumeAttachment:VolumeAttachment"
    replace = frozenset({"deviceName", "instanceId", "volumeId"})

    def create(self, cloud: Cloud, inputs: Values, token: str) -> Made:
        del token
        volume, instance = inputs["volumeId"], inputs["instanceId"]
        free = ("available", "")
        cloud.wait(f"release of {volume}", lambda: (_describe(cloud, volume) or {}).get("State", "") in free)
        cloud.client("ec2").attach_volume(VolumeId=volume, InstanceId=instance, Device=inputs["deviceName"])
        cloud.wait(f"attachment of {volume} to {instance}", lambda: self._attached(cloud, inputs))
        return self._made(inputs)

    def exists(self, cloud: Cloud, resource_id: str, outputs: Values) -> bool:
        del resource_id
        return self._attached(cloud, outputs)

    def update(self, cloud: Cloud, resource_id: str, old: Values, new: Values) -> Values:
        # Only how to detach can change, and that is asked when the time comes.
        del cloud, resource_id, old, new
        return {}

    def delete(self, cloud: Cloud, resource_id: str, outputs: Values) -> None:
        del resource_id
        if outputs.get("skipDestroy") or not self._attached(cloud, outputs):
            return
        volume, instance = outputs["volumeId"], outputs["instanceId"]
        if outputs.get("stopInstanceBeforeDetaching"):
            self._stop(cloud, instance)
        try:
            cloud.client("ec2").detach_volume(VolumeId=volume, InstanceId=instance, Device=outputs["deviceName"])
        except ClientError as error:
            if error.response["Error"]["Code"] != "IncorrectState":  # detached in the meantime
                raise
        cloud.wait(f"release of {volume}", lambda: (_describe(cloud, volume) or {}).get("State") in {"available", None})

    def find(self, cloud: Cloud, inputs: Values, token: str) -> Made | None:
        del token
        return self._made(inputs) if self._attached(cloud, inputs) else None

    def _made(self, inputs: Values) -> Made:
        return Made(id=f"vai-{inputs['volumeId'].removeprefix('vol-')}-{inputs['instanceId'].removeprefix('i-')}")

    def _attached(self, cloud: Cloud, inputs: Values) -> bool:
        attachments: list[Any] = (_describe(cloud, inputs["volumeId"]) or {}).get("Attachments", [])
        return any(
            entry["InstanceId"] == inputs["instanceId"] and entry["State"] in {"attached", "attaching", "busy"}
            for entry in attachments
        )

    def _stop(self, cloud: Cloud, instance_id: str) -> None:
        ec2 = cloud.client("ec2")

        def state() -> str:
            found = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
            return str(found[0]["Instances"][0]["State"]["Name"]) if found else ""

        if state() in {"pending", "running"}:
            ec2.stop_instances(InstanceIds=[instance_id])
            cloud.wait(f"stop of {instance_id}", lambda: state() in {"stopped", "terminated", ""})


def _describe(cloud: Cloud, volume_id: str) -> Values | None:
    with absence_is_fine():
        found = cloud.client("ec2").describe_volumes(VolumeIds=[volume_id])["Volumes"]
        return found[0] if found else None
    return None


TYPES = (Volume, VolumeAttachment)
