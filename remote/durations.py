"""Durations as people type them: `90s`, `20m`, `2h`, `1h30m`, or plain seconds."""

from __future__ import annotations

import re

from remote.errors import UsageError

UNITS = {"d": 86400, "h": 3600, "m": 60, "s": 1}
PART = re.compile(r"(\d+(?:\.\d+)?)([dhms])")
WHOLE = re.compile(r"(?:\d+(?:\.\d+)?[dhms])+")


def parse_duration(text: str, option: str) -> float:
    """Seconds of a duration.

    Args:
        text: what was typed.
        option: where it was typed, for the message.

    Raises:
        UsageError: it is no duration, or it is zero.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    elif WHOLE.fullmatch(text):
        seconds = sum(float(count) * UNITS[unit] for count, unit in PART.findall(text))
    else:
        raise UsageError(f"{option}: {text!r} is no duration", next_step=f"{option} 90s, 20m, 2h or 1h30m")
    if seconds <= 0:
        raise UsageError(f"{option}: {text!r} is not more than zero", next_step=f"{option} 90s, 20m, 2h or 1h30m")
    return seconds
