"""Ending runs and hosts without losing what was learned.

Stopping and terminating a host share one path: the run is asked to end (SIGTERM, a last checkpoint, its outcome), and
only when its outcome is in the bucket is EC2 asked for anything. Resuming makes a further attempt of the same run.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from remote import records
from remote.errors import HostBusy, Interrupted, Unavailable, UsageError
from remote.host import Host, find_host
from remote.orders import Orders
from remote.prices import usd_per_hour
from remote.records import HostRecord, HostRef, Outcome, RunSpec
from remote.runs import Run, read_run
from remote.stack import Stack

LOOK_SECONDS = 0.5
STOP_POLL_SECONDS = 2.0
# After the grace period the agent still uploads what was written last.
UPLOAD_SECONDS = 300.0
EC2_STOP_SECONDS = 600.0
RECOVER_SECONDS = 20.0
RESUMABLE = {"stopped", "spot", "failed", "oom", "timeout", "budget", "hung", "infra"}


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How time passes, so that a test need not wait."""

    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


def run_on(stack: Stack, host: Host) -> Run | None:
    """The run that has a host and has not ended, or None when the host is free."""
    found = stack.bucket.get_json(records.host_key(host.instance_id))
    record = HostRecord.from_mapping(found) if found else None
    if record is None or record.run is None:
        return None
    run = read_run(stack.bucket, record.run)
    return None if run.ended else run


def end_run(stack: Stack, run: Run, pace: Pace) -> Outcome:
    """Ask a run to end and wait for its outcome: SIGTERM, a last checkpoint, then the end.

    Raises:
        UsageError: it has ended already.
        Unavailable: its host does not answer.
        Interrupted: the outcome did not come in time; asking again does no harm.
    """
    if run.outcome:
        raise UsageError(f"run {run.id} has ended already: {run.outcome.cause}", next_step=f"inv monitor {run.id}")
    Orders(stack, run.spec.host.instance_id, clock=pace.clock, sleep=pace.sleep).give(["stop", "--run", run.id])
    deadline = pace.clock() + run.spec.limits.grace_seconds + UPLOAD_SECONDS
    while pace.clock() < deadline:
        now = read_run(stack.bucket, run.id)
        if now.outcome:
            return now.outcome
        pace.sleep(LOOK_SECONDS)
    raise Interrupted(f"run {run.id} was asked to end and has not yet", next_step=f"inv monitor {run.id} --follow")


def stop_host(stack: Stack, host: Host, *, wait: bool, pace: Pace) -> Host:
    """Stop a host that has no run on it.

    Raises:
        Unavailable: it cannot be stopped in its state, or does not stop in time.
    """
    if host.state in {"terminated", "shutting-down"}:
        raise Unavailable(f"host {host.name} ({host.instance_id}) is {host.state}", next_step="inv up")
    if host.state not in {"stopped", "stopping"}:
        stack.aws.ec2.stop_instances(InstanceIds=[host.instance_id])
    return _await(stack, host, {"stopped"}, pace) if wait else find_host(stack, host.instance_id)


def terminate_host(stack: Stack, host: Host, *, wait: bool, pace: Pace) -> Host:
    """Terminate a host that has no run on it; the volumes that the stack declares stay."""
    if host.state not in {"terminated", "shutting-down"}:
        stack.aws.ec2.terminate_instances(InstanceIds=[host.instance_id])
    return _await(stack, host, {"terminated"}, pace) if wait else find_host(stack, host.instance_id)


def _await(stack: Stack, host: Host, states: set[str], pace: Pace) -> Host:
    deadline = pace.clock() + EC2_STOP_SECONDS
    while (now := find_host(stack, host.instance_id)).state not in states:
        if pace.clock() > deadline:
            raise Unavailable(
                f"host {host.name} ({host.instance_id}) is {now.state} after {EC2_STOP_SECONDS:.0f} s",
                next_step="inv status",
            )
        pace.sleep(STOP_POLL_SECONDS)
    return now


def require_resumable(run: Run, now: dt.datetime) -> None:
    """Let only a run through that has ended before its time, or whose agent is gone.

    Raises:
        UsageError: it completed.
        HostBusy: it still runs.
    """
    if run.outcome is None and run.state(now) != "silent":
        raise HostBusy(f"run {run.id} is {run.state(now)}", run=run.id, next_step=f"inv monitor {run.id} --follow")
    if run.outcome and run.outcome.cause not in RESUMABLE:
        raise UsageError(f"run {run.id} is {run.outcome.cause}: there is nothing to go on with", next_step="inv train")


def recover(stack: Stack, run: Run, pace: Pace) -> Run:
    """Bring the agent of a run that went silent back, if its host is there, and read the run anew.

    An agent that was killed left its script running under a shim that holds the host; a new agent goes on from there.
    What cannot be brought back is left as it is: a further attempt is what helps then.
    """
    host = find_host(stack, run.spec.host.instance_id)
    if not host.running:
        return run
    Orders(stack, host.instance_id, clock=pace.clock, sleep=pace.sleep).give(["recover"])
    deadline = pace.clock() + RECOVER_SECONDS
    while pace.clock() < deadline:
        found = read_run(stack.bucket, run.id)
        if found.outcome or (found.status and found.status != run.status):
            return found
        pace.sleep(LOOK_SECONDS)
    return run


def plan_resume(stack: Stack, run: Run, host: Host) -> RunSpec:
    """The spec of the next attempt: the same code and arguments, perhaps on another host at another price."""
    price = usd_per_hour(stack, host)
    here = HostRef(name=host.name, instance_id=host.instance_id, instance_type=host.instance_type, market=host.market)
    resume: dict[str, Any] = {"run": run.id, "checkpoint": None}
    return replace(run.spec, host=here, usd_per_hour=None if price is None else f"{price:f}", resume=resume)
