"""Declares the launch template of the hosts and the workers that the stack itself keeps.

A host can be replaced, its data volume cannot. The volume is a separate resource in a zone that the program knows
before it deploys; an instance's zone as an output would be unknown while the instance is replaced, and every preview
would then want to replace the volume too.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_aws as aws

from contract import tags
from infra.ami import Image
from infra.settings import WorkerSettings
from infra.user_data import DATA_DEVICE, user_data


@dataclass(frozen=True, kw_only=True)
class HostShape:
    """The properties that all hosts of a stack share."""

    root_volume_gib: int
    subnet_id: str | None
    security_group_id: pulumi.Input[str]
    instance_profile: pulumi.Input[str]
    tags: Mapping[str, str]


def metadata_options() -> dict[str, Any]:
    """Require IMDSv2 with one hop, so that a container behind a bridge cannot get the host's credentials."""
    return {"http_endpoint": "enabled", "http_tokens": "required", "http_put_response_hop_limit": 1}


def market_options(market: str) -> aws.ec2.InstanceInstanceMarketOptionsArgs | None:
    """Return the spot request of an instance; None on demand.

    The request is one-time, because a persistent one outlives its stack and starts instances without an owner.
    """
    if market != "spot":
        return None
    return aws.ec2.InstanceInstanceMarketOptionsArgs(
        market_type="spot",
        spot_options=aws.ec2.InstanceInstanceMarketOptionsSpotOptionsArgs(
            spot_instance_type="one-time", instance_interruption_behavior="terminate"
        ),
    )


class HostTemplate(pulumi.ComponentResource):
    """A launch template: the declared workers and the hosts of `inv create` start from the same one.

    It names no market, because EC2 Fleet rejects a template that does; the launch chooses spot or on-demand. For the
    same reason it tags no spot request: a launch fails on a tag for a resource that it does not create.

    Args:
        name: physical name of the template, unique in account and region.
        image: the machine image of the hosts.
        shape: the properties that the hosts share.
    """

    def __init__(
        self, name: str, *, image: Image, shape: HostShape, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("runctl:infra:HostTemplate", name, {}, opts)
        self.template = aws.ec2.LaunchTemplate(
            name,
            name=name,
            description="A runctl host",
            image_id=image.id,
            update_default_version=True,
            block_device_mappings=[_root_volume(image, shape)],
            iam_instance_profile=aws.ec2.LaunchTemplateIamInstanceProfileArgs(name=shape.instance_profile),
            vpc_security_group_ids=[shape.security_group_id],
            metadata_options=aws.ec2.LaunchTemplateMetadataOptionsArgs(**metadata_options()),
            user_data=base64.b64encode(user_data().encode()).decode(),
            # A provider's default tags stop at the template; what is launched from it takes these. They equal the
            # default tags, so that an instance of the stack shows no drift.
            tag_specifications=[
                aws.ec2.LaunchTemplateTagSpecificationArgs(resource_type=kind, tags=dict(shape.tags))
                for kind in ("instance", "volume", "network-interface")
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"launch_template_id": self.template.id})


class Worker(pulumi.ComponentResource):
    """One declared host and its data volume.

    Args:
        name: prefix of the names of instance and volume, such as `runctl-local-trainer`.
        worker: its configuration.
        zone: its availability zone.
        template: the launch template of the instance.
        shape: the properties that the hosts share.
        protect: refuse to delete the data volume, and keep it when the stack is destroyed.
    """

    def __init__(
        self,
        name: str,
        *,
        worker: WorkerSettings,
        zone: str,
        template: aws.ec2.LaunchTemplate,
        shape: HostShape,
        protect: bool,
        needs: list[pulumi.Resource],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("runctl:infra:Worker", name, {}, opts)
        # A chosen zone stays even if a later deployment would choose another: the data cannot follow.
        settled = [] if worker.availability_zone else ["availabilityZone"]
        self.instance = aws.ec2.Instance(
            name,
            instance_type=worker.instance_type,
            availability_zone=zone,
            subnet_id=shape.subnet_id,
            iam_instance_profile=shape.instance_profile,
            metadata_options=aws.ec2.InstanceMetadataOptionsArgs(**metadata_options()),
            instance_market_options=market_options(worker.market),
            launch_template=aws.ec2.InstanceLaunchTemplateArgs(id=template.id, version="$Latest"),
            tags={"Name": name, tags.HOST: worker.name},
            opts=pulumi.ResourceOptions(
                parent=self,
                # The template follows the newest image; a host with a run on it does not.
                ignore_changes=[*settled, "ami", "launchTemplate"],
                # Two instances cannot share one volume: the old instance goes first, and its attachment before it.
                delete_before_replace=True,
                depends_on=needs,
            ),
        )
        self.volume = self._data_volume(name, worker, zone, settled, protect) if worker.volume_gib else None
        self.register_outputs({"instance_id": self.instance.id, "volume_id": self.volume.id if self.volume else None})

    def _data_volume(
        self, name: str, worker: WorkerSettings, zone: str, settled: list[str], protect: bool
    ) -> aws.ebs.Volume:
        volume = aws.ebs.Volume(
            f"{name}-data",
            availability_zone=zone,
            size=worker.volume_gib,
            type="gp3",
            encrypted=True,
            tags={"Name": f"{name}-data", tags.HOST: worker.name},
            opts=pulumi.ResourceOptions(parent=self, protect=protect, retain_on_delete=protect, ignore_changes=settled),
        )
        spot = worker.market == "spot"
        aws.ec2.VolumeAttachment(
            f"{name}-data",
            device_name=DATA_DEVICE,
            instance_id=self.instance.id,
            volume_id=volume.id,
            # A mounted volume does not detach, so the host is stopped first. A one-time spot host cannot be stopped:
            # there the attachment ends with the instance, and the volume waits for that.
            stop_instance_before_detaching=not spot,
            skip_destroy=spot,
            opts=pulumi.ResourceOptions(parent=self, delete_before_replace=True),
        )
        return volume


def _root_volume(image: Image, shape: HostShape) -> aws.ec2.LaunchTemplateBlockDeviceMappingArgs:
    return aws.ec2.LaunchTemplateBlockDeviceMappingArgs(
        device_name=image.root_device,
        ebs=aws.ec2.LaunchTemplateBlockDeviceMappingEbsArgs(
            volume_size=shape.root_volume_gib, volume_type="gp3", encrypted="true", delete_on_termination="true"
        ),
    )
