"""Reports progress through a callback that a caller may pass to long transfers."""

from __future__ import annotations


class Progress:
    """Receives how many bytes are to move and how many have; this one ignores both.

    `add` may be called from several threads.
    """

    def expect(self, total: int) -> None:
        """Expect this many bytes in all."""

    def add(self, count: int) -> None:
        """Count bytes that have moved."""


NO_PROGRESS = Progress()
