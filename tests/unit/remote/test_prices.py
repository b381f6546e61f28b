"""The price list is plausible."""

from __future__ import annotations

import pytest

from remote.prices import ON_DEMAND_USD_PER_HOUR


@pytest.mark.parametrize(
    ("small", "large"), [("t3.micro", "t3.small"), ("g5.xlarge", "g5.2xlarge"), ("m5.large", "m5.xlarge")]
)
def test_a_larger_type_of_a_family_costs_more(small: str, large: str) -> None:
    assert ON_DEMAND_USD_PER_HOUR[small] < ON_DEMAND_USD_PER_HOUR[large]
