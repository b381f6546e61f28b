"""Writes the outcome of a run that was refused, so that no command waits for it."""

from __future__ import annotations

import logging
from decimal import Decimal

from agent.errors import AgentError
from agent.json_file import encode
from agent.publish.bucket import ObjectStore
from agent.publish.status import Identity
from agent.run.outcome import Ending, Published, decide, outcome_record
from contract.clock import Clock
from contract.keys import RunKeys

logger = logging.getLogger(__name__)


def record_refusal(bucket: ObjectStore, *, run: str, attempt: int, host: str, detail: str, clock: Clock) -> None:
    """Write the outcome of a run that this host does not take: cause `infra`, nothing started, nothing spent.

    A bucket that cannot be written to is only logged: the reply to the order has the refusal as well.
    """
    now = clock.now()
    identity = Identity(run=run, attempt=attempt, host=host, started_at=now)
    verdict = decide(Ending(failure=detail))
    record = outcome_record(identity, verdict, Published(), ended_at=now, duration_seconds=0.0, usd_per_hour=Decimal(0))
    try:
        bucket.create(RunKeys(run=run, number=attempt).outcome, encode(record))
    except AgentError as error:
        logger.warning("the refusal of run %s could not be recorded: %s", run, error)
