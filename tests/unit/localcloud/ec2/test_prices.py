"""Made-up prices that behave like prices."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.ec2.prices import ON_DEMAND_USD, history, on_demand, spot

NOW = datetime(2026, 11, 22, 16, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("instance_type", "price"),
    [("t3.small", "0.0208"), ("z9.large", "0.1"), ("z9.xlarge", "0.2"), ("z9.4xlarge", "0.8"), ("z9.metal", "0.1")],
)
def test_a_type_that_is_not_in_the_table_is_priced_by_its_size(instance_type, price):
    assert on_demand(instance_type) == Decimal(price)


@given(st.sampled_from(sorted(ON_DEMAND_USD)), st.datetimes(timezones=st.just(UTC)))
def test_a_spot_price_is_about_thirty_percent_and_the_same_each_time(kind, hour):
    price = spot(kind, "us-east-1a", hour)
    assert on_demand(kind) * Decimal("0.26") < price < on_demand(kind) * Decimal("0.34")
    assert price == spot(kind, "us-east-1a", hour)


def test_the_history_begins_with_the_price_in_force_and_ends_now():
    rows = history(["t3.small"], ["a", "b"], start=NOW - timedelta(hours=3), end=None, now=NOW)
    assert [since.hour for _, zone, _, since in rows if zone == "a"] == [16, 15, 14, 13]
    assert history(["t3.small"], ["a"], start=None, end=None, now=NOW)[0][3].hour == 16
