"""What the choice of training seeds adds to the uncertainty; in plain words: docs/measuring.md."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import variance


def error_of(differences: Sequence[float]) -> float:
    """Return the standard error of the mean over seeds: the seeds' spread over the root of S.

    The part that single rows explain is not taken off. Doing so acts as a test whether seeds
    differ at all, and one in ten families of 14 columns then raised a false alarm (docs/log.md).
    """
    if len(differences) < 2:
        return 0.0
    return float((variance(differences) / len(differences)) ** 0.5)
