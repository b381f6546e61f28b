"""Time that passes only when a test says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from contract.clock import Clock


class ManualClock(Clock):
    """Time that moves only when a test moves it, or sleeps."""

    def __init__(self, now: datetime = datetime(2026, 11, 22, 16, tzinfo=UTC)) -> None:
        self.start = now
        self.seconds = 0.0
        self.sleeps: list[float] = []

    def now(self) -> datetime:
        return self.start + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return 1000.0 + self.seconds

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.seconds += seconds
