"""POPE: is there such an object in the image? Yes or no (arXiv 2305.10355).

A row of the hub's data set, cut short:

    {"question_id": "1", "question": "Is there a snowboard in the image?", "answer": "yes",
     "image_source": "COCO_val2014_000000310196", "category": "adversarial", "image": ...}

``strict`` is lmms-eval's rule: the answer, lower-cased and stripped, must equal the label, so
"Yes." is wrong. ``lenient`` looks for the first yes or no among the words. ``logit`` asks which of
"Yes" and "No" the model finds more probable, whatever it wrote. lmms-eval's own
``pope_yes_ratio`` counts the labels, not the answers, and is a constant; ours counts the answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.benchmark import Benchmark, Metric, Row, Task, f1_of, mean_of
from harness.records import Sample, Scored
from harness_benchmarks.parse import yes_no as parse
from harness_benchmarks.parse import yes_no_choices

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


def score(task: Task, row: Row, answer: str) -> Scored:
    """Score one answer by both rules; ``strict`` is lmms-eval's own value."""
    official = task.score(row, answer)["pope_accuracy"]
    loose = parse(answer)
    return Scored(
        {
            "strict": float(official["score"]),
            "strict_yes": float(official["prediction"] == "yes"),
            "strict_no": float(official["prediction"] == "no"),
            "lenient": float(loose == official["ground_truth"]),
            "lenient_yes": float(loose == "yes"),
            "unparsed": float(loose is None),
            "label_yes": float(official["ground_truth"] == "yes"),
        }
    )


def _official_counts(rows: Sequence[Sample]) -> tuple[float, ...] | None:
    """Count true and false "yes" and, as lmms-eval does, only a literal "no" as a false "no"."""
    said_yes, said_no, label = (
        rows[0].scores.get(name) for name in ("strict_yes", "strict_no", "label_yes")
    )
    if said_yes is None or said_no is None or label is None:
        return None
    return (said_yes * label, said_yes * (1 - label), said_no * label)


def _official_f1(totals: NDArray[float64]) -> NDArray[float64]:
    """Return 100 * F1; zero where lmms-eval says zero."""
    import numpy as np

    hits = 2 * totals[..., 0]
    under = hits + totals[..., 1] + totals[..., 2]
    return 100 * np.divide(hits, under, out=np.zeros(np.shape(hits)), where=under != 0)


BENCHMARK = Benchmark(
    name="pope",
    title="POPE",
    task="pope/pope.yaml",
    score=score,
    columns=(
        mean_of("strict", name="accuracy", primary=True, lenient="lenient accuracy"),
        Metric("f1", _official_counts, _official_f1),
        mean_of("lenient", name="lenient accuracy"),
        f1_of("lenient_yes", "label_yes", name="lenient f1"),
        mean_of("logit", name="logit accuracy"),
        mean_of("lenient_yes", name="says yes", higher_is_better=None),
        mean_of("unparsed", name="unparsed", higher_is_better=False),
    ),
    groups=lambda doc: {"category": str(doc.get("category", ""))},
    choices=yes_no_choices,
    image_source=lambda doc: str(doc.get("image_source", "")),
    licence="MIT (questions); images: COCO val2014",
    source="arXiv 2305.10355; hub: lmms-lab-encoder/POPE, split test, 9000 rows",
    published={
        "llava-1.5-7b": "85.9 F1, mean of the splits (LLaVA model zoo)",
        "seva-7b": "86.7 F1 at noise step 800 (SeVa README), another prompt and parse",
    },
)
