"""What a comparison from outside may say: known words, and settings that can be computed with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness.compare import VERDICTS, Comparison
from harness.errors import UsageError

_OVERALL = (*VERDICTS, "mixed")
_DIRECTIONS = ("fixed", "broken", "lost", "found")
_LABELS = ("true change", "format break", "cut off", "refusal", "missing")
_DRAWS = 200_000  # twenty times the default; each costs time and memory
_DIGITS = 12


def check_words(comparison: Comparison) -> None:
    """Refuse a comparison with words or settings that no version of ours writes.

    Raises:
        ValueError: if there is one; it names the field.
    """
    if not comparison.benchmarks:  # one model by itself: nothing is computed
        return
    if not 1 <= comparison.draws <= _DRAWS:
        raise ValueError(f"draws is {comparison.draws}, not between 1 and {_DRAWS}")
    try:
        comparison.terms  # noqa: B018 (refuses a margin or level that is out of range)
    except UsageError as error:
        raise ValueError(str(error)) from error
    if comparison.seed < 0:
        raise ValueError(f"seed is {comparison.seed}, which is negative")
    names = [each.name for each in comparison.benchmarks]
    if len(set(names)) < len(names):
        raise ValueError("benchmarks names one benchmark twice")
    for place, word, known in _words(comparison):
        if word not in known:
            raise ValueError(f"{place} is {word!r:.60}, not one of: {', '.join(map(str, known))}")


def _words(comparison: Comparison) -> Iterator[tuple[str, object, Sequence[object]]]:
    yield "verdict", comparison.verdict, _OVERALL
    for number, each in enumerate(comparison.benchmarks):
        place = f"benchmarks[{number}]"
        for at, figure in enumerate(each.figures):
            yield f"{place}.figures[{at}].verdict", figure.verdict, VERDICTS
            yield f"{place}.figures[{at}].digits", figure.digits, range(_DIGITS)
        for at, flip in enumerate(each.flips):
            yield f"{place}.flips[{at}].direction", flip.direction, _DIRECTIONS
            yield f"{place}.flips[{at}].label", flip.label, _LABELS
