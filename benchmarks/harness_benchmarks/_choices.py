"""What benchmarks with lettered options share: three readings of an answer, and their columns.

``strict`` is the rule of lmms-eval or of the authors. ``lenient`` is the one letter, or the one
option's words, that an answer holds (:func:`harness_benchmarks.parse.letter`). ``logit`` asks which
letter the model finds most probable.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from harness.benchmark import Metric, has, mean_of
from harness.records import Scored
from harness_benchmarks.parse import letter

_LINE = re.compile(r"^\s*\(?([A-H])[.):]\s*(.+?)\s*$", re.MULTILINE)


def by_letter(texts: Sequence[str]) -> dict[str, str]:
    """Put letters before options that stand in their order."""
    return {chr(ord("A") + place): str(text) for place, text in enumerate(texts)}


def in_lines(text: str) -> dict[str, str]:
    """Find options that stand on lines of their own, each after its letter."""
    return dict(_LINE.findall(text))


def without_lines(text: str) -> str:
    """Return a question without the lines that hold its options."""
    return " ".join(_LINE.sub("", text).split())


def read(answer: str, options: Mapping[str, str], right: str, strict: float) -> Scored:
    """Add the lenient reading to a strict score."""
    said = letter(answer, options)
    return Scored(
        {
            "strict": strict,
            "lenient": float(said == right or strict == 1.0),
            "unparsed": float(said is None),
        }
    )


def columns(*extra: Metric) -> tuple[Metric, ...]:
    """Return accuracies by the three readings, in points, and other columns after the first.

    A row without options, in a benchmark where some have them, has no figure by its logits.
    """
    return (
        mean_of("strict", name="accuracy", primary=True, lenient="lenient accuracy"),
        *extra,
        mean_of("lenient", name="lenient accuracy"),
        mean_of("logit", name="logit accuracy", applies=has("logit")),
        mean_of("unparsed", higher_is_better=False),
    )
