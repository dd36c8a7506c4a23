"""How numbers are rounded, in every report alike.

* Figures, differences and interval ends get the column's decimals, half away from zero.
* Each number is rounded by itself: a difference is not the difference of two rounded figures.
* A difference or interval end that is not zero never reads as zero: it gets up to three more
  decimals, and below that "<" or ">" with the smallest step.
* p values get three decimals; below 0.001 they read "<0.001".
* What cannot be known is a dash.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

DASH = "–"
_MORE = 3


def figure(value: float | None, digits: int) -> str:
    """Return a figure with its column's decimals."""
    return DASH if value is None else f"{_round(value, digits):.{digits}f}"


def signed(value: float | None, digits: int) -> str:
    """Return a difference with its sign; only an exact zero reads as zero."""
    if value is None:
        return DASH
    if value == 0:
        return f"{0:.{digits}f}"
    for decimals in range(digits, digits + _MORE + 1):
        rounded = _round(value, decimals)
        if rounded != 0:
            return f"{rounded:+.{decimals}f}"
    step = Decimal(1).scaleb(-(digits + _MORE))
    return f"<+{step}" if value > 0 else f">-{step}"


def interval(ends: tuple[float, float] | None, digits: int) -> str:
    """Return both ends of an interval of a difference."""
    return "" if ends is None else f"[{signed(ends[0], digits)}, {signed(ends[1], digits)}]"


def level_interval(ends: tuple[float, float] | None, digits: int) -> str:
    """Return both ends of an interval of a figure by itself."""
    return DASH if ends is None else f"[{figure(ends[0], digits)}, {figure(ends[1], digits)}]"


def difference(value: float | None, ends: tuple[float, float] | None, digits: int) -> str:
    """Return a difference followed by its interval."""
    return f"{signed(value, digits)} {interval(ends, digits)}".strip()


def p_value(value: float | None) -> str:
    """Return a p value with three decimals."""
    if value is None:
        return DASH
    return "<0.001" if value < 0.001 else f"{_round(value, 3):.3f}"


def length(value: float | None) -> str:
    """Return a mean length in tokens."""
    return figure(value, 1)


def _round(value: float, digits: int) -> Decimal:
    return Decimal(repr(float(value))).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)
