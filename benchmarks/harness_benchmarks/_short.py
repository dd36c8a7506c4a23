"""What the benchmarks with short open answers share: TextVQA, VizWiz, VQAv2 and GQA.

``strict`` is lmms-eval's ``exact_match`` of the whole answer. ``lenient`` is the best
``exact_match`` among the answer and the reference answers that it contains word for word, so
"It is a red bus." counts as "red bus"; it is never below ``strict``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.benchmark import Metric, Row, Task, mean_of
from harness.records import Scored
from harness_benchmarks.parse import best_of

Score = Callable[[Task, Row, str], Scored]


def scored_by_match(references: Callable[[Row], Sequence[str]]) -> Score:
    """Return a scorer for a task whose ``process_results`` gives ``exact_match``.

    Args:
        references: reads the reference answers of a row.
    """

    def score(task: Task, row: Row, answer: str) -> Scored:
        def official(text: str) -> float:
            return float(task.score(row, text)["exact_match"])

        strict = official(answer)
        lenient = best_of(answer, references(row), official, strict)
        return Scored({"strict": strict, "lenient": lenient})

    return score


def columns() -> tuple[Metric, ...]:
    """Return the two accuracies, in points from 0 to 100."""
    return (
        mean_of("strict", name="accuracy", primary=True, lenient="lenient accuracy"),
        mean_of("lenient", name="lenient accuracy"),
    )
