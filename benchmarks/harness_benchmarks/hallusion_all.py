"""HallusionBench, all 1129 questions, those without a figure included (arXiv 2310.14566).

A row in the form that ``tasks/hallusion.yaml`` reads, cut short:

    {"category": "VS", "subcategory": "chart", "set_id": "0", "figure_id": "0", "question_id": "0",
     "visual_input": "0", "question": "Is China, Hongkong SAR, the leading importing country of gold
     ... in 2018?", "gt_answer": "0", "gt_answer_details": "Switzerland is ...", "image": null}

Rows are judged as in :mod:`harness_benchmarks.hallusion`. The columns are those of the authors'
leaderboard: ``qAcc``, questions that are right on every figure and without one; ``fAcc``, figures
of which every question is right; ``easy`` and ``hard``, questions that are right on all original,
and on all edited figures; ``aAcc``, all answers; and from their second table ``yes difference``,
the share of answers that say yes beyond the share that should (an answer that is not right counts
as the other word), and ``false yes``, the share of wrong answers that say yes. Their split of
errors into language and vision needs a second judge, which compares answers, and is not here.
Without a judge an answer that says neither yes nor no is missing; asked without its figure, one
that leaves the question open is right by the authors' rule, which takes a judge to see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.benchmark import Metric, all_of, mean_of, together
from harness.records import Sample
from harness_benchmarks import hallusion
from harness_benchmarks.convert_hallusion import OFFICIAL
from harness_benchmarks.means import in_group

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


def _units(doc: Mapping[str, Any]) -> Mapping[str, str]:
    units = hallusion.units(doc)
    return {**units, _level(doc): units["question"]}


def _level(doc: Mapping[str, Any]) -> str:
    return "hard" if str(doc["visual_input"]) == "2" else "easy"


def _groups(doc: Mapping[str, Any]) -> Mapping[str, str]:
    label = "yes" if str(doc["gt_answer"]) == "1" else "no"
    subcategory = f"{doc['category']} {doc['subcategory']}"
    return {"subcategory": subcategory, "level": _level(doc), "label": label}


def _words(rows: Sequence[Sample]) -> tuple[float, ...] | None:
    """Count answers, those that say yes, those that should, wrong ones, and wrong ones with yes."""
    row = rows[0]
    right, label = row.scores.get("right"), row.groups.get("label")
    if right is None or label is None:
        return None
    wanted = float(label == "yes")
    said = right if wanted else 1 - right
    return (1.0, said, wanted, 1 - right, (1 - right) * (1 - wanted))


def _difference(totals: NDArray[float64]) -> NDArray[float64]:
    import numpy as np

    undefined: NDArray[float64] = np.full(np.shape(totals[..., 0]), np.nan)
    over = 100 * (totals[..., 1] - totals[..., 2])
    return np.divide(over, totals[..., 0], out=undefined, where=totals[..., 0] != 0)


def _false_yes(totals: NDArray[float64]) -> NDArray[float64]:
    import numpy as np

    undefined: NDArray[float64] = np.full(np.shape(totals[..., 0]), np.nan)
    wrong = totals[..., 3]
    return np.divide(100 * totals[..., 4], wrong, out=undefined, where=wrong != 0)


def _at(level: str) -> Metric:
    return all_of(
        "right",
        group=together(level),
        name=f"{level} aAcc",
        applies=in_group("level", level),
    )


_COLUMNS = {column.name: column for column in hallusion.BENCHMARK.columns}
BENCHMARK = replace(
    hallusion.BENCHMARK,
    name="hallusion_all",
    title="HallusionBench (all)",
    task=str(Path(__file__).parent / "tasks" / "hallusion.yaml"),
    columns=(
        replace(_COLUMNS["aAcc"], primary=True),
        _COLUMNS["qAcc"],
        _COLUMNS["fAcc"],
        _at("easy"),
        _at("hard"),
        mean_of("logit", name="logit aAcc"),
        Metric("yes difference", _words, _difference, higher_is_better=None, low=-100.0),
        Metric("false yes", _words, _false_yes, higher_is_better=None),
    ),
    groups=_groups,
    units=_units,
    source_files=OFFICIAL,
    source="arXiv 2310.14566; HallusionBench.json, 1129 rows, 178 without a figure",
    published={
        "llava-1.5": "46.94 aAcc, 10.55 qAcc, 24.86 fAcc, 49.67 easy, 29.77 hard (the authors' "
        "leaderboard; GPT-4 judges)"
    },
)
