from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.clock import Clock, parse_stamp, stamp, wait_until
from tests.support.clock import ManualClock


@given(st.integers(946_684_800, 4_102_444_800).map(lambda seconds: datetime.fromtimestamp(seconds + 0.25, tz=UTC)))
def test_a_time_is_read_back_to_the_second(moment: datetime) -> None:
    assert parse_stamp(stamp(moment)) == moment.replace(microsecond=0)


def test_the_clock_is_in_utc_and_goes_on() -> None:
    clock = Clock()
    before = clock.monotonic()
    clock.sleep(0)

    assert clock.now().tzinfo is not None
    assert clock.monotonic() >= before


@pytest.mark.parametrize(("comes_after", "found", "polls"), [(0, "there", 1), (3, "there", 4), (99, "", 6)])
def test_waiting_ends_with_the_condition_or_with_the_deadline(comes_after: int, found: str, polls: int) -> None:
    clock, asked = ManualClock(), list[float]()

    def condition() -> str:
        asked.append(clock.seconds)
        return "there" if len(asked) > comes_after else ""

    assert wait_until(condition, seconds=10, every=2, clock=clock) == found
    assert asked == [2 * poll for poll in range(polls)]
