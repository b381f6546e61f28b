"""Which way to a host: Systems Manager or SSH, decided by what the host offers and said out loud.

`choose` decides and knows no cloud. `reach` asks what is needed for that and no more: with Systems Manager online
nothing about SSH is looked at, so nobody sees an SSH error who never meant SSH.

A host offers SSH when it has the tag `runctl:ssh-address`; asked for by name, SSH also goes through Session Manager to
hosts that have none, so that no port need be open.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from remote.errors import ConfigError, Unavailable, UsageError
from remote.host import Host, online_ids, require_running
from remote.hostkeys import HostKey, from_console, parse_key
from remote.relay import Relay
from remote.ssh import Endpoint, SshTransport
from remote.ssm import SsmTransport
from remote.stack import Stack
from remote.transport import Transport, Way

ADDRESS_TAG = "runctl:ssh-address"
USER_TAG = "runctl:ssh-user"
KEY_TAG = "runctl:ssh-host-key"
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
PLUGIN = "session-manager-plugin"


@dataclass(frozen=True, kw_only=True)
class Offer:
    """What a host offers: whether Systems Manager reaches it, and its SSH address, empty when it has none."""

    ssm: bool
    ssh: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The way that is taken, and why, in words for a person."""

    way: Way
    why: str


def parse_way(text: str) -> Way:
    """`--transport`'s value.

    Raises:
        UsageError: there is no such transport.
    """
    try:
        return Way(text or Way.AUTO)
    except ValueError:
        raise UsageError(f"--transport: {text!r} is none of ssm, ssh, auto", next_step="--transport auto") from None


def choose(asked: Way, offer: Offer, host: str) -> Choice:
    """The way to a host, from what was asked and what is offered.

    Raises:
        Unavailable: what was asked is not offered, or nothing is. Only a way that was meant is spoken of.
    """
    if asked is Way.SSH:
        through = f"at {offer.ssh}" if offer.ssh else "through Session Manager, no port is open"
        return Choice(way=Way.SSH, why=f"as asked, {through}")
    if offer.ssm:
        return Choice(way=Way.SSM, why="as asked" if asked is Way.SSM else "Systems Manager reaches the host")
    if asked is Way.AUTO and offer.ssh:
        return Choice(way=Way.SSH, why=f"Systems Manager does not reach the host; it offers SSH at {offer.ssh}")
    hint = f"--transport ssh, which it offers at {offer.ssh}" if offer.ssh else "inv status"
    raise Unavailable(f"Systems Manager does not reach host {host}", next_step=hint)


def reach(stack: Stack, host: Host) -> tuple[Transport, Choice]:
    """A transport to a running host in the way that the stack's access asks for, and why this one.

    Raises:
        Unavailable: the host does not run, or cannot be reached in the way that was asked.
        ConfigError: no host key is known for it, or the Session Manager's program is missing.
    """
    require_running(host)
    choice = decide(stack, host)
    if choice.way is Way.SSM:
        return by_ssm(stack, host), choice
    return SshTransport(endpoint(stack, host)), choice


def decide(stack: Stack, host: Host) -> Choice:
    """`choose`, with what the host offers looked up, and only what matters for it."""
    asked = stack.access.way
    online = asked is not Way.SSH and host.instance_id in online_ids(stack, [host.instance_id])
    address = "" if online else tags_of(_instance(stack, host)).get(ADDRESS_TAG, "")
    return choose(asked, Offer(ssm=online, ssh=address), f"{host.name} ({host.instance_id})")


def by_ssm(stack: Stack, host: Host) -> SsmTransport:
    """Systems Manager to the host, with the stack's bucket for what is large."""
    return SsmTransport(stack.aws.ssm, host.instance_id, Relay(stack.bucket, stack.aws.s3_signer, host.instance_id))


def endpoint(
    stack: Stack,
    host: Host,
    *,
    which: Callable[[str], str | None] = shutil.which,
) -> Endpoint:
    """Where, as whom and with which host key the host is reached by SSH.

    Raises:
        ConfigError: no host key is known, a tag is malformed, or the gateway's programs are not installed.
    """
    instance = _instance(stack, host)
    tags = tags_of(instance)
    given = tags.get(ADDRESS_TAG, "")
    name, port = parse_address(given) if given else (host.instance_id, 22)
    gateway = () if given else session_argv(stack, host.instance_id, which, ssh=True)
    return Endpoint(
        host=f"{host.name} ({host.instance_id})",
        address=name,
        port=port,
        user=tags.get(USER_TAG) or user_of(_image_name(stack, instance["ImageId"])),
        keys=_keys(stack, host, tags),
        identity=stack.access.identity,
        gateway=gateway,
    )


def parse_address(text: str) -> tuple[str, int]:
    """`name`, `name:port` or `[v6]:port` as name and port.

    Raises:
        ConfigError: it is none of them.
    """
    found = ADDRESS.fullmatch(text.strip())
    port = int(found["port"] or 22) if found else 0
    if not found or not 0 < port < 1 << 16 or found["name"].startswith("-"):
        raise ConfigError(f"tag {ADDRESS_TAG}: {text!r} is no address", next_step=f"{ADDRESS_TAG}=NAME:PORT")
    return found["name"].strip("[]"), port


def user_of(image: str) -> str:
    """Who logs in to hosts of an image, by the image's name."""
    return next((user for pattern, user in USERS if pattern.search(image)), DEFAULT_USER)


def tags_of(instance: dict[str, Any]) -> dict[str, str]:
    """An instance's tags."""
    return {tag["Key"]: tag["Value"] for tag in instance.get("Tags", [])}


def session_argv(
    stack: Stack, instance_id: str, which: Callable[[str], str | None] = shutil.which, *, ssh: bool = False
) -> tuple[str, ...]:
    """The command line of a Session Manager session: a shell, or a connection to the host's SSH port.

    https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-getting-started-enable-ssh-connections.html

    Raises:
        Unavailable: the stack is on the local cloud, which has no sessions.
        ConfigError: a program that it needs is not installed; it names it.
    """
    if stack.endpoint_url is not None:
        raise Unavailable(
            "the local cloud has no Session Manager sessions",
            next_step="inv exec HOST -- COMMAND, or the tag runctl:ssh-address for a host with its own SSH server",
        )
    for program in ("aws", PLUGIN):
        if which(program) is None:
            raise ConfigError(f"a Session Manager session needs {program}, which is not installed", next_step=INSTALL)
    document = ["--document-name", "AWS-StartSSHSession", "--parameters", "portNumber=22"] if ssh else []
    region = ["--region", stack.outputs.region]
    return ("aws", "ssm", "start-session", "--target", instance_id, *document, *region)


INSTALL = (
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/session-manager-working-with-install-plugin.html"
)


def _instance(stack: Stack, host: Host) -> dict[str, Any]:
    reply = stack.aws.ec2.describe_instances(InstanceIds=[host.instance_id])
    return dict(reply["Reservations"][0]["Instances"][0])


def _image_name(stack: Stack, image_id: str) -> str:
    images = stack.aws.ec2.describe_images(ImageIds=[image_id])["Images"]
    return f"{images[0].get('Name', '')} {images[0].get('Description', '')}" if images else ""


def _keys(stack: Stack, host: Host, tags: dict[str, str]) -> tuple[HostKey, ...]:
    """The host's keys: its tag has the first word, then what is kept here, then the console."""
    tagged, pins = tags.get(KEY_TAG, ""), stack.access.pins
    kept = pins.get(host.instance_id)
    keys = (parse_key(tagged),) if tagged else kept or _console_keys(stack, host)
    if not keys:
        raise ConfigError(
            f"no SSH host key is known for {host.name} ({host.instance_id}): it has no tag {KEY_TAG}, and its console "
            "output shows none",
            next_step=f"set the tag {KEY_TAG} to a line of the host's /etc/ssh/ssh_host_ed25519_key.pub",
        )
    if keys != kept:
        pins.keep(host.instance_id, keys)
    return keys


def _console_keys(stack: Stack, host: Host) -> tuple[HostKey, ...]:
    return from_console(stack.aws.ec2.get_console_output(InstanceId=host.instance_id).get("Output", ""))
