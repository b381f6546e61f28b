"""Knows the price of an hour of a host, in USD.

On-demand prices are AWS's list prices for Linux in us-east-1, read from the EC2 pricing page and kept here because
asking the Price List API takes seconds; for another region or type the answer is "unknown", never a guess. A spot
host's price is asked of EC2 each time, because it moves.
https://aws.amazon.com/ec2/pricing/on-demand/
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from remote.hosts.host import Host
from remote.stack import Stack

LISTED_REGION = "us-east-1"
ON_DEMAND_USD_PER_HOUR = {
    "t3.micro": Decimal("0.0104"),
    "t3.small": Decimal("0.0208"),
    "t3.medium": Decimal("0.0416"),
    "t3.large": Decimal("0.0832"),
    "t3.xlarge": Decimal("0.1664"),
    "m5.large": Decimal("0.096"),
    "m5.xlarge": Decimal("0.192"),
    "m5.2xlarge": Decimal("0.384"),
    "m5.4xlarge": Decimal("0.768"),
    "c5.large": Decimal("0.085"),
    "c5.xlarge": Decimal("0.17"),
    "c5.2xlarge": Decimal("0.34"),
    "c5.4xlarge": Decimal("0.68"),
    "g4dn.xlarge": Decimal("0.526"),
    "g4dn.2xlarge": Decimal("0.752"),
    "g4dn.4xlarge": Decimal("1.204"),
    "g4dn.8xlarge": Decimal("2.176"),
    "g4dn.12xlarge": Decimal("3.912"),
    "g4dn.16xlarge": Decimal("4.352"),
    "g5.xlarge": Decimal("1.006"),
    "g5.2xlarge": Decimal("1.212"),
    "g5.4xlarge": Decimal("1.624"),
    "g5.8xlarge": Decimal("2.448"),
    "g5.12xlarge": Decimal("5.672"),
    "g5.16xlarge": Decimal("4.096"),
    "g5.24xlarge": Decimal("8.144"),
    "g5.48xlarge": Decimal("16.288"),
}


def usd_per_hour(stack: Stack, host: Host) -> Decimal | None:
    """Return the price of an hour of `host` now, or None when it is not known."""
    if host.market == "spot":
        return _spot_price(stack, host)
    if stack.outputs.region != LISTED_REGION:
        return None
    return ON_DEMAND_USD_PER_HOUR.get(host.instance_type)


def _spot_price(stack: Stack, host: Host) -> Decimal | None:
    instance_type: Any = host.instance_type  # the client's types know only those of their day
    reply = stack.aws.ec2.describe_spot_price_history(
        InstanceTypes=[instance_type],
        AvailabilityZone=host.availability_zone,
        ProductDescriptions=["Linux/UNIX"],
        MaxResults=1,
    )
    history = reply["SpotPriceHistory"]
    return Decimal(history[0]["SpotPrice"]) if history else None
