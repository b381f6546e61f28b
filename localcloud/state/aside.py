"""Moves unreadable files aside instead of deleting them, so that they can still be examined."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from itertools import count
from pathlib import Path


def unused(path: Path, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Path:
    """Return a free name beside `path`: `path.unusable-<time>`, with a number where that is taken."""
    stem = f"{path.name}.unusable-{now():%Y%m%dT%H%M%SZ}"
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(found for name in names if not (found := path.with_name(name)).exists())


def put_aside(path: Path) -> Path:
    """Rename `path` to a free name; return the new path."""
    return path.rename(unused(path))
