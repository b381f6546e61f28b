"""`runs.list` (or just `runs`) and `monitor`: which runs there are, and watching one."""

from __future__ import annotations

import datetime as dt
import sys
from typing import TYPE_CHECKING, Any

from commands import environment, wording
from commands.following import as_item, follow_run, show_log, stream_run, summary
from commands.frame import command, emit, print_table

if TYPE_CHECKING:
    from rich.text import Text

    from remote.runs import Run
    from remote.stack import Stack


@command(limit="How many of the newest runs to show")
def list_(c: Any, limit: int = 20, stack: str = "", json: bool = False) -> None:
    """List the newest runs.

    Example: inv runs.list --limit 5
    """
    from remote.runs import newest_runs

    opened = environment.open_stack(stack)
    now = dt.datetime.now(dt.UTC)
    found = newest_runs(opened.bucket, now, limit)
    if json:
        emit("runs", stack=opened.name, items=[as_item(run, now) for run in found])
        return
    rows = [_row(run, now) for run in found]
    print_table(["RUN", "SCRIPT", "HOST", "STATE", "EXIT", "DURATION", "STEP"], rows)


def _row(run: Run, now: dt.datetime) -> list[str | Text]:
    return [
        run.id,
        run.spec.script,
        run.spec.host.name,
        wording.state(run.state(now)),
        wording.number(run.outcome.exit_code if run.outcome else None),
        wording.duration(run.duration_seconds(now)),
        wording.number(run.last_step),
    ]


@command(
    noun="run",
    follow="Go on until the run ends, and exit with its script's own code",
    tail="The last N lines (default: all), and with --follow what comes after them",
    since="What came in the last 90s, 20m, 2h, and with --follow what comes after",
    grep="Only lines that match a regular expression",
)
def monitor(
    c: Any,
    run: str = "",
    follow: bool = False,
    tail: int = 0,
    since: str = "",
    grep: str = "",
    stack: str = "",
    json: bool = False,
) -> None:
    """Show a run's log, while it runs and long after.

    Example: inv monitor --follow --tail 50
    """
    from invoke.exceptions import Exit

    from remote.log import read_selection

    selected = read_selection(tail=tail, since=since, grep=grep, now=dt.datetime.now(dt.UTC))
    opened = environment.open_stack(stack)
    chosen = choose_run(opened, run)
    if not follow:
        show_log(opened, chosen, selected, as_json=json)
        return
    code = stream_run(opened, chosen, selected) if json else follow_run(opened, chosen, sys.stdout, selected)
    if not json:
        summary(opened, chosen.id, as_json=False)
    if code:
        raise Exit(code=code)


def choose_run(stack: Stack, run: str) -> Run:
    """The run of that id, or the newest when none was named."""
    from remote.runs import latest_run, read_run

    return read_run(stack.bucket, run) if run else latest_run(stack.bucket, dt.datetime.now(dt.UTC))
