"""MME: yes/no questions in fourteen subtasks, two per image (arXiv 2306.13394).

A row of the hub's data set, cut short:

    {"question_id": "code_reasoning/0020.png", "question": "Is a python code shown in the picture?
     Please answer yes or no.", "answer": "Yes", "category": "code_reasoning", "image": ...}

A subtask's score is accuracy plus accuracy+ (the share of images with both questions right), in
percent, so at most 200; perception is the sum of ten subtasks, cognition of four. ``strict`` is
lmms-eval's reading, of the first four characters: "There is no dog" is neither yes nor no, and
"Not so" is a no. ``lenient`` takes the first yes or negation among the words. lmms-eval also puts
its own suffix in the place of the benchmark's "Please answer yes or no."
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from harness.benchmark import Benchmark, Metric, Row, Task, all_of, mean_of, together
from harness.records import Sample, Scored
from harness_benchmarks.parse import yes_no, yes_no_choices

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

PERCEPTION = (
    *("existence", "count", "position", "color", "posters"),
    *("celebrity", "scene", "landmark", "artwork", "OCR"),
)
COGNITION = (
    "commonsense_reasoning",
    "numerical_calculation",
    "text_translation",
    "code_reasoning",
)


def score(task: Task, row: Row, answer: str) -> Scored:
    """Score one answer."""
    (official,) = task.score(row, answer).values()
    said = yes_no(answer)
    return Scored(
        {
            "strict": float(official["score"]),
            "lenient": float(said == row.target.strip().lower()),
            "lenient_yes": float(said == "yes"),
            "unparsed": float(said is None),
        }
    )


def _subtask_sums(
    metric: str, subtasks: Sequence[str]
) -> Callable[[Sequence[Sample]], tuple[float, ...] | None]:
    """Count, by subtask, the sum of accuracy and accuracy+ of a pair, and one for the pair."""

    def count(rows: Sequence[Sample]) -> tuple[float, ...] | None:
        values = [row.scores.get(metric) for row in rows]
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        mark = 100 * (sum(known) / len(known)) + 100 * float(len(known) == 2 and sum(known) == 2)
        at = rows[0].groups["category"]
        return tuple(part for name in subtasks for part in ((mark, 1.0) if name == at else (0, 0)))

    return count


def _total(totals: NDArray[float64]) -> NDArray[float64]:
    """Add the means of the subtasks; one without a question adds nothing, as in lmms-eval."""
    import numpy as np

    marks, pairs = totals[..., 0::2], totals[..., 1::2]
    means = np.divide(marks, pairs, out=np.zeros(np.shape(marks)), where=pairs != 0)
    found: NDArray[float64] = means.sum(-1)
    return np.where(pairs.sum(-1) > 0, found, np.nan)


def _sum_column(name: str, metric: str, subtasks: Sequence[str], **fields: object) -> Metric:
    return Metric(
        name,
        _subtask_sums(metric, subtasks),
        _total,
        group=together("pair"),
        high=200.0 * len(subtasks),
        **fields,  # type: ignore[arg-type]
    )


BENCHMARK = Benchmark(
    name="mme",
    title="MME",
    task="mme/mme.yaml",
    score=score,
    columns=(
        _sum_column("perception", "strict", PERCEPTION, primary=True, lenient="lenient perception"),
        _sum_column("cognition", "strict", COGNITION, primary=True, lenient="lenient cognition"),
        mean_of("strict", name="accuracy"),
        all_of("strict", group=together("pair"), name="accuracy+"),
        _sum_column("lenient perception", "lenient", PERCEPTION),
        _sum_column("lenient cognition", "lenient", COGNITION),
        mean_of("logit", name="logit accuracy"),
        mean_of("lenient_yes", name="says yes", higher_is_better=None),
        mean_of("unparsed", name="unparsed", higher_is_better=False),
    ),
    groups=lambda doc: {"category": str(doc["category"])},
    units=lambda doc: {"pair": f"{doc['category']} {doc['question_id']}"},
    choices=yes_no_choices,
    licence="for research only; ask its authors (images under their own licences)",
    source="arXiv 2306.13394; hub: lmms-lab-encoder/MME, split test, 2374 rows",
    published={
        "llava-1.5-7b": "perception 1506.4, cognition 355.7 (SIMA table 2); 1510.7 (LLaVA zoo)",
        "sima-7b": "perception 1507.7, cognition 379.3 (SIMA table 2)",
        "seva-7b": "perception 1450 (a later paper by SeVa's first author)",
    },
)
