"""MM-Vet: open questions that need several capabilities at once (arXiv 2308.02490).

A row of the hub's data set, cut short:

    {"question_id": "v1_0", "question": "What is x in the equation?", "answer": "-1<AND>-5",
     "capability": "ocr,math", "image": ...}

The official score is a language model's, from 0 to 1 in tenths. Without a judge the built-in
grader gives it; its name stands beside the figure, and its figures compare with nothing published.
lmms-eval asks with temperature 0.2 and then samples; both arms are asked greedily here.
"""

from __future__ import annotations

from harness.benchmark import Benchmark, Scored
from harness.columns import mean_of
from harness.lmms import Row, Task
from harness_benchmarks import grader


def score(task: Task, row: Row, answer: str) -> Scored:
    """Grade one answer against the reference."""
    value, verdict = grader.grade(answer, str(row.doc["answer"]))
    return Scored({"score": value}, judge=grader.NAME, verdict=verdict)


BENCHMARK = Benchmark(
    name="mmvet",
    title="MM-Vet",
    task="mmvet/mmvet.yaml",
    score=score,
    columns=(mean_of("score", primary=True),),
    groups=lambda doc: {"capability": str(doc["capability"])},
    judge=grader.NAME,
    licence="CC-BY-NC 4.0 (images under their own licences)",
    source="arXiv 2308.02490; hub: lmms-lab-encoder/MMVet, split test, 218 rows",
    published={
        "llava-1.5-7b": "30.5 (SIMA table 2), 31.1 (LLaVA model zoo), 31.6 (Re-Align): GPT-4 judges"
    },
)
