"""Numbers for people: rounded half away from zero, so that 91.25 reads 91.3 everywhere."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal


def half_up(value: float, digits: int) -> Decimal:
    """Return a number with so many decimals; it formats like a float."""
    return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
