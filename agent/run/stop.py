"""Ends a training process early with SIGTERM, a time to save and leave, and SIGKILL to the whole group.

A person, a limit or EC2 may ask for the end. The first request gives the outcome its cause; a later one can only make
the time shorter.
"""

from __future__ import annotations

import signal
from dataclasses import dataclass

from agent.run.outcome import Cause
from agent.run.process import TrainingProcess
from contract.clock import Clock

DEFAULT_GRACE_SECONDS = 90.0


@dataclass(frozen=True, kw_only=True)
class StopRequest:
    """The reason why a run ends, and the moment (monotonic) after which it is killed."""

    cause: Cause
    detail: str
    kill_at: float


class Stopper:
    """Takes requests from any thread or signal handler; the supervisor's loop carries them out.

    Args:
        clock: for the grace period.

    Attributes:
        grace_seconds: from SIGTERM to SIGKILL for a request without its own; the run's spec sets it.
        request: the current request; None while there is none.
    """

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._terminated = False
        self._killed = False
        self._recalled = False
        self.grace_seconds = DEFAULT_GRACE_SECONDS
        # Replaced whole and never changed: a signal handler may run between any two instructions and takes no lock.
        self.request: StopRequest | None = None

    def ask(self, cause: Cause, detail: str, *, grace_seconds: float | None = None) -> None:
        """Request the end and return at once; a request without a grace period gets the run's."""
        kill_at = self._clock.monotonic() + (self.grace_seconds if grace_seconds is None else grace_seconds)
        first = self.request
        if first is None:
            self.request = StopRequest(cause=cause, detail=detail, kill_at=kill_at)
        elif kill_at < first.kill_at:
            self.request = StopRequest(cause=first.cause, detail=first.detail, kill_at=kill_at)

    def recall(self, cause: Cause, detail: str) -> None:
        """Continue a request that an earlier agent of the attempt has carried out, with a grace period of its own.

        That agent may have been killed in the very moment before its signal; a script that ended is then taken as told,
        because its log shows an exit of 0 that was not asked for, and nothing would show a false `completed`.
        """
        self.request = None
        self.ask(cause, detail)
        self._recalled = True

    @property
    def delivered(self) -> StopRequest | None:
        """The request, if the process was still running when the signal was sent."""
        return self.request if self._terminated or self._recalled else None

    def drive(self, process: TrainingProcess) -> None:
        """Send the signal that is due now, if any."""
        request = self.request
        if request is None:
            return
        if not self._terminated:
            self._terminated = process.send(signal.SIGTERM)
        elif not self._killed and self._clock.monotonic() >= request.kill_at:
            self._killed = process.send(signal.SIGKILL)
