"""`status`: the stack, its hosts, and the current or last run at a glance."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from commands import environment, wording
from commands.following import as_item
from commands.frame import command, emit, print_facts
from commands.hosts import print_hosts, see_hosts

if TYPE_CHECKING:
    from remote.host import Host
    from remote.runs import Run
    from remote.stack import Stack


@command()
def status(c: Any, stack: str = "", json: bool = False) -> None:
    """Show the stack, its hosts, and the current or last run.

    Example: inv status --json
    """
    from remote.runs import read_run, run_ids

    opened = environment.open_stack(stack)
    now = dt.datetime.now(dt.UTC)
    hosts = see_hosts(opened)
    newest = run_ids(opened.bucket, now, limit=1)
    run = read_run(opened.bucket, newest[0]) if newest else None
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
        print_facts({"run": "none yet; inv train"})
        return
    print_facts(
        {
            "run": f"{run.id}  {run.spec.script} on {run.spec.host.name}",
            "state": wording.state(run.state(now)),
            "exit code": wording.number(run.outcome.exit_code if run.outcome else None),
            "duration": wording.duration(run.duration_seconds(now)),
            "last step": wording.number(run.last_step),
            "last line": (run.status.last_line if run.status else None) or "-",
        }
    )
