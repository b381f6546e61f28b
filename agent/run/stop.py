"""Ending a training process early: SIGTERM, a time to save and leave, SIGKILL to the whole group.

Whoever wants a run to end (a person, a limit, EC2) asks here. The first to ask gives the outcome its cause; a later
one can only make the time shorter.
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
    """Why a run is to end, and the moment (monotonic) after which it is killed."""

    cause: Cause
    detail: str
    kill_at: float


class Stopper:
    """Takes requests from any thread or signal handler; the supervisor's loop carries them out.

    Args:
        clock: for the grace period.

    Attributes:
        grace_seconds: from SIGTERM to SIGKILL, when who asks does not say; the run's spec sets it.
        request: the request that holds; None while nobody has asked.
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
        """Ask for the end, and return at once; without a grace period of its own it gets the run's."""
        kill_at = self._clock.monotonic() + (self.grace_seconds if grace_seconds is None else grace_seconds)
        first = self.request
        if first is None:
            self.request = StopRequest(cause=cause, detail=detail, kill_at=kill_at)
        elif kill_at < first.kill_at:
            self.request = StopRequest(cause=first.cause, detail=first.detail, kill_at=kill_at)

    def recall(self, cause: Cause, detail: str) -> None:
        """Go on with what an earlier agent of the attempt has told the process, with a grace period of its own.

        That agent may have been killed in the very moment before; a script that ended is then believed to have been
        told, because an exit of 0 that was not asked for can be looked up in its log, and a false `completed` not.
        """
        self.request = None
        self.ask(cause, detail)
        self._recalled = True

    @property
    def delivered(self) -> StopRequest | None:
        """The request, if the process was still there to be told of it."""
        return self.request if self._terminated or self._recalled else None

    def drive(self, process: TrainingProcess) -> None:
        """Do what is due now."""
        request = self.request
        if request is None:
            return
        if not self._terminated:
            self._terminated = process.send(signal.SIGTERM)
        elif not self._killed and self._clock.monotonic() >= request.kill_at:
            self._killed = process.send(signal.SIGKILL)
