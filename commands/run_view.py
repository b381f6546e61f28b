"""Shows a run until its end, as text or as JSON lines, and sums it up."""

from __future__ import annotations

import codecs
import datetime as dt
import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from invoke.exceptions import Exit

from commands.cli import formats
from commands.cli.output import emit, emit_line, print_facts, say
from remote.errors import Unavailable

if TYPE_CHECKING:
    from rich.text import Text

    from contract.records import Outcome
    from remote.runs.follow import Event
    from remote.runs.log import Selection
    from remote.runs.run import Run
    from remote.stack import Stack


def follow_run(stack: Stack, run: Run, log_to: TextIO, selection: Selection | None = None) -> int:
    """Show the selected lines of the log as they come until the run ends; return the exit code to end with.

    Ctrl-C only stops following: the run continues, and the command that follows it again is printed.

    Raises:
        Unavailable: the host went away and left no outcome.
    """
    from remote.runs.follow import LogChunk

    def show(event: Event) -> None:
        if isinstance(event, LogChunk):
            write(log_to, event.data)

    return _watch(stack, run, show, selection)


def finish_with(stack: Stack, run: Run, *, as_json: bool) -> None:
    """Follow a run to its end, print a summary, and end the command with the run's exit code."""
    code = follow_run(stack, run, sys.stderr if as_json else sys.stdout)
    summary(stack, run.id, as_json=as_json)
    if code:
        raise Exit(code=code)


def stream_run(stack: Stack, run: Run, selection: Selection | None = None) -> int:
    """Print JSON lines while the run lasts: `log` and `status` events, then one `outcome`."""
    from contract.records import Outcome, Status
    from remote.runs.follow import LogChunk

    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def show(event: Event) -> None:
        if isinstance(event, LogChunk):
            emit_line("log", run=run.id, text=decoder.decode(event.data))
        elif isinstance(event, Status):
            emit_line("status", **asdict(event))
        elif isinstance(event, Outcome):
            emit_line("outcome", **asdict(event))

    return _watch(stack, run, show, selection)


def _watch(stack: Stack, run: Run, show: Callable[[Event], None], selection: Selection | None) -> int:
    from contract.records import Outcome
    from remote.runs.follow import Silence, follow
    from remote.runs.log import ALL
    from remote.runs.run import exit_code

    try:
        for event in follow(stack.bucket, run.id, selection or ALL, attempt=run.attempt):
            show(event)
            if isinstance(event, Outcome):
                return exit_code(event)
            if isinstance(event, Silence):
                _require_host(stack, run)
    except KeyboardInterrupt:
        say("detached", f"run {run.id} continues; inv monitor {run.id} --follow follows it again")
        raise
    raise AssertionError("a follower ends with an outcome")


def _require_host(stack: Stack, run: Run) -> None:
    """Find out why an agent is silent.

    Raises:
        Unavailable: its host does not run, so nothing more will come.
    """
    from remote.hosts.host import find_host

    ref = run.spec.host
    host = find_host(stack, ref.instance_id)
    if not host.running:
        why = f" ({host.reason})" if host.reason else ""
        raise Unavailable(
            f"run {run.id} has no outcome and its host {ref.name} ({ref.instance_id}) is {host.state}{why}",
            next_step=f"inv checkpoint.list {run.id}",
        )


def write(out: TextIO, data: bytes) -> None:
    """Write raw bytes of a log, because a script's output need not be text."""
    out.flush()
    out.buffer.write(data)
    out.buffer.flush()


def show_log(stack: Stack, run: Run, selection: Selection, *, as_json: bool) -> None:
    """Print the log that is in the bucket now."""
    from remote.runs.log import read_log

    log = read_log(stack.bucket, run.id, selection)
    now = dt.datetime.now(dt.UTC)
    if as_json:
        emit("monitor", **as_item(run, now), log=b"".join(log).decode(errors="replace"))
        return
    for part in log:
        write(sys.stdout, part)
    if not run.ended:
        say("run", f"{run.id} is {run.state(now)}; inv monitor {run.id} --follow continues")


def say_outcome(outcome: Outcome) -> None:
    """Print in one line how a run has just ended."""
    say("run", f"{outcome.run} is {outcome.cause}, last step {formats.number(outcome.last_step)}")


def summary(stack: Stack, run: str, *, as_json: bool) -> None:
    """Print how a run ended, in a few lines."""
    from remote.runs.run import read_run

    found = read_run(stack.bucket, run)
    now = dt.datetime.now(dt.UTC)
    if as_json:
        emit("run", **as_item(found, now))
    else:
        print_facts(_summary_facts(stack, found, now), to_stderr=True)


def _summary_facts(stack: Stack, run: Run, now: dt.datetime) -> dict[str, str | Text]:
    outcome = run.outcome
    last = f"s3://{stack.bucket.name}/{outcome.last_checkpoint}" if outcome and outcome.last_checkpoint else ""
    return {
        "run": f"{run.id} ({run.spec.name})" if run.spec.name else run.id,
        "host": f"{run.spec.host.name} ({run.spec.host.instance_id})",
        "state": formats.state(run.state(now), outcome.detail if outcome else ""),
        "exit code": formats.number(outcome.exit_code if outcome else None),
        "duration": formats.duration(run.duration_seconds(now)),
        "checkpoint": f"step {run.last_step}, {last}" if last else "none",
        "cost so far": formats.money(run.cost_usd(now)),
    }


def as_item(run: Run, now: dt.datetime) -> dict[str, Any]:
    """Return a run as the JSON of every command shows it."""
    cost = run.cost_usd(now)
    return {
        "run": run.id,
        "name": run.spec.name,
        "tags": run.spec.tags,
        "project": run.spec.project,
        "created_by": run.spec.created_by,
        "created_at": run.spec.created_at,
        "attempt": run.attempt,
        "script": run.spec.script,
        "arguments": run.spec.arguments,
        "host": asdict(run.spec.host),
        "state": run.state(now),
        "exit_code": run.outcome.exit_code if run.outcome else None,
        "cause": run.outcome.cause if run.outcome else None,
        "detail": run.outcome.detail if run.outcome else "",
        "duration_seconds": run.duration_seconds(now),
        "last_step": run.last_step,
        "last_checkpoint": run.outcome.last_checkpoint if run.outcome else None,
        "last_line": run.status.last_line if run.status else None,
        "progress": run.status.progress if run.status else None,
        "load": run.status.load if run.status else None,
        "cost_usd": None if cost is None else f"{cost:f}",
    }
