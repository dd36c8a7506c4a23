"""OCRBench: reading text in a thousand images (arXiv 2305.07895).

A row of the hub's data set, cut short:

    {"dataset": "IIIT5K", "question": "what is written in the image?", "question_type": "Regular
     Text Recognition", "answer": ["CENTRE"], "image": ...}

An answer is right when it holds a reference, whatever stands around it; case counts in none but
handwritten mathematics, where spaces do not. ``score`` is out of 1000, one point a row, and its
five parts add up to it. lmms-eval gives a thousandth of it, keeps counting over calls in the same
process, and folds wide characters, which the authors do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.benchmark import Benchmark, Row, Task, mean_of
from harness.records import Scored
from harness_benchmarks.means import in_group

_PARTS = {
    "text recognition": 300,
    "scene text VQA": 200,
    "document VQA": 200,
    "key information": 200,
    "handwritten mathematics": 100,
}
_PART = {
    "Scene Text-centric VQA": "scene text VQA",
    "Doc-oriented VQA": "document VQA",
    "Key Information Extraction": "key information",
    "Handwritten Mathematical Expression Recognition": "handwritten mathematics",
}


def score(task: Task, row: Row, answer: str) -> Scored:
    """Take lmms-eval's value of one row."""
    return Scored({"held": float(task.score(row, answer)["ocrbench_accuracy"]["score"])})


def _groups(doc: Mapping[str, Any]) -> Mapping[str, str]:
    kind = str(doc["question_type"])
    return {"part": _PART.get(kind, "text recognition"), "question type": kind}


BENCHMARK = Benchmark(
    name="ocrbench",
    title="OCRBench",
    task="ocrbench/ocrbench.yaml",
    score=score,
    columns=(
        mean_of("held", name="score", scale=1000.0, primary=True, unit="of 1000", digits=0),
        *(
            mean_of(
                "held",
                name=part,
                scale=float(size),
                unit=f"of {size}",
                digits=0,
                applies=in_group("part", part),
            )
            for part, size in _PARTS.items()
        ),
    ),
    groups=_groups,
    licence="see the data set's card",
    source="arXiv 2305.07895; hub: echo840/OCRBench, split test, 1000 rows",
)
