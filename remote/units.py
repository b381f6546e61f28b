"""Reads amounts as people type them: durations (`90s`, `20m`, `1h30m`, plain seconds) and sizes (`500MB`, `2 GiB`)."""

from __future__ import annotations

import re

from remote.errors import UsageError

SECONDS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
WHOLE = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")
BYTES = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}
SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]i?)?b?\s*", re.IGNORECASE)


def parse_duration(text: str, option: str) -> float:
    """Seconds of a duration.

    Args:
        text: what was typed.
        option: where it was typed, for the message.

    Raises:
        UsageError: it is not a valid duration, or it is zero.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    elif WHOLE.fullmatch(text):
        seconds = sum(float(count) * SECONDS[unit] for count, unit in PART.findall(text))
    else:
        raise UsageError(f"{option}: {text!r} is not a valid duration", next_step=f"{option} 90s, 20m, 2h or 1h30m")
    if seconds <= 0:
        raise UsageError(f"{option}: {text!r} is not more than zero", next_step=f"{option} 90s, 20m, 2h or 1h30m")
    return seconds


def parse_size(text: str, *, option: str) -> int:
    """Bytes of an amount.

    Raises:
        UsageError: it is not a valid size; `option` is what the user typed it for.
    """
    found = SIZE.fullmatch(text)
    if not found:
        raise UsageError(f"--{option}: {text!r} is not a valid size", next_step=f"the same with --{option} 2GB")
    return int(float(found[1]) * BYTES[(found[2] or "").lower()])
