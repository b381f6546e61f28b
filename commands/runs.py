"""`runs` and `monitor`: which runs there are, and watching one."""

from __future__ import annotations

import datetime as dt
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TextIO

from commands import environment, wording
from commands.frame import command, emit, emit_line, print_facts, print_table, say
from remote.errors import Unavailable

if TYPE_CHECKING:
    from remote.follow import Event
    from remote.runs import Run
    from remote.stack import Stack


@command(limit="How many of the newest runs to show")
def runs(c: Any, limit: int = 20, stack: str = "", json: bool = False) -> None:
    """List the newest runs.

    Example: inv runs --limit 5
    """
    from remote.runs import read_runs, run_ids

    opened = environment.open_stack(stack)
    now = dt.datetime.now(dt.UTC)
    found = read_runs(opened.bucket, run_ids(opened.bucket, now, limit))
    if json:
        emit("runs", stack=opened.name, items=[as_item(run, now) for run in found])
        return
    rows = [_row(run, now) for run in found]
    print_table(["RUN", "SCRIPT", "HOST", "STATE", "EXIT", "DURATION", "STEP"], rows)


def _row(run: Run, now: dt.datetime) -> list[str]:
    return [
        run.id,
        run.spec.script,
        run.spec.host.name,
        wording.state(run.state(now)),
        wording.number(run.outcome.exit_code if run.outcome else None),
        wording.duration(run.duration_seconds(now)),
        wording.number(run.last_step),
    ]


def as_item(run: Run, now: dt.datetime) -> dict[str, Any]:
    """A run as every command's JSON shows it."""
    cost = run.cost_usd(now)
    return {
        "run": run.id,
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
        "cost_usd": None if cost is None else f"{cost:f}",
    }


@command(noun="run", follow="Go on until the run ends, and exit with its script's own code")
def monitor(c: Any, run: str = "", follow: bool = False, stack: str = "", json: bool = False) -> None:
    """Show a run's log, while it runs and long after.

    Example: inv monitor --follow
    """
    from invoke.exceptions import Exit

    opened = environment.open_stack(stack)
    chosen = _choose(opened, run)
    if follow:
        code = _stream(opened, chosen.id) if json else globals()["follow"](opened, chosen.id, log_to=sys.stdout)
        if not json:
            summary(opened, chosen.id, as_json=False)
        if code:
            raise Exit(code=code)
        return
    _show_log(opened, chosen, as_json=json)


def _choose(stack: Stack, run: str) -> Run:
    from remote.runs import latest_run, read_run

    return read_run(stack.bucket, run) if run else latest_run(stack.bucket, dt.datetime.now(dt.UTC))


def _show_log(stack: Stack, run: Run, *, as_json: bool) -> None:
    from remote.follow import read_log

    chunks = read_log(stack.bucket, run.id)
    now = dt.datetime.now(dt.UTC)
    if as_json:
        emit("monitor", **as_item(run, now), log=b"".join(chunks).decode(errors="replace"))
        return
    for chunk in chunks:
        _write(sys.stdout, chunk)
    if not run.ended:
        say("run", f"{run.id} is {run.state(now)}; inv monitor {run.id} --follow goes on")


def follow(stack: Stack, run: str, *, log_to: TextIO) -> int:
    """Show the log as it comes until the run ends; the exit code to end with.

    Ctrl-C stops only the watching: the run goes on, and the way back is printed.

    Raises:
        Unavailable: the host went away and left no outcome.
    """
    from remote.follow import Follower
    from remote.records import Outcome
    from remote.runs import exit_code

    try:
        for event in Follower(stack.bucket, run).events():
            if isinstance(event, Outcome):
                return exit_code(event)
            _show(stack, run, event, log_to)
    except KeyboardInterrupt:
        say("detached", f"run {run} goes on; inv monitor {run} --follow comes back to it")
        raise
    raise AssertionError("a follower ends with an outcome")


def _stream(stack: Stack, run: str) -> int:
    """The same as a stream of JSON lines: `log` and `status` events, then one `outcome`."""
    from remote.follow import Follower, LogChunk
    from remote.records import Outcome, Status
    from remote.runs import exit_code

    for event in Follower(stack.bucket, run).events():
        if isinstance(event, LogChunk):
            emit_line("log", run=run, text=event.data.decode(errors="replace"))
        elif isinstance(event, Status):
            emit_line("status", **asdict(event))
        elif isinstance(event, Outcome):
            emit_line("outcome", **asdict(event))
            return exit_code(event)
        else:
            _require_host(stack, run)
    raise AssertionError("a follower ends with an outcome")


def _show(stack: Stack, run: str, event: Event, log_to: TextIO) -> None:
    from remote.follow import LogChunk, Silence

    if isinstance(event, LogChunk):
        _write(log_to, event.data)
    elif isinstance(event, Silence):
        _require_host(stack, run)


def _require_host(stack: Stack, run: str) -> None:
    """Find out why an agent is silent.

    Raises:
        Unavailable: its host does not run, so nothing will come any more.
    """
    from remote.host import find_host
    from remote.runs import read_run

    ref = read_run(stack.bucket, run).spec.host
    host = find_host(stack, ref.instance_id)
    if not host.running:
        why = f" ({host.reason})" if host.reason else ""
        raise Unavailable(
            f"run {run} has no outcome and its host {ref.name} ({ref.instance_id}) is {host.state}{why}",
            next_step=f"inv checkpoint.list {run}",
        )


def _write(out: TextIO, data: bytes) -> None:
    out.flush()
    out.buffer.write(data)
    out.buffer.flush()


def summary(stack: Stack, run: str, *, as_json: bool) -> None:
    """How a run ended: what to remember of it in a few lines."""
    from remote.runs import read_run

    found = read_run(stack.bucket, run)
    now = dt.datetime.now(dt.UTC)
    if as_json:
        emit("run", **as_item(found, now), log_chunks=found.outcome.log_chunks if found.outcome else None)
        return
    print_facts(_summary_facts(stack, found, now), to_stderr=True)


def _summary_facts(stack: Stack, run: Run, now: dt.datetime) -> dict[str, str]:
    outcome = run.outcome
    code = wording.number(outcome.exit_code if outcome else None)
    last = f"s3://{stack.bucket.name}/{outcome.last_checkpoint}" if outcome and outcome.last_checkpoint else "none"
    return {
        "run": run.id,
        "host": f"{run.spec.host.name} ({run.spec.host.instance_id})",
        "state": wording.state(run.state(now)) + (f": {outcome.detail}" if outcome and outcome.detail else ""),
        "exit code": code,
        "duration": wording.duration(run.duration_seconds(now)),
        "checkpoint": f"step {wording.number(run.last_step)}, {last}" if run.last_step is not None else "none",
        "cost so far": wording.money(run.cost_usd(now)),
    }
