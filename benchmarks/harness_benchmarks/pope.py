"""POPE: is there such an object in the image? Yes or no (arXiv 2305.10355).

A row of the hub's data set, cut short:

    {"question_id": "1", "question": "Is there a snowboard in the image?", "answer": "yes",
     "image_source": "COCO_val2014_000000310196", "category": "adversarial", "image": ...}

``strict`` is lmms-eval's rule: the answer, lower-cased and stripped, must equal the label, so
"Yes." is wrong. ``lenient`` looks for the first yes or no among the words. ``logit`` asks which of
"Yes" and "No" the model finds more probable, whatever it wrote. lmms-eval's own
``pope_yes_ratio`` counts the labels, not the answers, and is a constant; ours counts the answers.

The columns of LLaVA's script (``eval_pope.py``, which SeVa uses too) take every answer for a yes
whose first sentence holds no "No", "no" or "not". The papers print the mean of the three splits'
F1. Their random split has 2,910 questions, the hub's 3,000; ``harness data convert pope`` makes the
data set of their 8,910 from the authors' lists.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.benchmark import Benchmark, Metric, Papers, Row, Task, f1_of, has, mean_of
from harness.records import Sample, Scored
from harness_benchmarks import llava
from harness_benchmarks.convert_pope import OFFICIAL
from harness_benchmarks.parse import yes_no as parse
from harness_benchmarks.parse import yes_no_choices

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


def score(task: Task, row: Row, answer: str) -> Scored:
    """Score one answer by both rules; ``strict`` is lmms-eval's own value."""
    official = task.score(row, answer)["pope_accuracy"]
    loose, theirs = parse(answer), llava.says_yes(answer)
    return Scored(
        {
            "strict": float(official["score"]),
            "strict_yes": float(official["prediction"] == "yes"),
            "strict_no": float(official["prediction"] == "no"),
            "lenient": float(loose == official["ground_truth"]),
            "lenient_yes": float(loose == "yes"),
            "unparsed": float(loose is None),
            "label_yes": float(official["ground_truth"] == "yes"),
            "llava": float(theirs == (official["ground_truth"] == "yes")),
            "llava_yes": float(theirs),
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


def _split_counts(rows: Sequence[Sample]) -> tuple[float, ...] | None:
    """Count rows, true yes, false yes and false no of each split, by LLaVA's reading."""
    row = rows[0]
    said, label = row.scores.get("llava_yes"), row.scores.get("label_yes")
    if said is None or label is None:
        return None
    own = (1.0, said * label, said * (1 - label), (1 - said) * label)
    nothing = (0.0,) * len(own)
    split = row.groups.get("category")
    return tuple(value for name in SPLITS for value in (own if name == split else nothing))


def _mean_f1(totals: NDArray[float64]) -> NDArray[float64]:
    """Return 100 * the mean of the splits' F1; ``nan`` where a split has no rows."""
    import numpy as np

    parts = totals.reshape(*totals.shape[:-1], len(SPLITS), 4)
    hits = 2 * parts[..., 1]
    under = hits + parts[..., 2] + parts[..., 3]
    undefined = np.full(np.shape(hits), np.nan)
    each = np.divide(hits, under, out=undefined, where=(under != 0) & (parts[..., 0] != 0))
    return 100 * each.mean(axis=-1)


SPLITS = ("random", "popular", "adversarial")
OF_LLAVA = (
    mean_of("llava", name="accuracy (LLaVA's rule)", applies=has("llava")),
    f1_of("llava_yes", "label_yes", name="F1 (LLaVA's rule)", applies=has("llava")),
)
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
        *OF_LLAVA,
        Metric(
            "mean F1 of the splits (LLaVA's rule)", _split_counts, _mean_f1, applies=has("llava")
        ),
        mean_of("lenient_yes", name="says yes", higher_is_better=None),
        mean_of("unparsed", name="unparsed", higher_is_better=False),
    ),
    groups=lambda doc: {"category": str(doc.get("category", ""))},
    choices=yes_no_choices,
    source_files=OFFICIAL,
    image_source=lambda doc: str(doc.get("image_source", "")),
    licence="MIT (questions); images: COCO val2014",
    source="arXiv 2305.10355; hub: lmms-lab-encoder/POPE, split test, 9000 rows",
    published={
        "llava-1.5-7b": "85.9 F1, mean of the splits (LLaVA model zoo)",
        "seva-7b": "86.7 F1 at noise step 800 (SeVa README), another prompt and parse",
    },
    papers={llava.PROTOCOL: Papers(("mean F1 of the splits (LLaVA's rule)",))},
)
