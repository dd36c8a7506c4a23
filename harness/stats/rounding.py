"""Rounding: half away from zero for people, and without the last bits for records."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

_DIGITS = 10
"""Decimals kept: the last bits of a sum depend on the processor, a result must not."""


def half_up(value: float, digits: int) -> Decimal:
    """Return a number rounded to ``digits`` decimals; it formats like a float."""
    return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def rounded(value: float | None) -> float | None:
    """Cut off the digits that differ between processors; a negative zero becomes zero."""
    return None if value is None else round(value, _DIGITS) + 0.0


def clipped(interval: tuple[float, float] | None, reach: float) -> tuple[float, float] | None:
    """Round an interval of a difference and keep it within plus or minus ``reach``."""
    if interval is None:
        return None
    low, high = (round(min(max(end, -reach), reach), _DIGITS) + 0.0 for end in interval)
    return low, high
