"""`resume` and `cancel`: going on with a run, and ending one."""

from __future__ import annotations

import datetime as dt
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from commands.cli import formats, stacks
from commands.cli.output import emit, say
from commands.cli.task import command
from commands.run import RUN, choose_run
from commands.run_view import finish_with

if TYPE_CHECKING:
    from remote.runs.run import Run
    from remote.stack import Stack
    from remote.transport.access import Access


@command(
    noun="run",
    run=RUN,
    host="The host to go on with (default: the one it was on)",
    wait="Follow the run to its end (default); --no-wait prints its id and returns",
)
def resume(
    c: Any, run: str = "", host: str = "", wait: bool = True, transport: str = "", dry_run: bool = False,
    stack: str = "", json: bool = False,
) -> None:  # fmt: skip
    """Go on with a run from its newest valid checkpoint.

    Example: inv resume
    """
    access = stacks.access_of(c, transport)
    opened = stacks.open_stack(stack)
    chosen = choose_run(opened, run)
    go_on(opened, chosen, host or chosen.spec.host.name, access, wait=wait, dry_run=dry_run, as_json=json)


def go_on(
    stack: Stack, run: Run, host_name: str, access: Access, *, wait: bool, as_json: bool, dry_run: bool = False
) -> None:
    """Start the next attempt of a run and, when asked, follow it; ends the command with the run's exit code."""
    run = run if dry_run else _recovered(stack, run, access)
    again = _next_attempt(stack, run, host_name, "plan" if dry_run else "resume")
    if dry_run:
        if as_json:
            emit("plan", plan=asdict(again.spec))
        return
    _hand_over(stack, again, access)
    if wait:
        finish_with(stack, again, as_json=as_json)
    elif as_json:
        emit("started", run=again.id, attempt=again.attempt, host=asdict(again.spec.host))
    else:
        print(again.id)


def _recovered(stack: Stack, run: Run, access: Access) -> Run:
    """The run, with its agent back if it had gone and its host is there."""
    from contract.clock import Clock
    from remote.runs import resume

    if run.state(dt.datetime.now(dt.UTC)) != "silent":
        return run
    say("resume", f"run {run.id} is silent; its host is asked to bring the agent back")
    return resume.recover(stack, run, access, Clock())


def _next_attempt(stack: Stack, run: Run, host_name: str, topic: str) -> Run:
    """The run in its next attempt, said out loud; nothing is started."""
    from remote.runs import launch, resume
    from remote.runs.checkpoints import list_checkpoints

    now = dt.datetime.now(dt.UTC)
    resume.require_resumable(run, now)
    spec = resume.plan_resume(stack, run, launch.preflight(stack, host_name, now))
    found = list_checkpoints(stack.bucket, run.id)
    newest = f"step {found[-1].step}" if found else "the beginning: it has no checkpoint"
    again = replace(run, spec=spec, attempt=run.attempt + 1, status=None, outcome=None)
    say(topic, f"run {run.id}, attempt {again.attempt} on {spec.host.name}, from {newest}")
    return again


def _hand_over(stack: Stack, run: Run, access: Access) -> None:
    from contract.clock import Clock
    from remote.runs import launch

    sent = launch.start(stack, run.spec, access, Clock(), run.attempt)
    launch.wait_until_taken(stack, run.id, sent, attempt=run.attempt, clock=Clock())
    say("transport", f"{sent.choice.way}: {sent.choice.why}")


@command(noun="run", run=RUN)
def cancel(c: Any, run: str = "", dry_run: bool = False, stack: str = "", json: bool = False) -> None:
    """End a run after a last checkpoint; its host goes on.

    Example: inv cancel --dry-run
    """
    from contract.clock import Clock
    from remote.runs.end import end_run

    access = stacks.access_of(c)
    opened = stacks.open_stack(stack)
    chosen = choose_run(opened, run)
    if dry_run:
        say("plan", f"end run {chosen.id} on {chosen.spec.host.name}, which is {chosen.state(dt.datetime.now(dt.UTC))}")
        return
    outcome = end_run(opened, chosen, access, Clock())
    say("run", f"{chosen.id} is {outcome.cause}, last step {formats.number(outcome.last_step)}")
    if json:
        emit("run", **asdict(outcome))
