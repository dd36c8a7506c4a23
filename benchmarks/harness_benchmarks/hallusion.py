"""HallusionBench: yes/no questions about figures and their altered twins (arXiv 2310.14566).

A row of the hub's data set, cut short:

    {"category": "VD", "subcategory": "illusion", "set_id": "0", "figure_id": "0", "question_id":
     "0", "visual_input": "1", "question": "Is the right orange circle the same size as the left
     orange circle?", "gt_answer": "1", "gt_answer_details": "The right orange circle is the same
     size as the left orange circle.", "image": ...}

``aAcc``: answers that are right; ``qAcc``: questions that are right on every figure they are asked
of; ``fAcc``: figures about which every question is right. Officially GPT-4 compares an answer with
``gt_answer_details`` and calls it correct, incorrect or unclear; unclear is wrong, except where the
question is asked without its figure (category VS, figure 0), so that not to know is right. A judge
is asked for the same here, in our own words. The built-in grader reads yes or no from the answer
and compares it with the label; an answer it cannot read has no verdict and is missing. lmms-eval
reuses the judge's verdicts of whichever model was judged before in the same folder, and counts a
judge that fails as unclear; nothing of that is used here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from harness.benchmark import (
    Anchor,
    Benchmark,
    Choices,
    JudgePrompt,
    Metric,
    Row,
    Rubric,
    Task,
    UnparsableReply,
    all_of,
    judge_prompt,
    mean_of,
    together,
)
from harness.records import Sample, Scored
from harness_benchmarks import grader
from harness_benchmarks.parse import yes_no
from harness_benchmarks.reading import only_word

_WORDS = ("correct", "incorrect", "unclear")
_INTRO = (
    "Compare an answer with the reference answer to the same question about a figure. It is "
    "correct if it does not contradict the reference, incorrect if it does, and unclear if it does "
    "not say what it takes to be true."
)
_FORM = "Reply with one word alone: correct, incorrect or unclear."


def score(task: Task, row: Row, answer: str) -> Scored:
    """Compare what the answer says with the label."""
    doc, said = row.doc, yes_no(answer)
    right = "yes" if str(doc["gt_answer"]) == "1" else "no"
    return Scored(
        {
            "right": None if said is None else float(said == right),
            "says_yes": None if said is None else float(said == "yes"),
            "drawn": float(_has_figure(doc)),
        },
        judge=grader.NAME,
        verdict=f"read as {said}" if said else "neither yes nor no can be read",
    )


def _has_figure(doc: Mapping[str, Any]) -> bool:
    return not (doc["category"] == "VS" and str(doc["figure_id"]) == "0")


def ask(task: Task, row: Row, answer: str) -> JudgePrompt:
    """Ask for one word, given question, reference and answer."""
    reference = str(row.doc["gt_answer_details"] or "")
    if not grader.words(reference):
        raise UnparsableReply("there is no reference answer")
    question = str(row.doc["question"])
    text = judge_prompt(_INTRO, _FORM, question=question, reference=reference, answer=answer)
    return JudgePrompt(text, max_tokens=16)


def read(task: Task, row: Row, answer: str, reply: str) -> Scored:
    """Read the word; without a figure, an answer that leaves the question open is right."""
    said = only_word(reply, _WORDS)
    right = said == "correct" or (said == "unclear" and not _has_figure(row.doc))
    return Scored({"right": float(right)}, verdict=reply)


def _anchor(name: str, answer: str, mark: float, category: str = "VD") -> Anchor:
    doc = {
        "category": category,
        "figure_id": "0",
        "question": "According to the chart, were more apples sold in May than in June?",
        "gt_answer_details": "More apples were sold in June than in May.",
    }
    return Anchor(name, doc, answer, "right", mark, mark)


RUBRIC = Rubric(
    version="hallusion 1",
    ask=ask,
    read=read,
    metrics=lambda row: ("right",),
    vote=True,
    anchors=(
        _anchor("right", "No, June was the better month for apples.", 1.0),
        _anchor("wrong", "Yes, more apples were sold in May.", 0.0),
        _anchor("says nothing", "I am not sure which month is meant.", 0.0),
        _anchor("no figure", "There is no chart, so I cannot answer.", 1.0, category="VS"),
    ),
    span=1.0,
)


def _drawn(
    count: Callable[[Sequence[Sample]], tuple[float, ...] | None],
) -> Callable[[Sequence[Sample]], tuple[float, ...] | None]:
    """Leave out questions that are asked without their figure."""

    def counted(rows: Sequence[Sample]) -> tuple[float, ...] | None:
        return count(rows) if rows[0].scores.get("drawn") else (0.0, 0.0)

    return counted


def _figures() -> Metric:
    column = all_of("right", group=together("figure"), name="fAcc")
    return Metric("fAcc", _drawn(column.count), column.value, group=column.group, mean=False)


def units(doc: Mapping[str, Any]) -> Mapping[str, str]:
    """Name the question, over all its figures, and the figure, with all its questions."""
    place = f"{doc['category']} {doc['subcategory']} {doc['set_id']}"
    return {name: f"{place} {name} {doc[f'{name}_id']}" for name in ("question", "figure")}


def _choices(row: Row) -> Choices:
    return Choices(("Yes", "No"), 0 if str(row.doc["gt_answer"]) == "1" else 1)


BENCHMARK = Benchmark(
    name="hallusion",
    title="HallusionBench",
    task="hallusion_bench/hallusion_bench_image.yaml",
    score=score,
    columns=(
        mean_of("right", name="aAcc", primary=True),
        all_of("right", group=together("question"), name="qAcc"),
        _figures(),
        mean_of("logit", name="logit aAcc"),
        mean_of("says_yes", name="says yes", higher_is_better=None),
    ),
    groups=lambda doc: {"subcategory": f"{doc['category']} {doc['subcategory']}"},
    units=units,
    choices=_choices,
    judge=grader.NAME,
    rubric=RUBRIC,
    licence="BSD-3-Clause",
    source="arXiv 2310.14566; hub: lmms-lab-encoder/HallusionBench, split image, 951 rows",
)
