"""Money in records: exact, never below zero, rounded up."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.money import cost_usd, read_usd


@pytest.mark.parametrize("text", ["", "cheap", "-1", "NaN", "Infinity", "1,5"])
def test_what_is_not_an_amount_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not an amount of USD"):
        read_usd(text)


def test_a_cost_is_rounded_up_to_a_millionth() -> None:
    assert cost_usd(Decimal("0.0208"), 9) == Decimal("0.000052")
    assert cost_usd(Decimal("3.6"), 1) == Decimal("0.001")
    assert cost_usd(Decimal("3.6"), 1.0000001) == Decimal("0.001001")


@given(st.decimals(0, 1000, places=4), st.floats(0, 1e7))
def test_a_cost_is_never_below_the_exact_one_and_no_more_than_a_millionth_above(price: Decimal, seconds: float) -> None:
    exact = price * Decimal(repr(seconds)) / 3600

    assert exact <= cost_usd(price, seconds) <= exact + Decimal("0.000001")
    assert read_usd(f"{price:f}") == price
