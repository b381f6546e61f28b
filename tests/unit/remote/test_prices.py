"""Money is exact, and unknown is said."""

from __future__ import annotations

from decimal import Decimal

import pytest

from remote.prices import ON_DEMAND_USD_PER_HOUR, cost, read_price


def test_a_cost_is_rounded_up_to_a_millionth() -> None:
    assert cost(Decimal("0.0208"), 9) == Decimal("0.000052")
    assert cost(Decimal("0.0208"), 9.1) == Decimal("0.000053")


def test_an_unknown_price_gives_no_cost() -> None:
    assert cost(None, 100) is None
    assert read_price(None) is None


@pytest.mark.parametrize(
    ("small", "large"), [("t3.micro", "t3.small"), ("g5.xlarge", "g5.2xlarge"), ("m5.large", "m5.xlarge")]
)
def test_a_larger_type_of_a_family_costs_more(small: str, large: str) -> None:
    assert ON_DEMAND_USD_PER_HOUR[small] < ON_DEMAND_USD_PER_HOUR[large]
