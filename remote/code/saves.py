"""Notices that a project was saved: its tree differs from the one that runs, and has come to rest."""

from __future__ import annotations

from collections.abc import Callable

from remote.code.tree import Tree
from remote.errors import Interrupted


class Saves:
    """Polls a project for a saved change.

    Args:
        read_tree: returns the project as it is now; a file that changes while it is read counts as not yet at rest.
        current: the digest of the tree that runs.
    """

    def __init__(self, read_tree: Callable[[], Tree], current: str) -> None:
        self._read_tree = read_tree
        self._current = current
        self._last = current

    def saved(self) -> bool:
        """Return whether the tree has changed and was the same at the last poll too; the next call returns False."""
        try:
            digest = self._read_tree().digest
        except Interrupted:
            return False
        settled = digest == self._last != self._current
        self._last = digest
        if settled:
            self._current = digest
        return settled
