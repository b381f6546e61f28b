"""Implements `runs.list` (or just `runs`) and `monitor`, which list runs and follow one."""

from __future__ import annotations

import datetime as dt
import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from commands.cli import columns, formats, stacks
from commands.cli.output import emit, print_table, say, say_error
from commands.cli.task import command
from commands.run_view import as_item, follow_run, show_log, stream_run, summary
from remote.errors import InputMissing, UsageError

if TYPE_CHECKING:
    from remote.runs.run import Run
    from remote.runs.search import Found
    from remote.stack import Stack

RUN = "The run's id, its name or `latest` (default: the newest run)"
RUN_OR_HOST = "A run's id, its name, `latest`, or a host (default: the newest run)"
ELASTIC = ("NAME", "PROJECT", "SCRIPT", "ARGUMENTS", "USER", "HOST")
HEADINGS = ("RUN", *ELASTIC, "STATE", "TIME", "STEP")
MANY = 2


@command(
    limit="How many of the newest runs to show",
    script="Only runs of this script or shell pattern: '*/train.py'",
    user="Only runs that this user started; `me` for your own",
    state="Only runs in this state, such as failed; an unknown one lists all states",
    since="Only runs created within this time: 2h, 3d",
    name="Only runs with this name or shell pattern: 'lr-*'",
    tag="Only runs with this KEY=VALUE tag; may be repeated",
)
def list_(
    c: Any, limit: int = 20, script: str = "", user: str = "", state: str = "", since: str = "", name: str = "",
    tag: Sequence[str] = [], stack: str = "", json: bool = False,
) -> None:  # fmt: skip
    """List the newest runs.

    Example: inv runs.list --limit 5
    """
    from remote.runs.search import read_filters, search

    if limit < 1:
        raise UsageError(f"--limit {limit} would show nothing", next_step="inv runs --limit 20")
    now = dt.datetime.now(dt.UTC)
    filters = read_filters(script=script, user=user, state=state, since=since, name=name, tags=tag, now=now)
    opened = stacks.open_stack(stack)
    found = search(opened.bucket, filters, limit, now)
    if json:
        emit("runs", stack=opened.name, items=[as_item(run, now) for run in found.runs])
    else:
        _print_runs(found.runs, now)
    _say_what_is_left(found, limit, filtered=bool(filters))


def _print_runs(runs: Sequence[Run], now: dt.datetime) -> None:
    """Print one line per run. The name is left out where no run has one, the host where all had the same."""
    from rich.text import Text

    rows = [_row(run, now) for run in runs]
    useless = {"NAME": not any(run.spec.name for run in runs), "HOST": len({row["HOST"] for row in rows}) < MANY}
    kept = [name for name in HEADINGS if not useless.get(name)]
    lines = columns.fit([{name: row[name] for name in kept} for row in rows], columns.room(), ELASTIC)
    styles = [{"STATE": formats.COLOURS.get(run.state(now), "")} for run in runs]
    print_table(
        kept,
        [
            [Text(text, style.get(name, "")) for name, text in line.items()]
            for line, style in zip(lines, styles, strict=True)
        ],
    )


def _row(run: Run, now: dt.datetime) -> dict[str, str]:
    spec, code = run.spec, run.outcome.exit_code if run.outcome else None
    return {
        "RUN": run.id,
        "NAME": spec.name or "-",
        "PROJECT": spec.project or "-",
        "SCRIPT": spec.script,
        "ARGUMENTS": shlex.join(spec.arguments) or "-",
        "USER": spec.created_by,
        "HOST": spec.host.name,
        "STATE": f"{run.state(now)} {code}" if code else run.state(now),
        "TIME": formats.brief_duration(run.duration_seconds(now)),
        "STEP": formats.number(run.last_step),
    }


def _say_what_is_left(found: Found, limit: int, *, filtered: bool) -> None:
    for error in found.damaged:
        say_error(error.message, "")
    if found.more:
        say(
            "more",
            f"only the newest {found.searched} runs were searched, back to {found.back_to}; "
            f"--limit {max(limit, found.searched) * 2} searches that many",
        )
    elif filtered and not found.runs:
        say("none", f"no such run; searched {formats.count(found.searched, 'run')}")


@command(
    noun="run",
    run=RUN_OR_HOST,
    follow="Follow the run to its end and exit with its script's own exit code",
    tail="Only the last N lines, and with --follow what comes after them",
    since="Only what came in the last 90s, 20m, 2h, and with --follow what comes after",
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
    """Show a run's log, during the run or long after.

    Example: inv monitor --follow --tail 50
    """
    from invoke.exceptions import Exit

    from remote.runs.log import read_selection

    selected = read_selection(tail=tail, since=since, grep=grep, now=dt.datetime.now(dt.UTC))
    opened = stacks.open_stack(stack)
    chosen = choose_run(opened, run, or_host=True)
    if not follow:
        show_log(opened, chosen, selected, as_json=json)
        return
    code = stream_run(opened, chosen, selected) if json else follow_run(opened, chosen, sys.stdout, selected)
    if not json:
        summary(opened, chosen.id, as_json=False)
    if code:
        raise Exit(code=code)


def choose_run(stack: Stack, word: str, *, or_host: bool = False) -> Run:
    """Return the run that a word names, by the same rules for every command: see `remote.runs.search.find_run`.

    Args:
        stack: where the run is.
        word: as typed; empty for the newest run.
        or_host: whether it may also name a host, for its newest run; a run of that name takes precedence.

    Raises:
        InputMissing: it is neither.
    """
    from remote.runs.run import latest_run_on
    from remote.runs.search import find_run, names_one_run

    now = dt.datetime.now(dt.UTC)
    try:
        run = find_run(stack.bucket, word, now)
    except InputMissing as missing:
        if not or_host or names_one_run(word):
            raise
        try:
            return latest_run_on(stack.bucket, word, now)
        except InputMissing:
            raise InputMissing(f"{missing.message}, or by a host that it was sent to", next_step="inv runs") from None
    if or_host and run.spec.name == word and stack.worker(word):
        say("run", f"{word} is a run's name and a host's: this is run {run.id}, the newest of that name")
    return run
