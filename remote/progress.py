"""Reports progress through a callback that a caller may pass to long transfers."""

from __future__ import annotations


class Progress:
    """Is told how many bytes are to move and how many have; this one keeps it to itself.

    `add` may be called from several threads.
    """

    def expect(self, total: int) -> None:
        """So many bytes are to move in all."""

    def add(self, count: int) -> None:
        """So many more have moved."""


NO_PROGRESS = Progress()
