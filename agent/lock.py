"""Takes advisory locks that end with the processes that hold them, so that a host has one run at a time.

A flock belongs to an open file, so a child that inherits the descriptor holds it too, with no moment in between, and
the kernel releases it when the last holder is gone, however it ended. The text in the file names the holder, for
messages only; whether the lock is held, only the kernel knows.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.json_file import encode, read_record


class FileLock:
    """A held lock, made by `acquire` or `inherited`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def acquire(cls, path: Path) -> FileLock | None:
        """Take the lock; None, at once, when another process has it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return cls(descriptor)

    @classmethod
    def inherited(cls, descriptor: int) -> FileLock:
        """Hold on to a lock that the parent took and passed on."""
        os.set_inheritable(descriptor, False)
        return cls(descriptor)

    def fileno(self) -> int:
        """Return the descriptor, to pass on to a child."""
        return self._descriptor

    def note(self, holder: Mapping[str, Any]) -> None:
        """Write the holder into the file, for the message that another process will print."""
        os.ftruncate(self._descriptor, 0)
        os.pwrite(self._descriptor, encode(holder), 0)

    def release(self) -> None:
        """Release the lock, also on behalf of every process that inherited it."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)

    def close(self) -> None:
        """Drop this process's share only; a child that inherited the lock keeps it."""
        os.close(self._descriptor)


def is_held(path: Path) -> bool:
    """Return whether any process holds the lock."""
    if not path.exists():
        return False
    lock = FileLock.acquire(path)
    if lock is None:
        return True
    lock.release()
    return False


def holder(path: Path) -> Mapping[str, Any]:
    """Return what the last holder noted; empty when the file has nothing readable."""
    return read_record(path) or {}
