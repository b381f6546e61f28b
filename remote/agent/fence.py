"""One writer at a time: an attempt stops writing once a later attempt of its run has begun.

An attempt whose host was cut off for a while may come back when the run has long gone on elsewhere. Before it commits
anything, it looks whether its successor has claimed the run; a successor's claim is never taken back.
"""

from __future__ import annotations

from .bucket import Bucket, RunKeys

LOOK_SECONDS = 10.0


class Fence:
    """Tells one attempt whether the run is still its own.

    Args:
        bucket: where the claims are.
        keys: the run's keys.
        attempt: whose fence this is.
    """

    def __init__(self, bucket: Bucket, keys: RunKeys, attempt: int) -> None:
        self._bucket = bucket
        self._next = keys.attempt(attempt + 1)
        self.lost = False

    def look(self) -> bool:
        """Ask the bucket, and tell whether the run has been lost to a later attempt.

        Raises:
            BucketError: it does not answer.
        """
        self.lost = self.lost or self._bucket.find_json(self._next) is not None
        return self.lost
