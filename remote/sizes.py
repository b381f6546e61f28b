"""Amounts of bytes as people type them: `500MB`, `2 GiB`, `1.5g`."""

from __future__ import annotations

import re

from remote.errors import UsageError

UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)


def parse_size(text: str, *, option: str) -> int:
    """Bytes.

    Raises:
        UsageError: it is no amount; `option` is what the user typed it for.
    """
    found = SIZE.fullmatch(text)
    if not found:
        raise UsageError(f"--{option}: {text!r} is no size", next_step=f"the same with --{option} 2GB")
    return int(float(found[1]) * UNITS[(found[2] or "").lower()])
