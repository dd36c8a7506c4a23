"""ScienceQA-IMG: school science with an image, by letter (arXiv 2209.09513).

A row of the hub's data set, cut short:

    {"image": ..., "question": "Which of these states is farthest north?", "choices": ["West
     Virginia", "Louisiana", "Arizona", "Oklahoma"], "answer": 0, "hint": "", "task": "closed
     choice", "grade": "grade2", "subject": "social science", "topic": "geography", ...}

``strict`` is lmms-eval's rule: the letter alone, or a letter and a full stop at the very beginning;
"B)" and "The answer is B" are wrong. ``lenient`` reads any form. ``logit`` asks which letter the
model finds most probable. LLaVA's script also reads "The answer is B."; its figure is a column.
"""

from __future__ import annotations

from collections.abc import Mapping
from string import ascii_uppercase

from harness.benchmark import Benchmark, Choices, Papers, Row, Task, has, mean_of
from harness.records import Scored
from harness_benchmarks import llava
from harness_benchmarks.parse import letter, lettered


def _options(row: Row) -> Mapping[str, str]:
    return dict(zip(ascii_uppercase, map(str, row.doc["choices"]), strict=False))


def score(task: Task, row: Row, answer: str) -> Scored:
    """Score one answer by lmms-eval's rule and by what it says."""
    options = _options(row)
    said = letter(answer, options)
    return Scored(
        {
            "strict": float(task.score(row, answer)["exact_match"]),
            "lenient": float(said == row.target),
            "unparsed": float(said is None),
            "llava": float(llava.option(answer, len(options)) == row.target),
        }
    )


def _choices(row: Row) -> Choices:
    return lettered(tuple(_options(row)), row.target)


BENCHMARK = Benchmark(
    name="scienceqa",
    title="ScienceQA-IMG",
    task="scienceqa/scienceqa_img.yaml",
    score=score,
    columns=(
        mean_of("strict", name="accuracy", primary=True, lenient="lenient accuracy"),
        mean_of("lenient", name="lenient accuracy"),
        mean_of("logit", name="logit accuracy"),
        mean_of("llava", name="accuracy (LLaVA's pattern)", applies=has("llava")),
        mean_of("unparsed", name="unparsed", higher_is_better=False),
    ),
    groups=lambda doc: {"subject": str(doc.get("subject", ""))},
    choices=_choices,
    licence="CC BY-NC-SA 4.0",
    source="arXiv 2209.09513; hub: lmms-lab-encoder/ScienceQA, ScienceQA-IMG, test, 2017 rows",
    published={
        "llava-1.5-7b": "66.8 (SIMA table 2; LLaVA model zoo), 67.97 and 66.02 measured by others",
        "sima-7b": "69.1 (SIMA table 2); 65.83 when measured again by Re-Align",
        "seva-7b": "67.5 at noise step 800 (SeVa README)",
    },
    papers={llava.PROTOCOL: Papers(("accuracy (LLaVA's pattern)",), max_new_tokens=1024)},
)
