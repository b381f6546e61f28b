"""Ending runs and hosts without losing what was learned.

Stopping and terminating a host share one path: the run is asked to end (SIGTERM, a last checkpoint, its outcome), and
only when its outcome is in the bucket is EC2 asked for anything. Resuming makes a further attempt of the same run.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from typing import Any

from contract.clock import Clock, wait_until
from remote.errors import HostBusy, UsageError
from remote.hosts.agent_client import AgentClient
from remote.hosts.host import Host, find_host
from remote.prices import usd_per_hour
from remote.records import HostRef, RunSpec
from remote.runs.run import Run, read_run
from remote.stack import Stack
from remote.transport.access import Access

POLL_SECONDS = 0.5
RECOVER_SECONDS = 20.0
RESUMABLE = {"stopped", "spot", "failed", "oom", "timeout", "budget", "hung", "infra"}


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


def recover(stack: Stack, run: Run, access: Access, clock: Clock) -> Run:
    """Bring the agent of a run that went silent back, if its host is there, and read the run anew.

    An agent that was killed left its script running under a shim that holds the host; a new agent goes on from there.
    What cannot be brought back is left as it is: a further attempt is what helps then.
    """
    host = find_host(stack, run.spec.host.instance_id)
    if not host.running:
        return run
    AgentClient(stack, host.instance_id, access, clock).call(["recover"])

    def changed() -> Run | None:
        found = read_run(stack.bucket, run.id)
        return found if found.outcome or (found.status and found.status != run.status) else None

    return wait_until(changed, seconds=RECOVER_SECONDS, every=POLL_SECONDS, clock=clock) or run


def plan_resume(stack: Stack, run: Run, host: Host) -> RunSpec:
    """The spec of the next attempt: the same code and arguments, perhaps on another host at another price."""
    price = usd_per_hour(stack, host)
    here = HostRef(name=host.name, instance_id=host.instance_id, instance_type=host.instance_type, market=host.market)
    resume: dict[str, Any] = {"run": run.id, "checkpoint": None}
    return replace(run.spec, host=here, usd_per_hour=None if price is None else f"{price:f}", resume=resume)
