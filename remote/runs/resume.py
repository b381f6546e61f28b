"""Continues a run: brings its agent back, or plans a further attempt from its newest checkpoint."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

from contract.clock import Clock, wait_until
from contract.records import Resume, RunSpec
from remote.errors import HostBusy, UsageError
from remote.hosts.agent_client import AgentClient
from remote.hosts.host import Host, find_host
from remote.runs.plan import Prepared, place, preflight
from remote.runs.run import Run, read_run
from remote.stack import Stack
from remote.transport.access import Access

POLL_SECONDS = 0.5
RECOVER_SECONDS = 20.0
RESUMABLE = {"stopped", "spot", "failed", "oom", "timeout", "budget", "hung", "infra"}


def require_resumable(run: Run, now: dt.datetime) -> None:
    """Refuse a run that has completed or that still runs.

    Raises:
        UsageError: it completed.
        HostBusy: it still runs.
    """
    if run.outcome is None and run.state(now) != "silent":
        raise HostBusy(f"run {run.id} is {run.state(now)}", run=run.id, next_step=f"inv monitor {run.id} --follow")
    if run.outcome and run.outcome.cause not in RESUMABLE:
        raise UsageError(f"run {run.id} is {run.outcome.cause}: there is nothing to go on with", next_step="inv train")


def recover(stack: Stack, run: Run, access: Access, clock: Clock) -> Run:
    """Bring back the agent of a run that went silent, if its host runs, and read the run again.

    An agent that was killed left its script running under a shim that holds the host; a new agent continues from there.
    A run whose agent cannot be brought back stays as it is: it needs a further attempt.
    """
    host = find_host(stack, run.spec.host.instance_id)
    if not host.running:
        return run
    AgentClient(stack, host.instance_id, access, clock).call(["recover"])

    def changed() -> Run | None:
        found = read_run(stack.bucket, run.id)
        return found if found.outcome or (found.status and found.status != run.status) else None

    return wait_until(changed, seconds=RECOVER_SECONDS, every=POLL_SECONDS, clock=clock) or run


def prepare(stack: Stack, run: Run, host_name: str, now: dt.datetime) -> Prepared:
    """Plan the next attempt of a run; nothing is sent or started.

    Raises:
        UsageError, HostBusy: see `require_resumable`; or another run is on the host.
        InputMissing, Unavailable: see `remote.runs.plan.preflight`.
    """
    require_resumable(run, now)
    spec = plan_resume(stack, run, preflight(stack, host_name, now))
    return Prepared(spec=spec, attempt=run.attempt + 1)


def plan_resume(stack: Stack, run: Run, host: Host) -> RunSpec:
    """Return the spec of the next attempt: the same code and arguments, perhaps on another host at another price."""
    ref, price = place(stack, host)
    return replace(run.spec, host=ref, usd_per_hour=price, resume=Resume(run=run.id))
