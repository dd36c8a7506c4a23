"""LLaVA-Bench (in the wild): 60 open questions about 24 images (arXiv 2304.08485).

A row of the hub's data set, cut short:

    {"question_id": 0, "question": "What is the name of this famous sight in the photo?",
     "caption": "An aerial view of Diamond Head in the Hawaiian Islands.", "gpt_answer": "The
     famous sight in the photo is Diamond Head.", "category": "conv", "image_id": "001",
     "image": ...}

A language model gives marks from 1 to 10 to GPT-4's text-only answer and to the model's; the score
is the ratio of the two means, in percent. In lmms-eval a judge that fails counts as -1 for both,
which comes to 100 points. The built-in grader gives the reference 10 and the answer 1 plus nine
times the F1 of their words; a row without a reference answer is not judged.
"""

from __future__ import annotations

from functools import partial

from harness.benchmark import (
    Anchor,
    Benchmark,
    JudgePrompt,
    Metric,
    Row,
    Rubric,
    Task,
    UnparsableReply,
    judge_prompt,
    ratio_of,
)
from harness.records import Sample, Scored
from harness_benchmarks import grader
from harness_benchmarks.reading import first_line_numbers

CATEGORIES = ("conv", "detail", "complex")
LOWEST, HIGHEST = 1.0, 10.0
_INTRO = (
    "Two assistants answered a question about an image. You do not see the image; the block "
    "'context' describes it. The first assistant's response stands in the block 'reference', the "
    "second one's in the block 'answer'. Give each an overall mark from 1 to 10 for helpfulness, "
    "relevance, accuracy and level of detail; 10 is the best. The order in which they stand must "
    "not matter."
)
_FORM = (
    "Reply with the two marks on the first line, for the first and for the second assistant, "
    "parted by a space and with nothing else on that line. You may explain them in at most three "
    "sentences below it."
)


def score(task: Task, row: Row, answer: str) -> Scored:
    """Mark the reference and the answer from 1 to 10, under the row's category and in all."""
    like = grader.overlap(answer, str(row.doc["gpt_answer"]))
    own = None if like is None else LOWEST + (HIGHEST - LOWEST) * like
    reference = None if like is None else HIGHEST
    verdict = "no reference answer" if like is None else f"F1 of the words: {like:.2f}"
    return Scored(_scores(row, own, reference), judge=grader.NAME, verdict=verdict)


def ask(task: Task, row: Row, answer: str) -> JudgePrompt:
    """Ask for marks of the reference answer and of the examined one."""
    reference, caption = str(row.doc["gpt_answer"] or ""), row.doc["caption"]
    if not grader.words(reference):
        raise UnparsableReply("there is no reference answer")
    context = caption if isinstance(caption, str) else "\n".join(map(str, caption or ()))
    question = str(row.doc["question"])
    blocks = {"context": context, "question": question, "reference": reference, "answer": answer}
    return JudgePrompt(judge_prompt(_INTRO, _FORM, **blocks), max_tokens=512)


def read(task: Task, row: Row, answer: str, reply: str) -> Scored:
    """Read two marks from 1 to 10 on the first line."""
    reference, own = first_line_numbers(reply, 2, LOWEST, HIGHEST)
    return Scored(_scores(row, own, reference), verdict=reply)


def _scores(row: Row, own: float | None, reference: float | None) -> dict[str, float | None]:
    scores = {"model": own, "reference": reference}
    for category in CATEGORIES:
        here = row.doc["category"] == category
        scores[f"{category}_model"] = own if here else 0.0
        scores[f"{category}_reference"] = reference if here else 0.0
    return scores


def _judged(row: Row) -> tuple[str, ...]:
    category = str(row.doc["category"])
    return ("model", "reference", f"{category}_model", f"{category}_reference")


def _anchor(name: str, answer: str, low: float, high: float) -> Anchor:
    doc = {
        "question": "What is the dog doing?",
        "caption": "A brown dog jumps over a wooden fence in a green garden.",
        "gpt_answer": "The brown dog is jumping over a wooden fence in a garden.",
        "category": "conv",
    }
    return Anchor(name, doc, answer, "model", low, high)


RUBRIC = Rubric(
    version="llavabench 1",
    ask=ask,
    read=read,
    metrics=_judged,
    anchors=(
        _anchor("right", "The brown dog is jumping over a wooden fence in a garden.", 8, 10),
        _anchor("wrong", "A cat sleeps on a red sofa next to a lamp.", 1, 3),
        _anchor("short", "A dog is jumping.", 3, 9),
        _anchor("says nothing", "Sorry.", 1, 3),
    ),
    span=HIGHEST - LOWEST,
)


def _part(category: str) -> Metric:
    marks = f"{category}_model", f"{category}_reference"
    return ratio_of(*marks, name=category, applies=partial(_of_category, category))


def _of_category(category: str, row: Sample) -> bool:
    """Whether a row counts in a category; rows of earlier versions tell by their marks alone."""
    known = row.groups.get("category")
    return bool(row.scores.get(f"{category}_reference", 1)) if known is None else known == category


BENCHMARK = Benchmark(
    name="llavabench",
    title="LLaVA-Bench (in the wild)",
    task="llava-in-the-wild/llava-in-the-wild.yaml",
    score=score,
    columns=(
        ratio_of("model", "reference", name="all", primary=True),
        *map(_part, CATEGORIES),
    ),
    groups=lambda doc: {"category": str(doc["category"])},
    max_new_tokens=1024,
    judge=grader.NAME,
    rubric=RUBRIC,
    licence="CC BY-NC 4.0 (made with GPT-4; OpenAI's terms apply)",
    source="arXiv 2304.08485; hub: lmms-lab-encoder/llava-bench-in-the-wild, train, 60 rows",
    published={
        "llava-1.5-7b": "63.4 (SIMA table 2), 64.1 (Re-Align), 65.4 (LLaVA model zoo)",
        "sima-7b": "66.1 (SIMA table 2)",
        "seva-7b": "72.2 at noise step 800 (SeVa README)",
    },
)
