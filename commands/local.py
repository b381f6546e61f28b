"""Implements `local.*`, the commands for the local cloud's process."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from commands.cli import paths, stacks
from commands.cli.local_cloud import find, lost_in_words, start
from commands.cli.output import as_typed, emit, print_facts, say
from commands.cli.task import command

if TYPE_CHECKING:
    from localcloud.daemon import Address


@command(port="The port on 127.0.0.1 (default: the previous one if free, else any)")
def up(c: Any, port: int = 0, json: bool = False) -> None:
    """Start the local cloud unless it is up.

    Example: inv local.up
    """
    address, started = start(port)
    say("local cloud", f"{'started' if started else 'was up'} at {address.url}")
    if json:
        emit("local", up=True, started=started, url=address.url, pid=address.pid, lost=_as_item(address))


@command()
def status(c: Any, json: bool = False) -> None:
    """Show whether the local cloud is up, and where.

    Example: inv local.status
    """
    address = find()
    if json:
        url, pid = (address.url, address.pid) if address else (None, None)
        emit("local", up=address is not None, url=url, pid=pid, lost=_as_item(address))
        return
    state = f"up at {address.url}, process {address.pid}" if address else "down; inv local.up starts it"
    facts = {"local cloud": state, "state": str(paths.local_dir())}
    if address and address.lost:
        facts["saved state"] = lost_in_words(address.lost)
    print_facts({name: as_typed(value) for name, value in facts.items()})


@command()
def down(c: Any, json: bool = False) -> None:
    """Stop the local cloud and its hosts; its buckets are kept.

    Example: inv local.down
    """
    from localcloud import daemon

    stopped = daemon.stop(paths.local_dir())
    say("local cloud", "stopped" if stopped else "was not up")
    if json:
        emit("local", up=False, stopped=stopped)


@command(host="The host's name or instance id", notice="From the notice to the interruption (default: 2m, as on EC2)")
def interrupt(c: Any, host: str, notice: str = "120s", json: bool = False) -> None:
    """Simulate an EC2 spot interruption.

    Example: inv local.interrupt trainer --notice 10s
    """
    from localcloud import daemon
    from remote.hosts.host import find_host
    from remote.units import parse_duration

    seconds = parse_duration(notice, "--notice")
    address = stacks.require_local()
    found = find_host(stacks.open_stack(paths.LOCAL), host)
    answer = daemon.call(
        address,
        "POST",
        f"/_local/hosts/{found.instance_id}/interrupt",
        {"notice_seconds": seconds, "action": "terminate"},
    )
    say("interrupted", f"{found.name} ({found.instance_id}) has its notice and is interrupted in {seconds:.0f} s")
    if json:
        emit("interruption", host=found.name, instance_id=found.instance_id, **answer)


def _as_item(address: Address | None) -> dict[str, str] | None:
    return asdict(address.lost) if address and address.lost else None
