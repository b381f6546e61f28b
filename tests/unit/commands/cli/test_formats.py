"""Numbers as people read them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from commands.cli import formats


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123456, "123 kB"), (5 * 10**9, "5.0 GB"), (10**15, "1000 TB")],
)
def test_sizes_are_decimal_with_three_digits_at_most(count: int, text: str) -> None:
    assert formats.size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(None, "-"), (9, "9.0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_have_two_units_at_most(seconds: float | None, text: str) -> None:
    assert formats.duration(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "-"), (0, "0s"), (59.4, "59s"), (59.6, "1m00s"), (200, "3m20s"), (7500, "2h05m"), (10**6, "11d13h")],
)
def test_brief_durations_take_six_columns_at_most(seconds: float | None, text: str) -> None:
    assert formats.brief_duration(seconds) == text
    assert len(text) <= 6


@pytest.mark.parametrize(
    ("usd", "text"),
    [(None, "unknown"), (Decimal("0.000052"), "$0.000052"), (Decimal("0.10"), "$0.1"), (Decimal("12.346"), "$12.35")],
)
def test_money_shows_what_matters(usd: Decimal | None, text: str) -> None:
    assert formats.money(usd) == text


def test_progress_says_step_pace_and_what_is_left() -> None:
    seen = {"step": 3, "steps": 10, "per_second": 12.04, "eta_seconds": 65}

    assert formats.progress("running", seen) == "running step 3/10 at 12 a second, 1 min 5 s left"
    assert formats.progress("running", {"step": 3}) == "running step 3"
    assert formats.progress("syncing", None) == "syncing"


def test_load_says_what_is_known() -> None:
    gpu = {"percent": 88.0, "memory_used_mib": 9216.0, "memory_total_mib": 23552.0, "celsius": 61.0}

    assert formats.load({"cpu_percent": 97.5, "memory_percent": 12.4, "gpus": [gpu]}) == (
        "cpu 98 %, memory 12 %, gpu 0 88 % (9.0 of 23.0 GiB)"
    )
    assert formats.load({}) == formats.load(None) == "-"


def test_a_state_keeps_brackets_in_its_detail() -> None:
    assert formats.state("failed", "[red]x").plain == "failed: [red]x"
