"""Amounts of money as the records have them: USD as decimal text, never as a binary fraction."""

from __future__ import annotations

from decimal import ROUND_UP, Decimal, InvalidOperation

MICRODOLLAR = Decimal("0.000001")
SECONDS_PER_HOUR = 3600


def read_usd(text: str) -> Decimal:
    """Return an amount of a record.

    Raises:
        ValueError: it is not a finite amount from zero.
    """
    try:
        amount = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{text!r} is not an amount of USD") from None
    if not (amount.is_finite() and amount >= 0):
        raise ValueError(f"{text!r} is not an amount of USD")
    return amount


def cost_usd(usd_per_hour: Decimal, seconds: float) -> Decimal:
    """Return what a time on a host costs, rounded up to a millionth so that a limit errs on the safe side."""
    exact = usd_per_hour * Decimal(repr(seconds)) / SECONDS_PER_HOUR
    return exact.quantize(MICRODOLLAR, rounding=ROUND_UP)
