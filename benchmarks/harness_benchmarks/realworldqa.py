r"""RealWorldQA: photographs of streets and homes, with options or a short answer (xAI, 2024).

A row of the hub's data set, cut short:

    {"question": "In which direction is the front wheel of the car on the right facing?\n\nA. Left
     \nB. Straight\nC. Right\nPlease answer directly with only the letter of the correct option
     and nothing else.", "answer": "C", "image": ...}

Its publisher gave no scorer. ``accuracy`` is lmms-eval's: it reads a letter in a dozen forms, and
wants any other answer to the letter, but for case and a full stop at the end.
"""

from __future__ import annotations

from harness.benchmark import Benchmark, Choices, Row, Task
from harness.records import Scored
from harness_benchmarks import _choices
from harness_benchmarks.parse import best_of, lettered


def _options(row: Row) -> dict[str, str]:
    """Return the options that stand in the question, if one of them is the answer."""
    found = _choices.in_lines(str(row.doc["question"]))
    return found if str(row.doc["answer"]).strip() in found else {}


def score(task: Task, row: Row, answer: str) -> Scored:
    """Take lmms-eval's value."""

    def strict(text: str) -> float:
        return float(task.score(row, text)["exact_match"])

    options, right = _options(row), str(row.doc["answer"]).strip()
    if options:
        return _choices.read(answer, options, right, strict(answer))
    value = strict(answer)
    lenient = best_of(answer, [right], strict, value)
    return Scored({"strict": value, "lenient": lenient, "unparsed": 0.0})


def _lettered(row: Row) -> Choices:
    options = tuple(_options(row))
    return lettered(options, str(row.doc["answer"]).strip()) if options else Choices((), 0)


BENCHMARK = Benchmark(
    name="realworldqa",
    title="RealWorldQA",
    task="realworldqa/realworldqa.yaml",
    score=score,
    columns=_choices.columns(),
    choices=_lettered,
    licence="CC BY-ND 4.0",
    source="x.ai/blog/grok-1.5v; hub: lmms-lab-encoder/RealWorldQA, split test, 765 rows",
)
