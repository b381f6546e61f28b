"""Provides time as an object that tests can replace, waits with a deadline, and writes times in one way."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import TypeVar

T = TypeVar("T")


class Clock:
    """A machine's clock: `now` for records (UTC), `monotonic` for durations, `sleep` for waiting."""

    def now(self) -> datetime:
        """Return the present moment in UTC; only for records, because the clock may be set meanwhile."""
        return datetime.now(tz=timezone.utc)  # noqa: UP017  datetime.UTC came with Python 3.11; hosts may have 3.10

    def monotonic(self) -> float:
        """Seconds on a clock that cannot be set; every duration and limit is measured on it."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; a subclass in a test may return at once."""
        time.sleep(seconds)


def wait_until(
    condition: Callable[[], T],
    *,
    seconds: float,
    every: float,
    clock: Clock = Clock(),  # noqa: B008  it has no state
) -> T:
    """Poll until `condition` is true, for at most `seconds`, and return its last value; it is asked at least once.

    Args:
        condition: any true value ends the wait.
        seconds: how long to wait, on the monotonic clock.
        every: seconds between two polls.
        clock: whose time passes.
    """
    deadline = clock.monotonic() + seconds
    while not (found := condition()) and clock.monotonic() < deadline:
        clock.sleep(every)
    return found


def stamp(moment: datetime) -> str:
    """Write a UTC time the way every record has it: `2026-11-22T16:00:00Z`."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: UP017  see Clock.now


def parse_stamp(text: str) -> datetime:
    """Read what `stamp` wrote.

    Raises:
        ValueError: it is something else.
    """
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)  # noqa: UP017  see Clock.now
