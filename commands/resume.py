"""Continues a run and ends one: `resume` and `cancel`."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from commands.cli import stacks
from commands.cli.output import emit, say
from commands.cli.task import command
from commands.run import RUN, choose_run
from commands.run_view import finish_with, say_outcome
from contract.clock import Clock

if TYPE_CHECKING:
    from remote.runs.plan import Prepared
    from remote.runs.run import Run
    from remote.stack import Stack
    from remote.transport.access import Access


@command(
    noun="run",
    run=RUN,
    host="The host to continue on (default: the one it was on)",
    wait="Follow the run to its end (default); --no-wait prints its id and returns",
)
def resume(
    c: Any, run: str = "", host: str = "", wait: bool = True, transport: str = "", dry_run: bool = False,
    stack: str = "", json: bool = False,
) -> None:  # fmt: skip
    """Continue a run from its newest valid checkpoint.

    Example: inv resume
    """
    access = stacks.access_of(c, transport)
    opened = stacks.open_stack(stack)
    chosen = choose_run(opened, run)
    go_on(opened, chosen, host or chosen.spec.host.name, access, wait=wait, dry_run=dry_run, as_json=json)


def go_on(
    stack: Stack, run: Run, host_name: str, access: Access, *, wait: bool, as_json: bool, dry_run: bool = False
) -> None:
    """Start the next attempt of a run and, when asked, follow it; then the command ends with the run's exit code."""
    from remote.runs.launch import hand_over

    run = run if dry_run else _recovered(stack, run, access)
    again = _prepare(stack, run, host_name, "plan" if dry_run else "resume")
    if dry_run:
        if as_json:
            emit("plan", plan=asdict(again.spec))
        return
    choice = hand_over(stack, again, access, Clock())
    say("transport", f"{choice.way}: {choice.why}")
    if wait:
        finish_with(stack, again.run, as_json=as_json)
    elif as_json:
        emit("started", run=run.id, attempt=again.attempt, host=asdict(again.spec.host))
    else:
        print(run.id)


def _recovered(stack: Stack, run: Run, access: Access) -> Run:
    """Return the run, with its agent brought back if that had gone and its host is there."""
    from remote.runs.resume import recover

    if run.state(dt.datetime.now(dt.UTC)) != "silent":
        return run
    say("resume", f"run {run.id} is silent; its host is asked to bring the agent back")
    return recover(stack, run, access, Clock())


def _prepare(stack: Stack, run: Run, host_name: str, topic: str) -> Prepared:
    """Plan the next attempt of a run and print where it begins; nothing is started."""
    from remote.runs.checkpoints import list_checkpoints
    from remote.runs.resume import prepare

    again = prepare(stack, run, host_name, dt.datetime.now(dt.UTC))
    found = list_checkpoints(stack.bucket, run.id)
    newest = f"step {found[-1].step}" if found else "the beginning: it has no checkpoint"
    say(topic, f"run {run.id}, attempt {again.attempt} on {again.spec.host.name}, from {newest}")
    return again


@command(noun="run", run=RUN)
def cancel(c: Any, run: str = "", dry_run: bool = False, stack: str = "", json: bool = False) -> None:
    """End a run after a last checkpoint; its host keeps running.

    Example: inv cancel --dry-run
    """
    from remote.runs.end import end_run

    access = stacks.access_of(c)
    opened = stacks.open_stack(stack)
    chosen = choose_run(opened, run)
    if dry_run:
        say("plan", f"end run {chosen.id} on {chosen.spec.host.name}, which is {chosen.state(dt.datetime.now(dt.UTC))}")
        return
    outcome = end_run(opened, chosen, access, Clock())
    say_outcome(outcome)
    if json:
        emit("run", **asdict(outcome))
