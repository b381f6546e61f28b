"""Chooses the transport for a host, Systems Manager or SSH, and explains the choice.

`choose` decides and knows no cloud; every command that reaches a host decides by it. It tries Systems Manager first and
looks up what SSH needs only when that fails, so that a user who never asked for SSH never sees an SSH error.

A host offers SSH when it has the tag `runctl:ssh-address`; asked for by name, SSH also goes through Session Manager to
hosts that have none, so that no port need be open.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from remote.errors import UsageError
from remote.hosts.host import Host, online_ids, require_running
from remote.hosts.ssh_endpoint import endpoint, ssh_address
from remote.stack import Stack
from remote.transport.access import Access
from remote.transport.base import Transport, Way
from remote.transport.ssh import SshTransport
from remote.transport.ssm import NotOnline, SsmTransport
from remote.transport.ssm_bucket import Relay

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SshOffer:
    """A running host and the address at which it offers SSH, empty when it has none."""

    host: Host
    address: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The way that is taken, and why, in words for a person."""

    way: Way
    why: str


def parse_way(text: str) -> Way:
    """Read `--transport`.

    Raises:
        UsageError: there is no such transport.
    """
    try:
        return Way(text or Way.AUTO)
    except ValueError:
        raise UsageError(f"--transport: {text!r} is none of ssm, ssh, auto", next_step="--transport auto") from None


def choose(
    asked: Way, *, over_ssm: Callable[[], T], ssh_offer: Callable[[], SshOffer], over_ssh: Callable[[SshOffer], T]
) -> tuple[T, Choice]:
    """Take the way that was asked for; AUTO takes Systems Manager where it reaches the host, else SSH if offered.

    Args:
        asked: the way.
        over_ssm: goes by Systems Manager, or raises `NotOnline`.
        ssh_offer: looks up the host and its SSH address; called only where SSH may be taken.
        over_ssh: goes by SSH.

    Raises:
        Unavailable: the way that was asked for does not reach the host, or none does.
    """
    if asked is not Way.SSH:
        try:
            reached = over_ssm()
        except NotOnline:
            if asked is Way.SSM:
                raise
        else:
            return reached, Choice(
                way=Way.SSM, why="as asked" if asked is Way.SSM else "Systems Manager reaches the host"
            )
    offer = ssh_offer()
    if asked is Way.SSH:
        why = f"as asked, at {offer.address}" if offer.address else "as asked, through Session Manager, no port is open"
    elif offer.address:
        why = f"Systems Manager does not reach the host; it offers SSH at {offer.address}"
    else:
        raise _out_of_reach(offer.host, "inv status")
    return over_ssh(offer), Choice(way=Way.SSH, why=why)


def connect(stack: Stack, host: Host, access: Access) -> tuple[Transport, Choice]:
    """Return a transport to a running host, and why this one.

    Raises:
        Unavailable: the host does not run, or cannot be reached in the way that was asked.
        ConfigError: no host key is known for it, or the Session Manager's program is missing.
    """
    require_running(host)
    return choose(
        access.way,
        over_ssm=lambda: _ssm_transport(stack, host, access.way),
        ssh_offer=lambda: offer_of(stack, host),
        over_ssh=lambda offer: SshTransport(endpoint(stack, offer.host, access)),
    )


def choose_way(stack: Stack, host: Host, access: Access) -> Choice:
    """Choose the way that `connect` would take to a running host, without taking it."""
    require_running(host)
    _, choice = choose(
        access.way,
        over_ssm=lambda: _require_online(stack, host, access.way),
        ssh_offer=lambda: offer_of(stack, host),
        over_ssh=lambda _: None,
    )
    return choice


def offer_of(stack: Stack, host: Host) -> SshOffer:
    """Look up what a host offers for SSH.

    Raises:
        Unavailable: it does not run.
    """
    require_running(host)
    return SshOffer(host=host, address=ssh_address(stack, host))


def _ssm_transport(stack: Stack, host: Host, asked: Way) -> Transport:
    """Systems Manager to the host, with the stack's bucket for content that a command cannot carry."""
    _require_online(stack, host, asked)
    return SsmTransport(stack.aws.ssm, host.instance_id, Relay(stack.bucket, stack.aws.s3_signer, host.instance_id))


def _require_online(stack: Stack, host: Host, asked: Way) -> None:
    if host.instance_id in online_ids(stack, [host.instance_id]):
        return
    # The address is only for the hint; AUTO looks it up itself, and then takes it.
    address = ssh_address(stack, host) if asked is Way.SSM else ""
    raise _out_of_reach(host, f"--transport ssh, which it offers at {address}" if address else "inv status")


def _out_of_reach(host: Host, next_step: str) -> NotOnline:
    return NotOnline(f"Systems Manager does not reach host {host.name} ({host.instance_id})", next_step=next_step)
