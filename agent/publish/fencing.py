"""Stops an attempt from writing once a later attempt of its run has begun.

An attempt whose host was cut off for a while may come back when the run has long continued elsewhere. Before it commits
anything, it checks whether a later attempt has claimed the run; a claim is never withdrawn. The very next attempt may
have been refused by its host and never claimed anything, so all later ones count.
"""

from __future__ import annotations

from agent.publish.bucket import ObjectStore
from contract.clock import Clock
from contract.keys import RunKeys

POLL_SECONDS = 10.0


class Fence:
    """Tells an attempt whether the run is still its own.

    Args:
        bucket: where the claims are.
        keys: the run's keys.
        attempt: whose fence this is.
        clock: for the age of the last answer.
    """

    def __init__(self, bucket: ObjectStore, keys: RunKeys, attempt: int, *, clock: Clock | None = None) -> None:
        self._bucket = bucket
        self._claims = keys.attempts
        self._own = keys.attempt(attempt)
        self._clock = clock or Clock()
        self._polled_at: float | None = None
        self.lost = False

    def poll(self) -> bool:
        """Ask the bucket whether a later attempt has taken the run over.

        Raises:
            BucketError: it does not answer.
        """
        asked_at = self._clock.monotonic()
        self.lost = self.lost or any(key > self._own for key, _ in self._bucket.sizes(self._claims))
        self._polled_at = asked_at
        return self.lost

    def check(self) -> bool:
        """Return the same without asking again within POLL_SECONDS, for records that are overwritten often.

        Raises:
            BucketError: the bucket does not answer.
        """
        if self.lost:
            return True
        fresh = self._polled_at is not None and self._clock.monotonic() - self._polled_at < POLL_SECONDS
        return False if fresh else self.poll()
