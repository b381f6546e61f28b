"""Sends a planned run to its host and waits until the host's agent has taken it.

Starting writes the spec and sends one command, once the code is in the bucket (`remote/code/upload.py`); whether the
agent took the run is then read from the bucket, so a warm host needs a single Systems Manager call before the script's
first line.
"""

from __future__ import annotations

from contract.clock import Clock
from contract.keys import RunKeys
from contract.records import RunSpec
from remote.errors import HostBusy, Unavailable
from remote.hosts.agent_client import AgentClient, Sent
from remote.hosts.connect import Choice
from remote.runs.plan import Prepared
from remote.runs.run import check_run_id
from remote.stack import Stack
from remote.transport.access import Access
from remote.transport.base import Way

FIRST_CHECK_SECONDS = 8.0
CHECK_SECONDS = 3.0
POLL_SECONDS = 0.2


def hand_over(stack: Stack, prepared: Prepared, access: Access, clock: Clock) -> Choice:
    """Hand an attempt to its host and return once the agent has taken it: by which way, and why.

    Raises:
        HostBusy, Unavailable: see `start` and `wait_until_taken`.
    """
    sent = start(stack, prepared.spec, access, clock, prepared.attempt)
    wait_until_taken(stack, prepared.spec.run, sent, attempt=prepared.attempt, clock=clock)
    return sent.choice


def start(stack: Stack, spec: RunSpec, access: Access, clock: Clock, attempt: int = 1) -> Sent:
    """Write the spec and hand the run to the host's agent; returns once Systems Manager took the order, or by SSH the
    agent did.

    Raises:
        HostBusy: another command has made this attempt already.
        Unavailable: the host is not reached in the way that was asked.
    """
    if not _made(stack, spec, attempt):
        raise HostBusy(
            f"attempt {attempt} of run {spec.run} was already made by another command",
            run=spec.run,
            next_step=f"inv monitor {spec.run} --follow",
        )
    unheard = True
    try:
        sent = AgentClient(stack, spec.host.instance_id, access, clock).send(start_words(stack, spec.run, attempt))
        unheard = False
    except KeyboardInterrupt:
        unheard = False  # as far as we know: a run that may have begun stays to be seen
        raise
    finally:
        if unheard:
            # No host has received it: without its spec, no run is left behind that would wait for ever.
            stack.bucket.delete([RunKeys(run=spec.run, number=attempt).spec])
    return sent


def _made(stack: Stack, spec: RunSpec, attempt: int) -> bool:
    """Write the spec, and return whether the one in the bucket is this command's.

    Only this command makes the run's first attempt, so an equal one is its own: S3 may have taken a request whose
    answer was lost.
    """
    key, record = RunKeys(run=spec.run, number=attempt).spec, spec.to_mapping()
    return stack.bucket.put_json_once(key, record) or (attempt == 1 and stack.bucket.get_json(key) == record)


def start_words(stack: Stack, run: str, attempt: int) -> list[str]:
    """Return the agent's command line for an attempt."""
    where = ["--bucket", stack.outputs.bucket, "--region", stack.outputs.region]
    return ["start", "--run", check_run_id(run), "--attempt", str(attempt), *where]


def _require_started(sent: Sent) -> None:
    """Check how the command ended, if it has ended.

    Raises:
        Unavailable: it failed; with the host's own words.
    """
    result = sent.result()
    if result is not None and result.exit_code != 0:
        raise Unavailable(f"the agent did not start on {sent.instance_id}: {result.last_words}", next_step="inv status")


def wait_until_taken(
    stack: Stack,
    run: str,
    sent: Sent,
    *,
    attempt: int = 1,
    clock: Clock,
    patience_seconds: float = 120,
) -> None:
    """Return once the agent has claimed the run, or refused it by an outcome.

    The bucket is polled often and Systems Manager seldom: its calls are slow and throttled. A command whose end is
    known already, as over SSH, is checked first.

    Raises:
        Unavailable: the command failed, or there is no sign of life after `patience_seconds`.
    """
    begin = clock.monotonic()
    next_check = begin + (FIRST_CHECK_SECONDS if sent.choice.way is Way.SSM else POLL_SECONDS)
    while not _taken(stack, run, attempt):
        if clock.monotonic() > next_check:
            _require_started(sent)
            next_check = clock.monotonic() + CHECK_SECONDS
        if clock.monotonic() - begin > patience_seconds:
            raise Unavailable(
                f"the agent on {sent.instance_id} gave no sign for {patience_seconds:.0f} s ({sent.name})",
                next_step=f"inv monitor {run} --follow",
            )
        clock.sleep(POLL_SECONDS)


def _taken(stack: Stack, run: str, attempt: int) -> bool:
    """Return whether the agent has claimed the attempt, or refused it by an outcome."""
    claimed = stack.bucket.exists(RunKeys(run=run).attempt(attempt))
    return claimed or stack.bucket.exists(RunKeys(run=run, number=attempt).outcome)
