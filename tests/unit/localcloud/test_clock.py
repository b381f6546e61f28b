"""Waiting ends with what is waited for, or in time."""

from __future__ import annotations

import pytest

from localcloud.clock import Clock, wait_until
from tests.support.clock import ManualClock


def test_the_clock_goes_on() -> None:
    clock = Clock()
    before = clock.monotonic()
    clock.sleep(0)

    assert clock.monotonic() >= before


@pytest.mark.parametrize(("comes_after", "found", "polls"), [(0, "there", 1), (3, "there", 4), (99, "", 6)])
def test_waiting_ends_with_the_condition_or_with_the_deadline(comes_after: int, found: str, polls: int) -> None:
    clock, asked = ManualClock(), list[float]()

    def condition() -> str:
        asked.append(clock.seconds)
        return "there" if len(asked) > comes_after else ""

    assert wait_until(condition, seconds=10, every=2, clock=clock) == found
    assert asked == [2 * poll for poll in range(polls)]
