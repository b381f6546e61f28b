"""Provides the prices of the local cloud, which are made up, but plausible and not constant.

On-demand prices are a small table of us-east-1 list prices; the price of any other type follows from its size. A spot
price is about 30 % of that and differs by zone and by hour, in the same way at each call, so that code that searches
for the cheapest zone, or for a changing price, has something to find. Never use them to plan a budget.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from decimal import Decimal

ON_DEMAND_USD = {
    "t3.micro": Decimal("0.0104"), "t3.small": Decimal("0.0208"), "t3.medium": Decimal("0.0416"),
    "t3.large": Decimal("0.0832"), "m5.large": Decimal("0.096"), "m5.xlarge": Decimal("0.192"),
    "c5.large": Decimal("0.085"), "c5.xlarge": Decimal("0.17"), "c5.2xlarge": Decimal("0.34"),
    "g4dn.xlarge": Decimal("0.526"), "g4dn.2xlarge": Decimal("0.752"), "g4dn.12xlarge": Decimal("3.912"),
    "g5.xlarge": Decimal("1.006"), "g5.2xlarge": Decimal("1.212"), "g5.12xlarge": Decimal("5.672"),
    "g6.xlarge": Decimal("0.8048"), "p3.2xlarge": Decimal("3.06"), "p3.8xlarge": Decimal("12.24"),
    "p4d.24xlarge": Decimal("32.7726"), "p5.48xlarge": Decimal("98.32"),
}  # fmt: skip
SIZES = {"nano": 0.0625, "micro": 0.125, "small": 0.25, "medium": 0.5, "large": 1.0, "xlarge": 2.0}
LARGE_USD = Decimal("0.1")
SPOT_SHARE = Decimal("0.30")
SPREAD = Decimal("0.10")
MAX_HOURS = 24 * 7


def on_demand(instance_type: str) -> Decimal:
    """Return the on-demand price in USD per hour."""
    if instance_type in ON_DEMAND_USD:
        return ON_DEMAND_USD[instance_type]
    size = instance_type.rpartition(".")[2]
    multiple = size.removesuffix("xlarge")
    factor = 2.0 * int(multiple) if size.endswith("xlarge") and multiple.isdigit() else SIZES.get(size, 1.0)
    return LARGE_USD * Decimal(str(factor))


def spot(instance_type: str, zone: str, hour: datetime) -> Decimal:
    """Return the spot price in USD per hour, for one zone and hour: 27 % to 33 % of the on-demand price."""
    seed = hashlib.sha256(f"{instance_type} {zone} {hour:%Y%m%d%H}".encode()).digest()
    swing = (Decimal(seed[0]) / 255 * 2 - 1) * SPREAD
    return (on_demand(instance_type) * SPOT_SHARE * (1 + swing)).quantize(Decimal("0.0001"))


def history(
    types: list[str], zones: list[str], *, start: datetime | None, end: datetime | None, now: datetime
) -> list[tuple[str, str, Decimal, datetime]]:
    """Return rows (type, zone, price, since), newest first: the price at `start`, and each change until `end`."""
    last = min(end or now, now).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    first = (start or now).astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    hours = min(MAX_HOURS, max(0, int((last - first).total_seconds() // 3600)))
    return [
        (kind, zone, spot(kind, zone, last - timedelta(hours=back)), last - timedelta(hours=back))
        for back in range(hours + 1)
        for kind in types
        for zone in zones
    ]
