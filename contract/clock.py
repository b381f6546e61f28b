"""Time, as one object that tests can replace, and the one way in which times are written down."""

from __future__ import annotations

import time
from datetime import datetime, timezone


class Clock:
    """The host's clock: `now` for records (UTC), `monotonic` for durations, `sleep` for waiting."""

    def now(self) -> datetime:
        """The present moment in UTC; only for records, because the host's clock may be set while a run is on."""
        return datetime.now(tz=timezone.utc)  # noqa: UP017  datetime.UTC came with Python 3.11; hosts may have 3.10

    def monotonic(self) -> float:
        """Seconds on a clock that nobody can set; every duration and limit is measured on it."""
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        """Wait; a subclass in a test may return at once."""
        time.sleep(seconds)


def stamp(moment: datetime) -> str:
    """Write a UTC time the way every record has it: `2026-11-22T16:00:00Z`."""
    return moment.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")  # noqa: UP017  see Clock.now


def parse_stamp(text: str) -> datetime:
    """Read what `stamp` wrote.

    Raises:
        ValueError: it is something else.
    """
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)  # noqa: UP017  see Clock.now
