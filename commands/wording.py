"""Numbers as people read them."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.text import Text

KILO = 1000
THREE_DIGITS = 100
MINUTE = 60
UNITS = ("B", "kB", "MB", "GB", "TB")
# What a state means at a glance: green is good, yellow asks for patience, red for action.
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
    """Bytes in decimal units, as AWS bills them: `123 kB`."""
    value = float(count)
    for unit in UNITS:
        if value < KILO or unit == UNITS[-1]:
            break
        value /= KILO
    return f"{value:.0f} {unit}" if unit == "B" or value >= THREE_DIGITS else f"{value:.1f} {unit}"


def duration(seconds: float | None) -> str:
    """`9.0 s`, `3 min 20 s`, `2 h 5 min`; a dash for None."""
    if seconds is None:
        return "-"
    if seconds < MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), MINUTE)
    if minutes < MINUTE:
        return f"{minutes} min {rest} s"
    return f"{minutes // MINUTE} h {minutes % MINUTE} min"


def money(usd: Decimal | None) -> str:
    """USD with as many places as matter; a dash when unknown."""
    if usd is None:
        return "unknown"
    return f"${usd:.2f}" if usd >= 1 else f"${usd:.6f}".rstrip("0").rstrip(".")


def state(word: str, detail: str = "") -> Text:
    """A state in its colour, and what there is to say of it."""
    from rich.text import Text

    return Text.assemble((word, COLOURS.get(word, "")), f": {detail}" if detail else "")


def number(value: float | None) -> str:
    """A whole number, or a dash for None."""
    return "-" if value is None else str(value)


def load(seen: Mapping[str, Any]) -> dict[str, str]:
    """How busy a host is, as facts."""
    facts = {"cpu": percent(seen.get("cpu_percent")), "memory": percent(seen.get("memory_percent"))}
    for gpu in seen.get("gpus") or []:
        facts[f"gpu {gpu['index']}"] = f"{percent(gpu['utilization_percent'])}, memory {percent(gpu['memory_percent'])}"
    return facts


def percent(value: float | None) -> str:
    """`42 %`, or a dash when it is not known."""
    return "-" if value is None else f"{value:.0f} %"
