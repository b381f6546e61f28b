"""Opens the stack that a command names, on the local cloud or on AWS."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.cli.paths import LOCAL, checkout, local_dir, state_dir
from remote.errors import Unavailable

if TYPE_CHECKING:
    from localcloud.daemon import Address
    from remote.stack import Stack
    from remote.transport.access import Access


# Where this process found the local cloud: an error of a broken connection does not always name its address.
_reached: list[str] = []


def stack_name(option: str) -> str:
    """Return the name of the stack: `--stack`, else $RUNCTL_STACK, else `local`."""
    return option or os.environ.get("RUNCTL_STACK") or LOCAL


def access_of(c: Any, transport: str = "", identity: str = "") -> Access:
    """Return how to reach hosts: by `--transport`, and for SSH with `--identity`, else `ssh.identity` in invoke.yaml.

    Raises:
        UsageError: the transport does not exist.
    """
    from remote.hosts.connect import parse_way
    from remote.transport.access import Access
    from remote.transport.host_keys import Pins

    chosen = identity or c.config.get("ssh", {}).get("identity")
    return Access(
        way=parse_way(transport),
        pins=Pins(state_dir() / "ssh"),
        identity=Path(chosen).expanduser() if chosen else None,
    )


def open_stack(option: str) -> Stack:
    """Return the stack, which must exist.

    Args:
        option: `--stack`.

    Raises:
        Unavailable: the local cloud is not up, or the local stack is not deployed.
        InputMissing, ConfigError: see `remote.stack.pulumi_outputs`.
    """
    from remote.stack import Stack, pulumi_outputs, read_outputs

    name = stack_name(option)
    if name != LOCAL:
        _reached.clear()
        return Stack(outputs=read_outputs(pulumi_outputs(name, checkout())))
    address = require_local()
    from localcloud import deployer

    found = deployer.outputs(LOCAL, state_dir=local_dir())
    if not found:
        raise Unavailable("stack local is not deployed", next_step="inv up")
    return Stack(outputs=read_outputs(found), endpoint_url=address.url)


def require_local() -> Address:
    """Return the local cloud's address.

    Raises:
        Unavailable: it is not up.
    """
    from commands.cli.local_cloud import find

    address = find()
    if address is None:
        raise Unavailable("the local cloud is not up", next_step="inv up")
    _reached[:] = [address.url]
    return address


def reached_local() -> str:
    """Return the address of the local cloud that this process uses; empty when it uses AWS."""
    return next(iter(_reached), "")
