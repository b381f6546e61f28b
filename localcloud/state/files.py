"""Writes files whole or not at all, so that a reader never sees a part and a killed writer leaves the old content."""

from __future__ import annotations

import os
from pathlib import Path

PRIVATE = 0o600


def atomic_write(path: Path, content: bytes, *, mode: int = PRIVATE, durable: bool = True) -> None:
    """Replace the file at `path` in one step; its folder must be there.

    Args:
        path: the file.
        content: all of its bytes.
        mode: its permissions.
        durable: whether it survives a power cut too, at the price of a wait for the disk; for records others rely on.

    Raises:
        OSError: it cannot be written; the old file is unchanged, and no draft is left.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}.draft")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as stream:
            stream.write(content)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
