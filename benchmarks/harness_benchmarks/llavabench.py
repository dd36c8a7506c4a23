"""LLaVA-Bench (in the wild): 60 open questions about 24 images (arXiv 2304.08485).

A row of the hub's data set, cut short:

    {"question_id": 0, "question": "What is the name of this famous sight in the photo?",
     "caption": "An aerial view of Diamond Head in the Hawaiian Islands.", "gpt_answer": "The
     famous sight in the photo is Diamond Head.", "category": "conv", "image_id": "001",
     "image": ...}

A language model gives marks from 1 to 10 to GPT-4's text-only answer and to the model's; the score
is the ratio of the two means, in percent. In lmms-eval a judge that fails counts as -1 for both,
which comes to 100 points. The built-in grader gives the reference 10 and the answer 1 plus nine
times the F1 of their words; without a reference answer there is no verdict.
"""

from __future__ import annotations

from harness.benchmark import Benchmark, Scored
from harness.columns import Column, ratio_of
from harness.lmms import Row, Task
from harness_benchmarks import grader

CATEGORIES = ("conv", "detail", "complex")
LOWEST, HIGHEST = 1.0, 10.0


def score(task: Task, row: Row, answer: str) -> Scored:
    """Mark the reference and the answer from 1 to 10, under the row's category and in all."""
    like = grader.overlap(answer, str(row.doc["gpt_answer"]))
    own = None if like is None else LOWEST + (HIGHEST - LOWEST) * like
    reference = None if like is None else HIGHEST
    scores: dict[str, float | None] = {"model": own, "reference": reference}
    for category in CATEGORIES:
        here = row.doc["category"] == category
        scores[f"{category}_model"] = own if here else 0.0
        scores[f"{category}_reference"] = reference if here else 0.0
    verdict = "no reference answer" if like is None else f"F1 of the words: {like:.2f}"
    return Scored(scores, judge=grader.NAME, verdict=verdict)


def _part(category: str) -> Column:
    return ratio_of(f"{category}_model", f"{category}_reference", name=category)


BENCHMARK = Benchmark(
    name="llavabench",
    title="LLaVA-Bench (in the wild)",
    task="llava-in-the-wild/llava-in-the-wild.yaml",
    score=score,
    columns=(
        ratio_of("model", "reference", name="all", primary=True),
        *map(_part, CATEGORIES),
    ),
    max_new_tokens=1024,
    judge=grader.NAME,
    licence="CC BY-NC 4.0 (made with GPT-4; OpenAI's terms apply)",
    source="arXiv 2304.08485; hub: lmms-lab-encoder/llava-bench-in-the-wild, train, 60 rows",
    published={
        "llava-1.5-7b": "63.4 (SIMA table 2), 64.1 (Re-Align), 65.4 (LLaVA model zoo)",
        "sima-7b": "66.1 (SIMA table 2)",
        "seva-7b": "72.2 at noise step 800 (SeVa README)",
    },
)
