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

from harness.benchmark import (
    Anchor,
    Benchmark,
    JudgePrompt,
    Row,
    Rubric,
    Task,
    UnparsableReply,
    judge_prompt,
    mean_of,
)
from harness.records import Scored
from harness_benchmarks import grader
from harness_benchmarks.convert_mmhal import OFFICIAL
from harness_benchmarks.reading import named_number

HIGHEST = 6.0
"""The best mark; a judge gives whole numbers from 0."""

_INTRO = (
    "Rate an answer to a question about an image for two things: how informative it is, and "
    "whether it hallucinates, that is, claims something that the image does not show. You do not "
    "see the image; the block 'content' lists what is in it, and 'reference' is a right answer. "
    "What is well known besides, or follows from these, is not a hallucination.\n"
    "6: very informative, with good analysis, no hallucination\n"
    "5: very informative, no hallucination\n"
    "4: somewhat informative, no hallucination\n"
    "3: not informative, no hallucination\n"
    "2: very informative, with hallucination\n"
    "1: somewhat informative, with hallucination\n"
    "0: not informative, with hallucination"
)
_FORM = (
    "Explain your rating in at most three sentences, and then end with one line of the form "
    "'Rating: N', where N is a whole number from 0 to 6."
)


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


def ask(task: Task, row: Row, answer: str) -> JudgePrompt:
    """Ask for one rating, given the image's content, question, reference and answer."""
    reference, content = str(row.doc["gt_answer"] or ""), row.doc["image_content"]
    if not grader.words(reference):
        raise UnparsableReply("there is no reference answer")
    blocks = {
        "content": content if isinstance(content, str) else ", ".join(map(str, content or ())),
        "question": str(row.doc["question"]),
        "reference": reference,
        "answer": answer,
    }
    return JudgePrompt(judge_prompt(_INTRO, _FORM, **blocks), max_tokens=512)


def read(task: Task, row: Row, answer: str, reply: str) -> Scored:
    """Read the one rating; below 3 the answer hallucinates."""
    rating = named_number(reply, "rating", 0, int(HIGHEST))
    scores = {"score": float(rating), "hallucinated": float(rating < 3)}
    return Scored(scores, verdict=reply)


def _anchor(name: str, answer: str, low: float, high: float) -> Anchor:
    doc = {
        "question": "What color is the umbrella of the woman?",
        "gt_answer": "The woman has no umbrella; she holds a blue bag.",
        "image_content": ["Woman", "Street", "Blue bag"],
    }
    return Anchor(name, doc, answer, "score", low, high)


RUBRIC = Rubric(
    version="mmhal 1",
    ask=ask,
    read=read,
    metrics=lambda row: ("score", "hallucinated"),
    anchors=(
        _anchor("right", "The woman has no umbrella; she holds a blue bag.", 4, 6),
        _anchor("wrong", "Her umbrella is red with white dots.", 0, 2),
        _anchor(
            "wrong at length",
            "The woman holds a large red umbrella, and a small dog in a "
            "yellow coat walks beside her past a fountain.",
            0,
            2,
        ),
        _anchor("says nothing", "I cannot tell.", 3, 3),
    ),
    span=HIGHEST,
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
    rubric=RUBRIC,
    source_files=OFFICIAL,
    licence="Apache-2.0 (images: Open Images, CC BY 2.0)",
    source="arXiv 2309.14525; hub: Shengcao1006/MMHal-Bench, 96 rows",
    published={
        "llava-1.5-7b": "2.04 (SIMA table 1), 2.80 (nSFT): language models judge",
        "sima-7b": "2.30 (SIMA table 1)",
    },
)
