"""Notices that a project was saved: its tree differs from the one that runs, and has come to rest."""

from __future__ import annotations

from collections.abc import Callable

from remote.code.tree import Tree
from remote.errors import Interrupted


class Saves:
    """Looks at a project again and again.

    Args:
        look: what the project is now; a file that changes while it is read counts as not yet at rest.
        current: the digest of the tree that runs.
    """

    def __init__(self, look: Callable[[], Tree], current: str) -> None:
        self._look = look
        self._current = current
        self._last = current

    def saved(self) -> bool:
        """Whether the tree has changed and was the same at the last look too; asked again it is False."""
        try:
            digest = self._look().digest
        except Interrupted:
            return False
        settled = digest == self._last != self._current
        self._last = digest
        if settled:
            self._current = digest
        return settled
