from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.publish.status import Identity
from agent.run.outcome import Ending, Published, decide, outcome_record
from agent.run.process import ExitStatus
from contract.money import cost_usd
from contract.records import Cause
from tests.support.golden import golden


def ended(returncode: int | None) -> ExitStatus:
    return ExitStatus(returncode=returncode, seconds=1.0)


@pytest.mark.parametrize(
    ("ending", "cause", "exit_code", "signal"),
    [
        (Ending(status=ended(0)), Cause.COMPLETED, 0, None),
        (Ending(status=ended(7)), Cause.FAILED, 7, None),
        (Ending(status=ended(-9)), Cause.FAILED, 137, 9),
        (Ending(status=ended(-9), out_of_memory=True), Cause.OOM, 137, 9),
        (Ending(status=ended(1), out_of_memory=True), Cause.OOM, 1, None),
        (Ending(status=ended(0), out_of_memory=True), Cause.COMPLETED, 0, None),
        (Ending(status=ended(0), asked=Cause.STOPPED), Cause.STOPPED, 0, None),
        (Ending(status=ended(0), asked=Cause.STOPPED, said_done=True), Cause.COMPLETED, 0, None),
        (Ending(status=ended(-15), asked=Cause.SPOT), Cause.SPOT, 143, 15),
        (Ending(status=ended(-15), asked=Cause.SPOT, said_done=True), Cause.SPOT, 143, 15),
        (Ending(status=ended(-9), asked=Cause.TIMEOUT, out_of_memory=True), Cause.TIMEOUT, 137, 9),
        (Ending(status=ended(None)), Cause.INFRA, None, None),
        (Ending(status=ended(None), asked=Cause.STOPPED), Cause.INFRA, None, None),
        (Ending(failure="403"), Cause.INFRA, None, None),
        (Ending(asked=Cause.STOPPED), Cause.STOPPED, None, None),
    ],
)
def test_each_ending_has_its_cause_and_the_scripts_own_exit_code(
    ending: Ending, cause: Cause, exit_code: int | None, signal: int | None
) -> None:
    verdict = decide(ending)

    assert (verdict.cause, verdict.exit_code, verdict.signal) == (cause, exit_code, signal)


@given(
    returncode=st.none() | st.integers(-64, 255),
    asked=st.none() | st.sampled_from(Cause),
    oom=st.booleans(),
    done=st.booleans(),
)
def test_only_an_exit_of_zero_is_ever_completed(
    returncode: int | None, asked: Cause | None, oom: bool, done: bool
) -> None:
    verdict = decide(Ending(status=ended(returncode), asked=asked, out_of_memory=oom, said_done=done))

    if verdict.cause is Cause.COMPLETED and asked is not Cause.COMPLETED:
        assert returncode == 0
        assert asked is None or done


def test_the_detail_has_what_was_seen_and_the_remarks() -> None:
    verdict = decide(Ending(failure="the bucket said 403"), remarks=["the output could not be sent"])

    assert verdict.detail == "the bucket said 403; the output could not be sent"


@pytest.mark.parametrize(
    ("price", "seconds", "cost"),
    [("0.0208", 9.0, "0.000052"), ("1", 0.001, "0.000001"), ("0", 100.0, "0.000000"), ("32.77", 3600.0, "32.770000")],
)
def test_cost_is_rounded_up_to_a_millionth(price: str, seconds: float, cost: str) -> None:
    assert f"{cost_usd(Decimal(price), seconds):f}" == cost


def test_the_record_is_the_golden_one() -> None:
    expected = golden("outcome")
    record = outcome_record(
        Identity(
            run=expected["run"],
            attempt=1,
            host=expected["host"],
            started_at=datetime(2026, 11, 22, 16, 0, 2, tzinfo=UTC),
        ),
        decide(Ending(status=ended(0))),
        Published(last_step=3, last_checkpoint=expected["last_checkpoint"], log_chunks=7),
        ended_at=datetime(2026, 11, 22, 16, 0, 11, tzinfo=UTC),
        duration_seconds=9.0,
        usd_per_hour=Decimal("0.0208"),
    )

    assert record == expected
    assert list(record) == list(expected)
