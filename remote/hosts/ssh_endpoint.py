"""Finds where and as whom SSH reaches a host: address, user, pinned keys."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

from contract.tags import SSH_ADDRESS, SSH_HOST_KEY, SSH_USER
from remote.errors import ConfigError
from remote.hosts.host import Host
from remote.hosts.session import session_argv
from remote.stack import Stack
from remote.transport.access import Access
from remote.transport.host_keys import HostKey, Pins, from_console, parse_key
from remote.transport.ssh import Endpoint

if TYPE_CHECKING:
    from mypy_boto3_ec2.type_defs import InstanceTypeDef

DEFAULT_USER = "ec2-user"
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/managing-users.html#ami-default-user-names
USERS = (
    (re.compile(r"ubuntu", re.IGNORECASE), "ubuntu"),
    (re.compile(r"debian", re.IGNORECASE), "admin"),
    (re.compile(r"rocky", re.IGNORECASE), "rocky"),
    (re.compile(r"fedora", re.IGNORECASE), "fedora"),
    (re.compile(r"bitnami", re.IGNORECASE), "bitnami"),
)
ADDRESS = re.compile(r"(?P<name>[^\s:\[\]]+|\[[0-9a-fA-F:]+\])(?::(?P<port>\d{1,5}))?")


def endpoint(
    stack: Stack, host: Host, access: Access, *, which: Callable[[str], str | None] = shutil.which
) -> Endpoint:
    """Return where, as whom and with which host key SSH reaches a host.

    Raises:
        ConfigError: no host key is known, a tag is malformed, or the gateway's programs are not installed.
    """
    instance = _instance(stack, host)
    tags = _tags_of(instance)
    given = tags.get(SSH_ADDRESS, "")
    name, port = parse_address(given) if given else (host.instance_id, 22)
    gateway = () if given else session_argv(stack, host.instance_id, which, ssh=True)
    return Endpoint(
        host=f"{host.name} ({host.instance_id})",
        address=name,
        port=port,
        user=tags.get(SSH_USER) or user_of(_image_name(stack, instance["ImageId"])),
        keys=_keys(stack, host, access.pins, tags),
        identity=access.identity,
        gateway=gateway,
    )


def ssh_address(stack: Stack, host: Host) -> str:
    """Return the address at which a host offers SSH, empty when it has none."""
    return _tags_of(_instance(stack, host)).get(SSH_ADDRESS, "")


def parse_address(text: str) -> tuple[str, int]:
    """Read `name`, `name:port` or `[v6]:port` as name and port.

    Raises:
        ConfigError: it is none of them.
    """
    found = ADDRESS.fullmatch(text.strip())
    port = int(found["port"] or 22) if found else 0
    if not found or not 0 < port < 1 << 16 or found["name"].startswith("-"):
        raise ConfigError(f"tag {SSH_ADDRESS}: {text!r} is not an address", next_step=f"{SSH_ADDRESS}=NAME:PORT")
    return found["name"].strip("[]"), port


def user_of(image: str) -> str:
    """Return who logs in to hosts of an image, by the image's name."""
    return next((user for pattern, user in USERS if pattern.search(image)), DEFAULT_USER)


def _tags_of(instance: InstanceTypeDef) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}


def _instance(stack: Stack, host: Host) -> InstanceTypeDef:
    reply = stack.aws.ec2.describe_instances(InstanceIds=[host.instance_id])
    return reply["Reservations"][0]["Instances"][0]


def _image_name(stack: Stack, image_id: str) -> str:
    images = stack.aws.ec2.describe_images(ImageIds=[image_id])["Images"]
    return f"{images[0].get('Name', '')} {images[0].get('Description', '')}" if images else ""


def _keys(stack: Stack, host: Host, pins: Pins, tags: dict[str, str]) -> tuple[HostKey, ...]:
    """Return the host's keys: its tag comes first, then the keys pinned here, then the console."""
    tagged = tags.get(SSH_HOST_KEY, "")
    kept = pins.get(host.instance_id)
    keys = (parse_key(tagged),) if tagged else kept or _console_keys(stack, host)
    if not keys:
        raise ConfigError(
            f"no SSH host key is known for {host.name} ({host.instance_id}): it has no tag {SSH_HOST_KEY}, and its "
            "console output shows none",
            next_step=f"set the tag {SSH_HOST_KEY} to a line of the host's /etc/ssh/ssh_host_ed25519_key.pub",
        )
    if keys != kept:
        pins.keep(host.instance_id, keys)
    return keys


def _console_keys(stack: Stack, host: Host) -> tuple[HostKey, ...]:
    return from_console(stack.aws.ec2.get_console_output(InstanceId=host.instance_id).get("Output", ""))
