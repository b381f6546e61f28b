"""Ends a run on its host after a last checkpoint, and finds the run that a host has.

Stopping and terminating a host share this path: the run is asked to end (SIGTERM, a last checkpoint, its outcome), and
EC2 is asked for nothing before the outcome is in the bucket.
"""

from __future__ import annotations

from contract.clock import Clock, wait_until
from contract.keys import host_key
from contract.records import HostRecord, Outcome
from remote.errors import Error, Interrupted, UsageError
from remote.hosts.agent_client import AgentClient
from remote.hosts.host import Host
from remote.runs.run import Run, read_run
from remote.stack import Stack
from remote.transport.access import Access

# After the grace period the agent still uploads what was written last.
UPLOAD_SECONDS = 300.0
POLL_SECONDS = 0.5


def run_on(stack: Stack, host: Host) -> Run | None:
    """Return the run that has a host and has not ended, or None when the host is free or does not run."""
    if not host.running:
        return None
    record = stack.bucket.get_record(HostRecord, host_key(host.instance_id))
    if record is None or record.run is None:
        return None
    run = read_run(stack.bucket, record.run)
    return None if run.ended else run


def end_run(stack: Stack, run: Run, access: Access, clock: Clock) -> Outcome:
    """Ask a run to end and wait for its outcome: SIGTERM, a last checkpoint, then the end.

    Raises:
        UsageError: it has ended already.
        Unavailable: its host does not answer.
        Interrupted: the outcome did not come in time; asking again does no harm.
    """
    if run.outcome:
        raise UsageError(f"run {run.id} has ended already: {run.outcome.cause}", next_step=f"inv monitor {run.id}")
    AgentClient(stack, run.spec.host.instance_id, access, clock).call(["stop", "--run", run.id])
    outcome = wait_until(
        lambda: read_run(stack.bucket, run.id).outcome,
        seconds=run.spec.limits.grace_seconds + UPLOAD_SECONDS,
        every=POLL_SECONDS,
        clock=clock,
    )
    if outcome is None:
        raise Interrupted(f"run {run.id} has not stopped yet", next_step=f"inv monitor {run.id} --follow")
    return outcome


def ensure_ended(stack: Stack, run: str, access: Access, clock: Clock) -> None:
    """End a run unless it has ended, perhaps by itself meanwhile.

    Raises:
        Unavailable, Interrupted: see `end_run`.
    """
    found = read_run(stack.bucket, run)
    if found.ended:
        return
    try:
        end_run(stack, found, access, clock)
    except Error:
        if not read_run(stack.bucket, run).ended:
            raise
