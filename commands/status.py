"""Implements `status`, which shows the stack, its hosts and the current or last run at a glance."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from commands.cli import formats, stacks
from commands.cli.output import as_typed, emit, print_facts
from commands.cli.task import command
from commands.host import print_hosts, see_hosts
from commands.run_view import as_item

if TYPE_CHECKING:
    from rich.text import Text

    from remote.hosts.host import Host
    from remote.runs.run import Run
    from remote.stack import Stack


@command()
def status(c: Any, stack: str = "", json: bool = False) -> None:
    """Show the stack, its hosts, and the current or last run.

    Example: inv status --json
    """
    from remote.runs.run import find_latest

    opened = stacks.open_stack(stack)
    now = dt.datetime.now(dt.UTC)
    hosts = see_hosts(opened)
    run = find_latest(opened.bucket, now)
    if json:
        emit(
            "status",
            stack=opened.name,
            region=opened.outputs.region,
            hosts=[asdict(host) for host in hosts],
            run=as_item(run, now) if run else None,
        )
        return
    _print(opened, hosts, run, now)


def _print(stack: Stack, hosts: list[Host], run: Run | None, now: dt.datetime) -> None:
    where = stack.endpoint_url or f"AWS {stack.outputs.region}"
    print_facts({"stack": f"{stack.name} ({where})", "bucket": stack.bucket.name})
    print_hosts(hosts)
    if run is None:
        print_facts({"run": as_typed("none yet; inv train")})
        return
    print_facts(_facts(run, now))


def _facts(run: Run, now: dt.datetime) -> dict[str, str | Text]:
    status, outcome = run.status, run.outcome
    facts: dict[str, str | Text] = {
        "run": f"{run.id}  {run.spec.script} on {run.spec.host.name}",
        "state": formats.state(run.state(now), outcome.detail if outcome else ""),
        "duration": formats.duration(run.duration_seconds(now)),
        "checkpoint": f"step {run.last_step}" if run.last_step is not None else "none yet",
        "cost so far": formats.money(run.cost_usd(now)),
        "last line": (status.last_line if status else None) or "-",
    }
    if outcome:
        return {**facts, "exit code": formats.number(outcome.exit_code)}
    if status:
        facts["state"] = formats.state(run.state(now), formats.progress("", status.progress).strip())
        facts["load"] = formats.load(status.load)
    return facts
