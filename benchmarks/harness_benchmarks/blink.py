r"""BLINK: fourteen tasks of looking, at one to four images, in options (arXiv 2404.12390).

A row of the hub's data set, cut short:

    {"idx": "val_Counting_1", "sub_task": "Counting", "question": "How many blue floats are there?",
     "choices": ["0", "3", "2", "1"], "answer": "(D)", "prompt": "How many blue floats are there?
     \nSelect from the following choices.\n(A) 0\n(B) 3\n(C) 2\n(D) 1", "image_1": ...,
     "image_2": null, "image_3": null, "image_4": null}

``average``, the authors' figure, is the mean of the fourteen tasks, which are not of one size;
``accuracy`` counts rows, as lmms-eval's group does. It is asked in the authors' wording, the column
``prompt``, where lmms-eval puts a line before. The letter is read by lmms-eval's own function.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.benchmark import Benchmark, Choices, Row, Task
from harness.records import Scored
from harness_benchmarks import _choices
from harness_benchmarks.means import mean_over
from harness_benchmarks.parse import lettered

_TASKS = (
    *("Art_Style", "Counting", "Forensic_Detection", "Functional_Correspondence", "IQ_Test"),
    *("Jigsaw", "Multi-view_Reasoning", "Object_Localization", "Relative_Depth"),
    *("Relative_Reflectance", "Semantic_Correspondence", "Spatial_Relation"),
    *("Visual_Correspondence", "Visual_Similarity"),
)
_PARTS = [[task] for task in _TASKS]


def _right(doc: Mapping[str, Any]) -> str:
    return str(doc["answer"]).strip("() ")


def score(task: Task, row: Row, answer: str) -> Scored:
    """Take lmms-eval's reading of the letter."""
    official = task.score(row, answer)["blink_acc"]
    options = _choices.by_letter(row.doc["choices"])
    return _choices.read(answer, options, _right(row.doc), float(official["is_correct"]))


def _lettered(row: Row) -> Choices:
    return lettered(tuple(_choices.by_letter(row.doc["choices"])), _right(row.doc))


def _groups(doc: Mapping[str, Any]) -> Mapping[str, str]:
    return {"task": str(doc["idx"]).split("_", 1)[1].rsplit("_", 1)[0]}  # val_IQ_Test_1


_ACCURACY, *_OTHERS = _choices.columns()
BENCHMARK = Benchmark(
    name="blink",
    title="BLINK",
    task=str(Path(__file__).parent / "tasks" / "blink.yaml"),
    score=score,
    columns=(
        mean_over(
            *("strict", "task", _PARTS), name="average", primary=True, lenient="lenient average"
        ),
        mean_over("lenient", "task", _PARTS, name="lenient average"),
        replace(_ACCURACY, primary=False),
        *_OTHERS,
    ),
    groups=_groups,
    choices=_lettered,
    licence="Apache-2.0 (images under their own licences)",
    source="arXiv 2404.12390; hub: BLINK-Benchmark/BLINK, 14 configs, split val, 1901 rows",
)
