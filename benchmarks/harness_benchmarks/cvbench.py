r"""CV-Bench: counting, relations, depth and distance, in options (arXiv 2406.16860).

A row of the hub's data set, cut short:

    {"idx": 0, "type": "2D", "task": "Count", "source": "ADE20K", "question": "How many organs are
     in the image?", "choices": ["3", "2", "1", "0"], "answer": "(C)", "prompt": "How many organs
     are in the image? Select from the following choices.\n(A) 3\n(B) 2\n(C) 1\n(D) 0", "image":
     ...}

``CV-Bench``, the authors' figure, is the mean of 2D and 3D, and 2D the mean of its two sources,
ADE20K and COCO, which are not of one size; ``accuracy`` is lmms-eval's, over all rows. The letter
is read by lmms-eval's own function, which takes the first letter of an answer, and so the T of
"The".
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.benchmark import Benchmark, Choices, Row, Task
from harness.records import Scored
from harness_benchmarks import _choices
from harness_benchmarks.means import in_group, mean_over
from harness_benchmarks.parse import lettered

_2D, _3D = ("ADE20K", "COCO"), ("Omni3D",)


def _right(doc: Mapping[str, Any]) -> str:
    return str(doc["answer"]).strip("() ")


def score(task: Task, row: Row, answer: str) -> Scored:
    """Take lmms-eval's reading of the letter."""
    official = task.score(row, answer)["cv_bench_acc"]
    options = _choices.by_letter(row.doc["choices"])
    return _choices.read(answer, options, _right(row.doc), float(official["is_correct"]))


def _lettered(row: Row) -> Choices:
    return lettered(tuple(_choices.by_letter(row.doc["choices"])), _right(row.doc))


def _groups(doc: Mapping[str, Any]) -> Mapping[str, str]:
    return {"type": str(doc["type"]), "task": str(doc["task"]), "source": str(doc["source"])}


_ACCURACY, *_OTHERS = _choices.columns()
BENCHMARK = Benchmark(
    name="cvbench",
    title="CV-Bench",
    task="cv_bench/cv_bench.yaml",
    score=score,
    columns=(
        mean_over(
            *("strict", "source", (_2D, _3D)),
            name="CV-Bench",
            primary=True,
            lenient="lenient CV-Bench",
        ),
        mean_over(
            "strict", "source", [[name] for name in _2D], name="2D", applies=in_group("type", "2D")
        ),
        mean_over("strict", "source", [_3D], name="3D", applies=in_group("type", "3D")),
        mean_over("lenient", "source", (_2D, _3D), name="lenient CV-Bench"),
        replace(_ACCURACY, primary=False),
        *_OTHERS,
    ),
    groups=_groups,
    choices=_lettered,
    max_new_tokens=64,
    licence="Apache-2.0 (images: ADE20K, COCO and Omni3D, under their own licences)",
    source="arXiv 2406.16860; hub: nyu-visionx/CV-Bench, split test, 2638 rows",
)
