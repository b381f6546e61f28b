"""A user whom permissions bind, also where the tests run as root: root without the right to pass them over."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

# PR_CAPBSET_DROP is 24; CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH and CAP_FOWNER are 1, 2 and 3 (linux/capability.h).
# A program that is then started has no more than what is left.
LOSE_THEM = """
import ctypes, os, sys
for capability in (1, 2, 3):
    if ctypes.CDLL(None, use_errno=True).prctl(24, capability, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "the capability cannot be dropped")
os.execv(sys.argv[1], sys.argv[1:])
"""
SECONDS = 120


def run_bound(argv: Sequence[str], env: dict[str, str], cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as such a user, and capture its text."""
    bound = [sys.executable, "-c", LOSE_THEM, *argv] if os.geteuid() == 0 else list(argv)
    return subprocess.run(
        bound, cwd=cwd, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS, check=False
    )
