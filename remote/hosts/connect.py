"""Which way to a host: Systems Manager or SSH, decided by what the host offers and said out loud.

`choose` decides and knows no cloud. `reach` asks what is needed for that and no more: with Systems Manager online
nothing about SSH is looked at, so nobody sees an SSH error who never meant SSH.

A host offers SSH when it has the tag `runctl:ssh-address`; asked for by name, SSH also goes through Session Manager to
hosts that have none, so that no port need be open.
"""

from __future__ import annotations

from dataclasses import dataclass

from remote.errors import Unavailable, UsageError
from remote.hosts.host import Host, online_ids, require_running
from remote.hosts.ssh_endpoint import ADDRESS_TAG, _instance, endpoint, tags_of
from remote.stack import Stack
from remote.transport.base import Transport, Way
from remote.transport.ssh import SshTransport
from remote.transport.ssm import SsmTransport
from remote.transport.ssm_bucket import Relay


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
