"""Starts and finds the local cloud of this state folder, and says what it has lost or when it takes long."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from commands.cli import paths
from commands.cli.output import say

if TYPE_CHECKING:
    from localcloud.daemon import Address, Lost


def start(port: int = 0) -> tuple[Address, bool]:
    """Start the local cloud unless it is up, and say what it has lost; the bool says whether this call started it."""
    from localcloud import daemon

    address, started = daemon.start(paths.local_dir(), port=port, tell=partial(say, "waiting"))
    if started and address.lost:
        say("saved state", lost_in_words(address.lost))
    return address, started


def find() -> Address | None:
    """Where the local cloud is, None when it is not up; says so when that takes long."""
    from localcloud import daemon

    return daemon.find(paths.local_dir(), tell=partial(say, "waiting"))


def lost_in_words(lost: Lost) -> str:
    """Return what became of saved state that could not be read, and the next command."""
    return (
        f"could not be read: {lost.reason}; it was put aside as {lost.path}; "
        "buckets, hosts and runs start empty; inv up makes the environment again"
    )
