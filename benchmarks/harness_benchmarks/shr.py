"""SHR, sentence-level hallucination ratio: sentences of a description that err (arXiv 2311.16839).

A row in the form that ``tasks/shr.yaml`` reads, cut short:

    {"question_id": "2324501", "facts": ["a man riding a wave", "the board is white", ...],
     "image": ...}

``facts`` are Visual Genome's region descriptions of the image and the facts that HA-DPO adds. The
official protocol describes with five beams, and a language model at temperature 0.7 calls each
sentence right or hallucinated; here decoding is greedy as everywhere. The built-in grader calls a
sentence hallucinated when one of its clauses says more than any single fact does. That is strict
against free paraphrase, so its level means little; a change in it, the same rule on both sides,
means more. Without facts there is no verdict.
"""

from __future__ import annotations

from pathlib import Path

from harness.benchmark import Benchmark, Scored
from harness.columns import mean_of, ratio_of
from harness.lmms import Row, Task
from harness_benchmarks import grader


def score(task: Task, row: Row, answer: str) -> Scored:
    """Count sentences and those with an unsupported clause."""
    facts = [str(fact) for fact in row.doc["facts"]]
    said = grader.sentences(answer)
    found = [grader.unsupported(sentence, facts) for sentence in said]
    if not any(map(grader.words, facts)):
        nothing = dict.fromkeys(("sentences", "hallucinated", "any"))
        return Scored(nothing, judge=grader.NAME, verdict="no facts are known")
    wrong = [clauses for clauses in found if clauses]
    told = "; ".join(clause for clauses in wrong for clause in clauses)
    return Scored(
        {
            "sentences": float(len(said)),
            "hallucinated": float(len(wrong)),
            "any": float(bool(wrong)),
        },
        judge=grader.NAME,
        verdict=f"not supported: {told}" if told else "all supported",
    )


BENCHMARK = Benchmark(
    name="shr",
    title="SHR",
    task=str(Path(__file__).parent / "tasks" / "shr.yaml"),
    score=score,
    columns=(
        ratio_of("hallucinated", "sentences", name="SHR", higher_is_better=False, primary=True),
        mean_of("any", name="descriptions with an error", higher_is_better=False),
    ),
    judge=grader.NAME,
    licence="Apache-2.0 (annotations, HA-DPO); images: Visual Genome, CC BY 4.0",
    source="arXiv 2311.16839; github.com/opendatalab/HA-DPO, 200 images of Visual Genome",
    published={
        "llava-1.5-7b": "36.7 (HA-DPO; SeVa table): GPT-4 judges",
        "seva-7b": "34.9 at noise step 800, 32.7 at step 500 (SeVa README)",
    },
)
