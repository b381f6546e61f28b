"""Lists, starts, stops and terminates the hosts of a stack, and shows their processes."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from commands.cli import formats, output, stacks
from commands.cli.output import SCHEMA, emit, print_facts, print_table, say
from commands.cli.task import command
from commands.run_view import say_outcome
from contract.clock import Clock

if TYPE_CHECKING:
    from rich.text import Text

    from remote.hosts.host import Host
    from remote.stack import Stack
    from remote.transport.access import Access


@command()
def hosts(c: Any, stack: str = "", json: bool = False) -> None:
    """List the hosts of the stack.

    Example: inv hosts
    """
    opened = stacks.open_stack(stack)
    found = see_hosts(opened)
    if json:
        emit("hosts", stack=opened.name, items=[asdict(host) for host in found])
    else:
        print_hosts(found)


def see_hosts(stack: Stack) -> list[Host]:
    """Return the hosts and whether Systems Manager reaches them: two calls, however many there are."""
    from remote.hosts.host import list_hosts, online_ids

    found = list_hosts(stack)
    online = online_ids(stack, [host.instance_id for host in found if host.running])
    return [replace(host, online=host.instance_id in online) for host in found]


def print_hosts(found: list[Host]) -> None:
    """Print a table of hosts."""
    print_table(["HOST", "INSTANCE", "TYPE", "MARKET", "STATE", "SSM"], [_row(host) for host in found])


def _row(host: Host) -> list[str | Text]:
    reach = formats.state("online" if host.online else "offline")
    return [host.name, host.instance_id, host.instance_type, host.market, formats.state(host.state), reach]


@command(
    wait="Wait until Systems Manager reaches the host (default)",
    resume="Continue the run that was stopped on it",
)
def start(c: Any, host: str, wait: bool = True, resume: bool = False, stack: str = "", json: bool = False) -> None:
    """Start a stopped host and wait until it is online.

    Example: inv start trainer
    """
    from remote.hosts.host import find_host
    from remote.hosts.power import start_host

    access = stacks.access_of(c)
    opened = stacks.open_stack(stack)
    started = start_host(opened, find_host(opened, host), wait=wait or resume, clock=Clock())
    say("host", f"{started.name} ({started.instance_id}) is {started.state}{', online' if wait else ''}")
    if resume:
        _resume(opened, started, access, as_json=json)
    elif json:
        emit("host", **asdict(replace(started, online=True if wait else None)))


def _resume(stack: Stack, host: Host, access: Access, *, as_json: bool) -> None:
    from commands.resume import go_on
    from remote.runs.run import latest_run_on

    run = latest_run_on(stack.bucket, host.instance_id, dt.datetime.now(dt.UTC))
    go_on(stack, run, host.name, access, wait=True, as_json=as_json)


@command(wait="Wait until the instance has stopped", force="Stop immediately, without waiting for the run on it to end")
def stop(
    c: Any,
    host: str,
    wait: bool = False,
    force: bool = False,
    dry_run: bool = False,
    stack: str = "",
    json: bool = False,
) -> None:
    """Stop a host after its run has saved a last checkpoint.

    Example: inv stop trainer --wait
    """
    from remote.hosts.power import stop_host

    opened, found = _release(c, stack, host, "stop", force=force, dry_run=dry_run)
    if not dry_run:
        found = stop_host(opened, found, wait=wait, clock=Clock())
        say("host", f"{found.name} ({found.instance_id}) is {found.state}")
    if json:
        emit("host", **asdict(found))


@command(
    wait="Wait until the instance is terminated",
    force="Terminate immediately, without waiting for the run on it to end",
)
def terminate(
    c: Any, host: str, wait: bool = False, force: bool = False, dry_run: bool = False, yes: bool = False,
    stack: str = "", json: bool = False,
) -> None:  # fmt: skip
    """Terminate a host after its run has saved a last checkpoint.

    Example: inv terminate trainer --dry-run
    """
    from remote.hosts.power import terminate_host

    if not dry_run:
        output.confirm(f"Terminate host {host}?", yes=yes)
    opened, found = _release(c, stack, host, "terminate", force=force, dry_run=dry_run)
    if not dry_run:
        found = terminate_host(opened, found, wait=wait, clock=Clock())
        again = "; inv up creates it again" if opened.worker(host) else ""
        say("host", f"{found.name} ({found.instance_id}) is {found.state}{again}")
    if json:
        emit("host", **asdict(found))


def _release(c: Any, stack: str, host: str, verb: str, *, force: bool, dry_run: bool) -> tuple[Stack, Host]:
    """Return the host once the run on it has ended: the one path by which hosts are stopped and terminated."""
    from remote.hosts.host import find_host
    from remote.runs.end import end_run, run_on

    access = stacks.access_of(c)
    opened = stacks.open_stack(stack)
    found = find_host(opened, host)
    run = None if force else run_on(opened, found)
    if dry_run:
        first = f"end run {run.id} with a last checkpoint, then " if run else ""
        say("plan", f"{first}{verb} host {found.name} ({found.instance_id}), which is {found.state}")
    elif run:
        say("run", f"{run.id} is asked to save and end ...")
        say_outcome(end_run(opened, run, access, Clock()))
    return opened, found


@command()
def processes(c: Any, host: str, stack: str = "", json: bool = False) -> None:
    """Show the processes of a host and its load.

    Example: inv processes trainer
    """
    from remote.hosts.agent_client import AgentClient
    from remote.hosts.host import find_host, require_running

    access = stacks.access_of(c)
    opened = stacks.open_stack(stack)
    found = find_host(opened, host)
    require_running(found)
    answer = AgentClient(opened, found.instance_id, access, Clock()).call(["processes"])
    if json:
        emit("processes", host=found.name, instance_id=found.instance_id, **{**answer, "schema": SCHEMA})
        return
    print_facts({"host": f"{found.name} ({found.instance_id})", "load": formats.load(answer["load"])})
    print_table(
        ["PID", "CPU %", "MEMORY", "RUNNING", "COMMAND"],
        [
            [
                str(one["pid"]),
                f"{one['cpu_percent']:.0f}",
                formats.size(one["memory_bytes"]),
                formats.duration(one["seconds"]),
                one["command"],
            ]
            for one in answer["processes"]
        ],
    )
