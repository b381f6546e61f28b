"""Decides how a run ended, in one place and by pure functions.

`cause` is the reason, `exit_code` the script's own; neither is guessed from the other. What is not known is null, and
`detail` explains why.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from agent.publish.status import Identity
from agent.run.process import ExitStatus
from contract.clock import stamp
from contract.money import cost_usd
from contract.records import Cause, Outcome


@dataclass(frozen=True, kw_only=True)
class Ending:
    """Everything that is known of a run's end.

    `asked` is why the agent sent SIGTERM, None when it did not. `said_done` is true when the script reported its last
    step. `failure` is the error of the agent's own part, empty when there was none.
    """

    status: ExitStatus | None = None
    asked: Cause | None = None
    asked_detail: str = ""
    said_done: bool = False
    out_of_memory: bool = False
    failure: str = ""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The part of an outcome that has to be decided."""

    cause: Cause
    exit_code: int | None
    signal: int | None
    detail: str


@dataclass(frozen=True, kw_only=True)
class Published:
    """How far a run had come when it ended."""

    last_step: int | None = None
    last_checkpoint: str | None = None
    log_chunks: int = 0


def decide(ending: Ending, *, remarks: Sequence[str] = ()) -> Verdict:
    """Decide cause, exit code and detail; `remarks` are further sentences for the detail.

    A script that exits with 0 after the agent's SIGTERM has saved and left early: that is `stopped` (or the signal's
    reason), and `completed` only if it reported its last step.
    """
    cause, detail = _cause(ending)
    status = ending.status
    return Verdict(
        cause=cause,
        exit_code=status.exit_code if status else None,
        signal=status.signal if status else None,
        detail="; ".join(part for part in (detail, *remarks) if part),
    )


def _cause(ending: Ending) -> tuple[Cause, str]:
    status = ending.status
    if status is None or status.returncode is None:
        return _cause_unseen(ending)
    if status.returncode == 0 and (ending.asked is None or ending.said_done):
        return Cause.COMPLETED, ending.failure
    if ending.asked is not None:
        return ending.asked, ending.asked_detail
    if ending.out_of_memory:
        return Cause.OOM, "the kernel killed a process of the script for want of memory"
    return Cause.FAILED, f"ended by signal {status.signal}" if status.signal else ending.failure


def _cause_unseen(ending: Ending) -> tuple[Cause, str]:
    """Return the cause of a run whose script never started, or whose end was not observed."""
    if ending.status is not None:
        return Cause.INFRA, "no process observed the script's end, so its exit code is not known"
    return (ending.asked, ending.asked_detail) if ending.asked else (Cause.INFRA, ending.failure)


def outcome_record(
    identity: Identity,
    verdict: Verdict,
    progress: Published,
    *,
    ended_at: datetime,
    duration_seconds: float,
    usd_per_hour: Decimal,
) -> dict[str, Any]:
    """Return an outcome in the contract's shape (`tests/golden/outcome.json`)."""
    return Outcome(
        run=identity.run,
        attempt=identity.attempt,
        host=identity.host,
        cause=verdict.cause.value,
        exit_code=verdict.exit_code,
        signal=verdict.signal,
        detail=verdict.detail,
        started_at=stamp(identity.started_at),
        ended_at=stamp(ended_at),
        duration_seconds=round(duration_seconds, 3),
        last_step=progress.last_step,
        last_checkpoint=progress.last_checkpoint,
        log_chunks=progress.log_chunks,
        cost_usd=f"{cost_usd(usd_per_hour, duration_seconds):f}",
    ).to_mapping()
