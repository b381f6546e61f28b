"""Decides when a run exceeds its limits of time, money and silence.

The host counts, so a limit holds with the laptop off. Time and money count from the attempt's start, because the host
costs from then on. A run hangs when it shows no activity at all: no output, no metrics, no change in the checkpoint
directory, and next to no processor time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from agent.run.outcome import Cause, cost_usd
from agent.run.spec import Limits
from contract.clock import Clock

POLL_SECONDS = 1.0
# Less than a twentieth of one core is a process that only waits: interpreters wake up a few times a second.
IDLE_CORES = 0.05


@dataclass(frozen=True, kw_only=True)
class Excess:
    """A limit that was exceeded, as the outcome's cause and detail."""

    cause: Cause
    detail: str


def exceeded(limits: Limits, usd_per_hour: Decimal, *, elapsed_seconds: float, quiet_seconds: float) -> Excess | None:
    """Return the limit that a run exceeds now; None when it exceeds none.

    Args:
        limits: of the run.
        usd_per_hour: of the host.
        elapsed_seconds: since the attempt began.
        quiet_seconds: since the script was last active.
    """
    cost = cost_usd(usd_per_hour, elapsed_seconds)
    if limits.timeout_seconds is not None and elapsed_seconds >= limits.timeout_seconds:
        return Excess(cause=Cause.TIMEOUT, detail=f"it ran for longer than {limits.timeout_seconds:g} s")
    if limits.max_cost_usd is not None and cost >= limits.max_cost_usd:
        return Excess(cause=Cause.BUDGET, detail=f"it cost {cost:f} USD, and {limits.max_cost_usd:f} USD was the limit")
    if limits.hang_timeout_seconds is not None and quiet_seconds >= limits.hang_timeout_seconds:
        detail = f"no output, no checkpoint and no processor time for {quiet_seconds:.0f} s"
        return Excess(cause=Cause.HUNG, detail=detail)
    return None


class ActivityMeter:
    """Measures for how long a script has shown no activity.

    Args:
        files: files and directories that it writes to.
        processor_seconds: the processor time that it has used so far.
        now: seconds (monotonic) at the start.
    """

    def __init__(self, files: tuple[Path, ...], *, processor_seconds: Callable[[], float], now: float) -> None:
        self._files = files
        self._processor_seconds = processor_seconds
        self._seen = _signatures(files)
        self._used = processor_seconds()
        self._measured_at = self._active_at = now

    def quiet_seconds(self, now: float) -> float:
        """Measure, and return the seconds since the script was last active."""
        seen, used = _signatures(self._files), self._processor_seconds()
        # A child that ended takes its time along until it is waited for, so the sum can fall.
        busy = used - self._used > IDLE_CORES * (now - self._measured_at)
        if busy or seen != self._seen:
            self._active_at = now
        self._seen, self._used, self._measured_at = seen, used, now
        return now - self._active_at


class LimitGuard:
    """Checks one run's limits, once a second at most.

    Args:
        limits: of the run.
        usd_per_hour: of the host.
        born: when the attempt began (monotonic).
        meter: of the script's activity.
        clock: for all times.
    """

    def __init__(
        self, limits: Limits, usd_per_hour: Decimal, *, born: float, meter: ActivityMeter, clock: Clock
    ) -> None:
        self._limits = limits
        self._usd_per_hour = usd_per_hour
        self._born = born
        self._meter = meter
        self._clock = clock
        self._polled_at = clock.monotonic()

    def poll(self) -> Excess | None:
        """Return the limit that is exceeded by now; None when none is, or when the last poll was just before."""
        now = self._clock.monotonic()
        if now - self._polled_at < POLL_SECONDS:
            return None
        self._polled_at = now
        quiet = self._meter.quiet_seconds(now) if self._limits.hang_timeout_seconds is not None else 0.0
        return exceeded(self._limits, self._usd_per_hour, elapsed_seconds=now - self._born, quiet_seconds=quiet)


def _signatures(files: tuple[Path, ...]) -> Mapping[Path, tuple[int, int]]:
    found = {}
    for path in files:
        try:
            status = path.stat()
        except OSError:
            continue
        found[path] = (status.st_size, status.st_mtime_ns)
    return found
