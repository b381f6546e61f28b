"""Formats sizes, durations, money and states for people."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

KILO = 1000
THREE_DIGITS = 100
MINUTE = 60
DAY_HOURS = 24
UNITS = ("B", "kB", "MB", "GB", "TB")
# Green is good, yellow asks for patience, red asks for action.
COLOURS = {
    "completed": "green",
    "valid": "green",
    "corrupt": "red",
    "running": "green",
    "online": "green",
    "starting": "yellow",
    "syncing": "yellow",
    "sent": "yellow",
    "pending": "yellow",
    "stopping": "yellow",
    "uploading": "yellow",
    "installing": "yellow",
    "stopped": "yellow",
    "spot": "yellow",
    "failed": "red",
    "silent": "red",
    "infra": "red",
    "oom": "red",
    "timeout": "red",
    "budget": "red",
    "hung": "red",
}


def size(count: int) -> str:
    """Return bytes in decimal units, as AWS bills them: `123 kB`."""
    value = float(count)
    for unit in UNITS:
        if value < KILO or unit == UNITS[-1]:
            break
        value /= KILO
    return f"{value:.0f} {unit}" if unit == "B" or value >= THREE_DIGITS else f"{value:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """Return a duration as `9.0 s`, `3 min 20 s` or `2 h 5 min`; a dash for None."""
    if seconds is None:
        return "-"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    if minutes < MINUTE:
        return f"{minutes} min {rest} s"
    return f"{minutes // MINUTE} h {minutes % MINUTE} min"


def brief_duration(seconds: float | None) -> str:
    """Return a duration for a narrow column: `9s`, `3m20s`, `2h05m`, `3d04h`; a dash for None."""
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), MINUTE)
    if not minutes:
        return f"{rest}s"
    hours, minutes = divmod(minutes, MINUTE)
    if not hours:
        return f"{minutes}m{rest:02}s"
    return f"{hours}h{minutes:02}m" if hours < DAY_HOURS else f"{hours // DAY_HOURS}d{hours % DAY_HOURS:02}h"


def money(usd: Decimal | None) -> str:
    """Return USD with as many places as matter; a dash when unknown."""
    if usd is None:
        return "unknown"
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.6f}".rstrip("0").rstrip(".")


def state(word: str, detail: str = "") -> Text:
    """Return a state in its colour, followed by its detail."""
    from rich.text import Text

    return Text.assemble((word, COLOURS.get(word, "")), f": {detail}" if detail else "")


def count(number_of: int, noun: str) -> str:
    """Return a number with its noun: `1 file`, `2 files`."""
    return f"{number_of} {noun}" if number_of == 1 else f"{number_of} {noun}s"


def number(value: float | None) -> str:
    """Return a whole number, or a dash for None."""
    return "-" if value is None else str(value)


def load(seen: Mapping[str, Any] | None) -> str:
    """Return how busy a host is: `cpu 97 %, memory 12 %, gpu 0 88 % (9.2 of 23.0 GiB)`; a dash when unknown."""
    if not seen:
        return "-"
    parts = [f"{name} {seen[f'{name}_percent']:.0f} %" for name in ("cpu", "memory") if f"{name}_percent" in seen]
    return ", ".join([*parts, *(_gpu(number, one) for number, one in enumerate(seen.get("gpus") or []))])


def _gpu(number_of: int, one: Mapping[str, Any]) -> str:
    used, total = ((one.get(f"memory_{kind}_mib") or 0) / 1024 for kind in ("used", "total"))
    return f"gpu {number_of} {one.get('percent') or 0:.0f} % ({used:.1f} of {total:.1f} GiB)"


def progress(phase: str, seen: Mapping[str, Any] | None) -> str:
    """Return a run's progress: `running step 3/10 at 12 a second, 1 min 5 s left`."""
    if not seen or seen.get("step") is None:
        return phase
    of = f"/{seen['steps']}" if seen.get("steps") else ""
    rate = f" at {seen['per_second']:.3g} a second" if seen.get("per_second") else ""
    left = f", {duration(seen['eta_seconds'])} left" if seen.get("eta_seconds") else ""
    return f"{phase} step {seen['step']}{of}{rate}{left}"
