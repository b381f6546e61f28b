"""Describes how this laptop reaches hosts: the requested transport, and what SSH needs to log in."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from remote.transport.base import Way
from remote.transport.host_keys import Pins


@dataclass(frozen=True, kw_only=True)
class Access:
    """How this laptop reaches hosts: the way that was asked for, and what it takes to log in by SSH.

    Args:
        way: AUTO takes Systems Manager where it reaches the host.
        pins: where the hosts' SSH keys are kept.
        identity: a private key's file; None takes the SSH agent and the usual files.
    """

    way: Way = Way.AUTO
    pins: Pins = field(default_factory=lambda: Pins(None))
    identity: Path | None = None
