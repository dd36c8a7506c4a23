"""MMHal-Bench: questions that invite hallucination, in eight kinds (arXiv 2309.14525).

A row in the form that ``tasks/mmhal.yaml`` reads, cut short:

    {"question_id": "0", "question_type": "attribute", "question_topic": "vehicle", "question":
     "What color is the fire hydrant cap in the picture?", "gt_answer": "The fire hydrant cap in
     the picture is yellow.", "image_content": ["Building", "Fire hydrant"], "image_id":
     "1ac4e6eb6af0ccbe", "image": ...}

The official score is a language model's, from 0 to 6; below 3 the answer hallucinates. The
built-in grader gives six times its grade against the reference answer instead. Its figures compare
with nothing published; those differ by judge anyway.
"""

from __future__ import annotations

from pathlib import Path

from harness.benchmark import Benchmark, Scored
from harness.columns import mean_of
from harness.lmms import Row, Task
from harness_benchmarks import grader

HIGHEST = 6.0
"""The best mark; a judge gives whole numbers from 0."""


def score(task: Task, row: Row, answer: str) -> Scored:
    """Grade one answer from 0 to 6, and say whether it counts as hallucinating."""
    reference = str(row.doc["gt_answer"])
    if not grader.words(reference):
        return Scored(
            {"score": None, "hallucinated": None}, judge=grader.NAME, verdict="no reference answer"
        )
    grade, verdict = grader.grade(answer, reference)
    return Scored(
        {"score": HIGHEST * grade, "hallucinated": float(HIGHEST * grade < 3)},
        judge=grader.NAME,
        verdict=verdict,
    )


BENCHMARK = Benchmark(
    name="mmhal",
    title="MMHal-Bench",
    task=str(Path(__file__).parent / "tasks" / "mmhal.yaml"),
    score=score,
    columns=(
        mean_of("score", scale=1.0, high=HIGHEST, unit="marks", digits=2, primary=True),
        mean_of("hallucinated", name="hallucination rate", higher_is_better=False),
    ),
    groups=lambda doc: {"question type": str(doc["question_type"])},
    judge=grader.NAME,
    licence="Apache-2.0 (images: Open Images, CC BY 2.0)",
    source="arXiv 2309.14525; hub: Shengcao1006/MMHal-Bench (files, to be laid out), 96 rows",
    published={
        "llava-1.5-7b": "2.04 (SIMA table 1), 2.80 (nSFT): language models judge",
        "sima-7b": "2.30 (SIMA table 1)",
    },
)
