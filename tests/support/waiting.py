"""Waits for real processes."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import psutil


def wait_until(condition: Callable[[], Any], *, seconds: float = 20, what: str = "it") -> Any:
    """Poll for something that a real process is about to do; return what was found."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := condition():
            return found
        time.sleep(0.04)
    raise AssertionError(f"{what} did not come within {seconds} s")


def gone(pid: int) -> bool:
    """Whether a process has ended, waited for by its parent or not."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
