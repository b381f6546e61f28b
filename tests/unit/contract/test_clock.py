from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from contract.clock import Clock, parse_stamp, stamp


@given(st.integers(946_684_800, 4_102_444_800).map(lambda seconds: datetime.fromtimestamp(seconds + 0.25, tz=UTC)))
def test_a_time_is_read_back_to_the_second(moment: datetime) -> None:
    assert parse_stamp(stamp(moment)) == moment.replace(microsecond=0)


def test_the_clock_is_in_utc_and_goes_on() -> None:
    clock = Clock()
    before = clock.monotonic()
    clock.sleep(0)

    assert clock.now().tzinfo is not None
    assert clock.monotonic() >= before
