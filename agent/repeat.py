"""Repeats work beside the training, each kind on a thread of its own.

A round that fails is tried again, later and later; it never ends the thread, the agent or the script. Who stops the
work gets one last chance to finish it, within a time limit.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from agent.errors import AgentError
from contract.clock import Clock

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class Threads:
    """Makes this process's threads; a test puts its own in its place."""

    def new_event(self) -> threading.Event:
        """Return an event that is not set."""
        return threading.Event()

    def new_thread(self, work: Callable[[], object], name: str = "") -> threading.Thread:
        """Return a thread, not started yet, that does not keep the process alive."""
        return threading.Thread(target=work, name=name or None, daemon=True)


THREADS = Threads()


class Repeater:
    """Calls `work` every `period_seconds` on a thread until stopped.

    Args:
        name: of the thread, for the log.
        work: one round of it; an `AgentError` from it means "not now".
        period_seconds: from the end of one round to the start of the next.
        threads: where the thread comes from.
    """

    def __init__(
        self, name: str, work: Callable[[], None], *, period_seconds: float, threads: Threads = THREADS
    ) -> None:
        self._work = work
        self._period = period_seconds
        self._stop = threads.new_event()
        self._thread = threads.new_thread(self._run, name)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, *, seconds: float) -> bool:
        """Wait for the end of the current round; False when it did not end within the time."""
        self._stop.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while not self._stop.is_set():
            wait = self._period
            try:
                self._work()
                pause = FIRST_PAUSE_SECONDS
            except AgentError as error:
                logger.warning("%s: %s; again in %.1f s", self._thread.name, error, pause)
                wait, pause = pause, min(2 * pause, LONGEST_PAUSE_SECONDS)
            except Exception:  # the thread's outermost boundary: a bug here must not end the watch over the run
                logger.exception("%s: a bug; again in %.1f s", self._thread.name, LONGEST_PAUSE_SECONDS)
                wait = LONGEST_PAUSE_SECONDS
            self._stop.wait(wait)


def retry(work: Callable[[], None], *, seconds: float, clock: Clock, what: str) -> bool:
    """Do `work` again after each `AgentError` until it succeeds or the time is over; False when it did not succeed."""
    deadline = clock.monotonic() + seconds
    pause = FIRST_PAUSE_SECONDS
    while True:
        try:
            work()
        except AgentError as error:
            logger.warning("%s: %s", what, error)
        else:
            return True
        if clock.monotonic() + pause > deadline:
            return False
        clock.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def within(seconds: float, work: Callable[[], bool], *, threads: Threads = THREADS) -> bool:
    """Do `work` on a thread of its own, and wait no longer than this; False when it failed or has not ended."""
    results: list[bool] = []
    thread = threads.new_thread(lambda: results.append(work()))
    thread.start()
    thread.join(max(0.0, seconds))
    return results == [True]
