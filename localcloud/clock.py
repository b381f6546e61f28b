"""Provides time as an object that tests can replace, and waits; this room may not import `contract/clock.py`."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class Clock:
    """A machine's clock: `monotonic` for durations, `sleep` for waiting."""

    def monotonic(self) -> float:
        """Seconds on a clock that cannot be set; only their differences matter."""
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
