"""Resolves the machine image of the hosts, given by id or by the public SSM parameter that names the newest."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi
import pulumi_aws as aws


@dataclass(frozen=True, kw_only=True)
class Image:
    """A machine image and its boot device, which differs between distributions."""

    id: str
    root_device: str


def is_image_id(setting: str) -> bool:
    """Return whether a setting is an image's id, rather than the name of a parameter that holds one."""
    return setting.startswith("ami-")


def resolve(setting: str, invoke: pulumi.InvokeOptions) -> Image:
    """Look up the image that `setting` currently names."""
    image_id = setting
    if not is_image_id(setting):
        image_id = aws.ssm.get_parameter(name=setting, opts=invoke).insecure_value
    # An image that a team pinned may be deprecated by now; it still works, but AWS lists it only on request.
    found = aws.ec2.get_ami(filters=[{"name": "image-id", "values": [image_id]}], include_deprecated=True, opts=invoke)
    return Image(id=found.image_id, root_device=found.root_device_name)
