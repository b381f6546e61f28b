"""Starts and finds the local cloud of this state folder, and reports lost state and long waits."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from commands.cli import paths
from commands.cli.output import say

if TYPE_CHECKING:
    from localcloud.daemon import Address, Lost


def start(port: int = 0) -> tuple[Address, bool]:
    """Start the local cloud unless it is up, and report lost state; the bool says whether this call started it."""
    from localcloud import daemon

    address, started = daemon.start(paths.local_dir(), port=port, tell=partial(say, "waiting"))
    if started and address.lost:
        say("saved state", lost_in_words(address.lost))
    return address, started


def find() -> Address | None:
    """Return where the local cloud is, None when it is not up; report a long wait."""
    from localcloud import daemon

    return daemon.find(paths.local_dir(), tell=partial(say, "waiting"))


def lost_in_words(lost: Lost) -> str:
    """Return what happened to saved state that could not be read, and the next command."""
    return (
        f"could not be read: {lost.reason}; it was put aside as {lost.path}; "
        "buckets, hosts and runs start empty; inv up creates the environment again"
    )
