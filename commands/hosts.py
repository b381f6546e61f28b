"""Hosts: which there are, and their life."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from commands import environment, wording
from commands.frame import command, emit, print_table, say

if TYPE_CHECKING:
    from remote.host import Host
    from remote.stack import Stack


@command()
def hosts(c: Any, stack: str = "", json: bool = False) -> None:
    """List the hosts of the stack.

    Example: inv hosts
    """
    opened = environment.open_stack(stack)
    found = see_hosts(opened)
    if json:
        emit("hosts", stack=opened.name, items=[asdict(host) for host in found])
    else:
        print_hosts(found)


def see_hosts(stack: Stack) -> list[Host]:
    """The hosts with what Systems Manager says of them: two calls, however many there are."""
    from remote.host import list_hosts, online_ids

    found = list_hosts(stack)
    online = online_ids(stack, [host.instance_id for host in found if host.running])
    return [replace(host, online=host.instance_id in online) for host in found]


def print_hosts(found: list[Host]) -> None:
    """A table of hosts."""
    print_table(["HOST", "INSTANCE", "TYPE", "MARKET", "STATE", "SSM"], [_row(host) for host in found])


def _row(host: Host) -> list[str]:
    reach = wording.state("online") if host.online else "offline"
    return [host.name, host.instance_id, host.instance_type, host.market, wording.state(host.state), reach]


@command(wait="Return only when Systems Manager reaches the host (default)")
def start(c: Any, host: str, wait: bool = True, stack: str = "", json: bool = False) -> None:
    """Start a stopped host and wait until it answers.

    Example: inv start trainer
    """
    from remote.host import find_host, start_host

    opened = environment.open_stack(stack)
    started = start_host(opened, find_host(opened, host), wait=wait)
    say("host", f"{started.name} ({started.instance_id}) is {started.state}{', online' if wait else ''}")
    if json:
        emit("host", **asdict(replace(started, online=True if wait else None)))
