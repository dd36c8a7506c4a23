"""MathVista, testmini: mathematics in figures, with options or a number (arXiv 2310.02255).

A row of the hub's data set, cut short:

    {"pid": "1", "question": "When a spring does work on an object, we cannot find the work by ...",
     "choices": null, "unit": null, "precision": 1.0, "answer": "1.2", "question_type": "free_form",
     "answer_type": "float", "metadata": {"category": "math-targeted-vqa", "task": "textbook
     question answering", ...}, "query": "Hint: Please answer ...", "decoded_image": ...}

It is asked in the authors' wording, the column ``query``. Their scorer takes the result out of what
the model wrote, brings it into the form of the reference (an option's text, a whole number, or a
number to so many decimals) and compares. An answer that is an option or a number by itself is taken
as it is; for any other a language model is asked, by the authors and by ``--judge`` here, in our
words. Without a judge the built-in reader takes the one letter or option that the answer names, or
its last number or list; where there is none, there is no verdict, and the row is missing. The
authors take a result that is no option for the option of the least edit distance; here a judge's
reply of that kind is refused, and one that finds no result is wrong.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.benchmark import (
    Anchor,
    Benchmark,
    Choices,
    JudgePrompt,
    Row,
    Rubric,
    Task,
    UnparsableReply,
    has,
    judge_prompt,
    mean_of,
)
from harness.records import Scored
from harness_benchmarks import _choices, grader
from harness_benchmarks.parse import letter
from harness_benchmarks.reading import only_line

NOTHING = "none"
"""What a judge says of an answer that gives no result."""

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*(?:\.\d+)?")
_LIST = re.compile(r"\[[^\[\]]*\]")
_INTRO = (
    "Take the final result out of an answer to a mathematical question; do not solve the question "
    "and do not judge the result. If there are options, the result is the letter of the option "
    "that the answer takes; else it is the number or list that the answer arrives at, in digits "
    "and without a unit. For example, the result of 'The two sides add up to 14 cm.' is 14."
)
_FORM = f"Reply with the result alone, or with {NOTHING} if the answer has none."


def _options(doc: Mapping[str, Any]) -> dict[str, str]:
    return _choices.by_letter(doc["choices"] or ())


def _by_itself(doc: Mapping[str, Any], answer: str) -> str:
    """Return an answer that needs no extraction: an option, its letter, or a number."""
    said, options = answer.strip(), _options(doc)
    if options:
        plain = said.strip("().")
        return said if said in options.values() else plain if plain in options else ""
    try:
        kinds = {"integer": int, "float": float}
        kind = kinds.get(str(doc["answer_type"]))
        return "" if kind is None else str(kind(said))
    except ValueError:
        return ""


def _extracted(doc: Mapping[str, Any], answer: str) -> str:
    """Take a result out of an answer by rules; empty where there is none."""
    said = _by_itself(doc, answer)
    if said:
        return said
    options = _options(doc)
    if options:
        return letter(answer, options) or ""
    if doc["answer_type"] == "list":
        return "".join(_LIST.findall(answer)[-1:])
    return "".join(_NUMBER.findall(answer)[-1:]).replace(",", "")


def _right(doc: Mapping[str, Any], result: str) -> float:
    """Bring a result into the reference's form, and compare; one beyond all numbers is wrong."""
    form, options = doc["answer_type"], _options(doc)
    if options:
        result = options.get(result, result)
    elif form in ("integer", "float"):
        number = float(result)
        if math.isinf(number):
            return 0.0
        digits = int(doc["precision"] or 0)
        result = str(int(number) if form == "integer" else round(number, digits))
    return float(result.strip() == str(doc["answer"]).strip())


def score(task: Task, row: Row, answer: str) -> Scored:
    """Read the result by rules, and compare it."""
    result = _extracted(row.doc, answer)
    return Scored(
        {"right": _right(row.doc, result) if result else None},
        judge=grader.NAME,
        verdict=f"read as {result}" if result else "no result can be read",
    )


def ask(task: Task, row: Row, answer: str) -> JudgePrompt | None:
    """Ask for the result, where the answer is none by itself."""
    if _by_itself(row.doc, answer):
        return None
    options = "\n".join(f"({key}) {text}" for key, text in _options(row.doc).items())
    blocks = {"question": str(row.doc["question"])} | ({"options": options} if options else {})
    return JudgePrompt(judge_prompt(_INTRO, _FORM, **blocks, answer=answer), max_tokens=64)


def read(task: Task, row: Row, answer: str, reply: str) -> Scored:
    """Compare the result that the judge took out; one that has not the wanted form is refused."""
    result = _by_itself(row.doc, answer)
    if result:
        return Scored({"right": _right(row.doc, result)}, verdict=f"read as {result} by rule")
    said = only_line(reply, "a result").rstrip(".").strip()
    if said.lower() == NOTHING:
        return Scored({"right": 0.0}, verdict=reply)
    if _options(row.doc):
        result = _by_itself(row.doc, said)
    else:
        listed = row.doc["answer_type"] == "list"
        fits = (_LIST if listed else _NUMBER).fullmatch(said)
        result = "" if fits is None else said if listed else said.replace(",", "")
    if not result:
        raise UnparsableReply(f"the judge's result is no {row.doc['answer_type']}: {said[:80]!r}")
    return Scored({"right": _right(row.doc, result)}, verdict=reply)


def _anchor(name: str, said: str, mark: float, **doc: Any) -> Anchor:
    number = {
        "question": "How many apples are left?",
        "choices": None,
        "answer": "14",
        "question_type": "free_form",
        "answer_type": "integer",
        "precision": None,
    }
    return Anchor(name, {**number, **doc}, said, "right", mark, mark)


_OPTIONS: Mapping[str, Any] = {
    "choices": ["2 cm", "4 cm", "8 cm"],
    "answer": "4 cm",
    "question_type": "multi_choice",
    "answer_type": "text",
}
RUBRIC = Rubric(
    version="mathvista 1",
    ask=ask,
    read=read,
    metrics=lambda row: ("right",),
    vote=True,
    anchors=(
        _anchor("right", "There were 20 and 6 were eaten, so fourteen apples are left.", 1.0),
        _anchor("wrong", "There were 20 and 8 were eaten, so 12 apples are left.", 0.0),
        _anchor("none", "It cannot be told from the picture.", 0.0),
        _anchor("option", "Half of eight is four, so the side has 4 centimetres.", 1.0, **_OPTIONS),
    ),
    span=1.0,
)


def _groups(doc: Mapping[str, Any]) -> Mapping[str, str]:
    about = doc["metadata"] or {}
    named = {name: str(about.get(name, "")) for name in ("category", "task", "context")}
    return {**named, "question type": str(doc["question_type"])}


def _lettered(row: Row) -> Choices:
    options = _options(row.doc)
    if not options:
        return Choices((), 0)
    return Choices(tuple(options), list(options.values()).index(str(row.doc["answer"])))


BENCHMARK = Benchmark(
    name="mathvista",
    title="MathVista (testmini)",
    task=str(Path(__file__).parent / "tasks" / "mathvista.yaml"),
    score=score,
    columns=(
        mean_of("right", name="accuracy", primary=True),
        mean_of("logit", name="logit accuracy", applies=has("logit")),
    ),
    groups=_groups,
    choices=_lettered,
    judge=grader.NAME,
    rubric=RUBRIC,
    licence="CC BY-SA 4.0 (images under their own licences)",
    source="arXiv 2310.02255; hub: AI4Math/MathVista, split testmini, 1000 rows",
)
