"""MM-Vet: open questions that need several capabilities at once (arXiv 2308.02490).

A row of the hub's data set, cut short:

    {"question_id": "v1_0", "question": "What is x in the equation?", "answer": "-1<AND>-5",
     "capability": "ocr,math", "image": ...}

The official score is a language model's, from 0 to 1 in tenths. Without a judge the built-in
grader gives it; its name stands beside the figure, and its figures compare with nothing published.
The judge is asked for the same number, in our own words. In lmms-eval a judge that fails scores 0.
lmms-eval asks with temperature 0.2 and then samples; both arms are asked greedily here. lmms-eval
puts a request to think step by step before the question; LLaVA's file, and so the protocol
llava-1.5, has the question alone.
"""

from __future__ import annotations

from harness.benchmark import (
    Anchor,
    Benchmark,
    JudgePrompt,
    Papers,
    Row,
    Rubric,
    Task,
    UnparsableReply,
    judge_prompt,
    mean_of,
)
from harness.records import Scored
from harness_benchmarks import grader, llava
from harness_benchmarks.reading import only_number

_INTRO = (
    "Compare an answer with the reference answer to the same question, and say how right it is: "
    "0.0 is totally wrong, 1.0 totally right, and the tenths between are for partly right. Where "
    "the reference joins parts with <AND>, all of them are needed, and each missing one costs its "
    "share; where it joins them with <OR>, any one of them is enough. Example: against the "
    "reference '-1 <AND> -5', the answer 'x = -1' is 0.5 and 'x = -1 or x = -5' is 1.0."
)
_FORM = "Reply with that number alone, such as 0.5, and with nothing else."


def score(task: Task, row: Row, answer: str) -> Scored:
    """Grade one answer against the reference."""
    value, verdict = grader.grade(answer, str(row.doc["answer"]))
    return Scored({"score": value}, judge=grader.NAME, verdict=verdict)


def ask(task: Task, row: Row, answer: str) -> JudgePrompt:
    """Ask for one number, given question, reference and answer."""
    reference = str(row.doc["answer"]).replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    if not grader.words(reference):
        raise UnparsableReply("there is no reference answer")
    question = str(row.doc["question"])
    text = judge_prompt(_INTRO, _FORM, question=question, reference=reference, answer=answer)
    return JudgePrompt(text, max_tokens=32)


def read(task: Task, row: Row, answer: str, reply: str) -> Scored:
    """Read one number from 0 to 1 that is the whole reply."""
    return Scored({"score": only_number(reply, 0.0, 1.0)}, verdict=reply)


def _anchor(
    name: str, question: str, reference: str, answer: str, low: float, high: float
) -> Anchor:
    return Anchor(name, {"question": question, "answer": reference}, answer, "score", low, high)


_EQUATION = "What is x in the equation?", "-1<AND>-5"
RUBRIC = Rubric(
    version="mmvet 1",
    ask=ask,
    read=read,
    metrics=lambda row: ("score",),
    anchors=(
        _anchor("right", *_EQUATION, "x = -1 or x = -5", 0.9, 1.0),
        _anchor("half", *_EQUATION, "x = -1", 0.3, 0.7),
        _anchor("wrong", *_EQUATION, "x = 3", 0.0, 0.1),
        _anchor(
            "other words",
            "What is the sign for?",
            "no parking<OR>parking forbidden",
            "It tells drivers that parking is forbidden here.",
            0.9,
            1.0,
        ),
        _anchor("says nothing", "Which city is this?", "Lisbon", "I am not sure.", 0.0, 0.1),
    ),
    span=1.0,
)
BENCHMARK = Benchmark(
    name="mmvet",
    title="MM-Vet",
    task="mmvet/mmvet.yaml",
    score=score,
    columns=(mean_of("score", primary=True),),
    groups=lambda doc: {"capability": str(doc["capability"])},
    judge=grader.NAME,
    rubric=RUBRIC,
    licence="CC-BY-NC 4.0 (images under their own licences)",
    source="arXiv 2308.02490; hub: lmms-lab-encoder/MMVet, split test, 218 rows",
    published={
        "llava-1.5-7b": "30.5 (SIMA table 2), 31.1 (LLaVA model zoo), 31.6 (Re-Align): GPT-4 judges"
    },
    papers={llava.PROTOCOL: Papers(("score",), lambda row: str(row.doc["question"]))},
)
