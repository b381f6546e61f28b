"""Numbers as people read them."""

from __future__ import annotations

from decimal import Decimal

import pytest

from commands import wording


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (123456, "123 kB"), (5 * 10**9, "5.0 GB"), (10**15, "1000 TB")],
)
def test_sizes_are_decimal_with_three_digits_at_most(count: int, text: str) -> None:
    assert wording.size(count) == text


@pytest.mark.parametrize(("seconds", "text"), [(None, "-"), (9, "9.0 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_have_two_units_at_most(seconds: float | None, text: str) -> None:
    assert wording.duration(seconds) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [(None, "unknown"), (Decimal("0.000052"), "$0.000052"), (Decimal("0.10"), "$0.1"), (Decimal("12.346"), "$12.35")],
)
def test_money_shows_what_matters(usd: Decimal | None, text: str) -> None:
    assert wording.money(usd) == text
