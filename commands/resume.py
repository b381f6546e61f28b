"""`resume` and `cancel`: going on with a run, and ending one."""

from __future__ import annotations

import datetime as dt
import sys
import time
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from commands import environment, wording
from commands.following import follow_run, summary
from commands.frame import command, emit, say
from commands.runs import choose_run

if TYPE_CHECKING:
    from remote.runs import Run
    from remote.stack import Stack


@command(
    noun="run",
    host="The host to go on with (default: the one it was on)",
    wait="Follow the run to its end (default); --no-wait prints its id and returns",
)
def resume(
    c: Any, run: str = "", host: str = "", wait: bool = True, dry_run: bool = False, stack: str = "", json: bool = False
) -> None:
    """Go on with a run that ended early, from its newest valid checkpoint.

    Example: inv resume
    """
    opened = environment.open_stack(stack)
    chosen = choose_run(opened, run)
    go_on(opened, chosen, host or chosen.spec.host.name, wait=wait, dry_run=dry_run, as_json=json)


def go_on(stack: Stack, run: Run, host_name: str, *, wait: bool, as_json: bool, dry_run: bool = False) -> None:
    """Start the next attempt of a run and, when asked, follow it; ends the command with the run's exit code."""
    from invoke.exceptions import Exit

    from remote import launch, lifecycle
    from remote.checkpoints import list_checkpoints

    now = dt.datetime.now(dt.UTC)
    if run.state(now) == "silent" and not dry_run:
        say("resume", f"run {run.id} is silent; its host is asked to bring the agent back")
        run = lifecycle.recover(stack, run, lifecycle.Pace())
    lifecycle.require_resumable(run, dt.datetime.now(dt.UTC))
    spec = lifecycle.plan_resume(stack, run, launch.preflight(stack, host_name, now))
    found = list_checkpoints(stack.bucket, run.id)
    newest = f"step {found[-1].step}" if found else "the beginning: it has no checkpoint"
    attempt = run.attempt + 1
    say("plan" if dry_run else "resume", f"run {run.id}, attempt {attempt} on {spec.host.name}, from {newest}")
    if dry_run:
        if as_json:
            emit("plan", plan=asdict(spec))
        return
    started = launch.start(stack, spec, attempt)
    launch.wait_until_taken(stack, spec.run, started, attempt=attempt, clock=time.monotonic, sleep=time.sleep)
    if not wait:
        if as_json:
            emit("started", run=spec.run, attempt=attempt, host=asdict(spec.host))
        else:
            print(spec.run)
        return
    again = replace(run, spec=spec, attempt=attempt, status=None, outcome=None)
    code = follow_run(stack, again, sys.stderr if as_json else sys.stdout)
    summary(stack, spec.run, as_json=as_json)
    if code:
        raise Exit(code=code)


@command(noun="run")
def cancel(c: Any, run: str = "", dry_run: bool = False, stack: str = "", json: bool = False) -> None:
    """End a run after a last checkpoint, and leave its host as it is.

    Example: inv cancel --dry-run
    """
    from remote.lifecycle import Pace, end_run

    opened = environment.open_stack(stack)
    chosen = choose_run(opened, run)
    if dry_run:
        say("plan", f"end run {chosen.id} on {chosen.spec.host.name}, which is {chosen.state(dt.datetime.now(dt.UTC))}")
        return
    outcome = end_run(opened, chosen, Pace())
    say("run", f"{chosen.id} is {outcome.cause}, last step {wording.number(outcome.last_step)}")
    if json:
        emit("run", **asdict(outcome))
