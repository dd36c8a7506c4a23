"""MMBench: multiple choice, each question asked with its options in every rotation (2307.06281).

A row of the hub's data set, cut short; the rotations have indices larger by a million each:

    {"index": 241, "question": "Identify the question that Madelyn and Tucker's experiment can best
     answer.", "hint": "The passage below describes an experiment. ...", "answer": "A", "A": "Does
     Madelyn's snowboard slide down a hill in less time when ...", "B": "...", "C": "nan", "D":
     "nan", "category": "identity_reasoning", "source": "scienceqa", "L2-category":
     "attribute_reasoning", "split": "dev", "image": ...}

A question counts when all its rotations are right. Which letter an answer means is read by
lmms-eval's own inference; where that fails, the official protocol asks a language model (and
lmms-eval draws a letter at random when that fails too). Here the built-in grader reads it, and an
answer it cannot read has no verdict and is missing; a judge may say that it means no option, which
is wrong. ``static`` is the judge-free rule of lmms-eval:
what its patterns cannot read is wrong, and the text of an option that is not there is "nan", which
a banana holds. It is kept as it is, to be compared with published figures; every other reading
leaves such options out. ``vanilla`` counts each question once, in the order of its options that
its authors gave it. Under the protocol llava-1.5 a question is worded as in LLaVA's script, with
its hint on a line of its own; ``harness data convert mmbench`` makes the rows that LLaVA's
evaluation asks, those of 2023-07-12.
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
    Papers,
    Row,
    Rubric,
    Task,
    all_of,
    has,
    judge_prompt,
    mean_of,
    ratio_of,
    together,
)
from harness.records import Sample, Scored
from harness_benchmarks import grader, llava
from harness_benchmarks.convert_mmbench import OFFICIAL, OFFICIAL_CN
from harness_benchmarks.parse import letter, lettered
from harness_benchmarks.reading import only_letter

ROTATION = 1_000_000
"""Added to a question's index for each rotation of its options."""
NEITHER = "Z"
"""What a judge says when an answer means none of the options."""

_INTRO = (
    "Say which option of a multiple-choice question an answer means: the one that is closest to "
    "it in meaning, whether or not it is the right one. For example, with the options 'A. teddy "
    "bear' and 'B. rabbit', the answer 'a cute teddy bear' means A and the answer 'spider' means "
    "none."
)
_FORM = f"Reply with the letter of that option alone, or with {NEITHER} if it means none of them."


def _options(doc: Mapping[str, Any]) -> Mapping[str, str]:
    texts = {key: doc.get(key) for key in "ABCDE"}
    return {key: str(text) for key, text in texts.items() if text and str(text) != "nan"}


def score(task: Task, row: Row, answer: str) -> Scored:
    """Score one rotation."""
    import pandas

    item = task.score(row, answer)["gpt_eval_score"]
    evaluator = task.helper("mmbench_evaluator")
    right = str(row.doc["answer"])
    table = pandas.DataFrame([item])
    static = evaluator.eval_sub_data(table, {item["index"]: right}, static_only=True)
    said = _by_rule(task, row, answer) or letter(answer, _options(row.doc))
    return Scored(
        {
            "first": float(int(row.doc["index"]) < ROTATION),
            "static": float(static),
            "judged": None if said is None else float(said == right),
        },
        judge=grader.NAME,
        verdict=f"read as {said}" if said else "no letter can be read",
    )


def ask(task: Task, row: Row, answer: str) -> JudgePrompt | None:
    """Ask which letter is meant, where lmms-eval's rules cannot tell."""
    if _by_rule(task, row, answer):
        return None
    options = "\n".join(f"{key}. {text}" for key, text in _options(row.doc).items())
    question = str(row.doc["question"])
    text = judge_prompt(_INTRO, _FORM, question=question, options=options, answer=answer)
    return JudgePrompt(text, max_tokens=16)


def read(task: Task, row: Row, answer: str, reply: str) -> Scored:
    """Read one letter that is the whole reply."""
    said = _by_rule(task, row, answer)
    verdict = f"read as {said} by rule"
    if not said:
        verdict = reply
        said = only_letter(reply, (*_options(row.doc), NEITHER))
    return Scored({"judged": float(said == str(row.doc["answer"]))}, verdict=verdict)


def _by_rule(task: Task, row: Row, answer: str) -> str:
    absent = dict.fromkeys("ABCD", float("nan"))
    item = {**absent, **_options(row.doc), "prediction": answer}
    return str(task.helper("mmbench_evaluator").prefetch_answer(item) or "")


def _anchor(name: str, answer: str, low: float, high: float) -> Anchor:
    doc = {
        "index": 0,
        "question": "What is the main thing in the picture?",
        "answer": "B",
        "A": "a bicycle",
        "B": "a sailing boat",
        "C": "a train",
        "D": "a horse",
    }
    return Anchor(name, doc, answer, "judged", low, high)


RUBRIC = Rubric(
    version="mmbench 1",
    ask=ask,
    read=read,
    metrics=lambda row: ("judged",),
    vote=True,
    anchors=(
        _anchor("in other words", "It shows a yacht with white sails on the sea.", 1, 1),
        _anchor("another", "It shows a locomotive that pulls several carriages.", 0, 0),
        _anchor("none", "It shows a bowl of fruit on a table.", 0, 0),
    ),
    span=1.0,
)


def _choices(row: Row) -> Choices:
    return lettered(tuple(_options(row.doc)), str(row.doc["answer"]))


def _vanilla(rows: Sequence[Sample]) -> tuple[float, float] | None:
    """Count a question in its first order; its rotations count nothing."""
    first, judged = (rows[0].scores.get(name) for name in ("first", "judged"))
    if first == 0:
        return (0.0, 0.0)
    return None if first is None or judged is None else (judged, 1.0)


def _in_first_order(row: Sample) -> bool | None:
    known = has("first")(row)
    return row.scores["first"] == 1 if known else known


def _worded(short: str) -> Callable[[Row], str]:
    """Return LLaVA's wording with this request for a letter."""

    def question(row: Row) -> str:
        hint = str(row.doc.get("hint") or "nan")
        lines = [] if hint.lower() in ("nan", "none") else [hint]
        lines.append(str(row.doc["question"]))
        lines += [f"{key}. {text}" for key, text in _options(row.doc).items()]
        return "\n".join([*lines, short])

    return question


_COLUMNS = (
    all_of("judged", group=together("question"), name="circular accuracy", primary=True),
    all_of("static", group=together("question"), name="static circular accuracy"),
    all_of("logit", group=together("question"), name="logit circular accuracy"),
    mean_of("static", name="plain accuracy"),
    Metric(
        "vanilla accuracy",
        _vanilla,
        ratio_of("judged", "first").value,
        applies=_in_first_order,
    ),
)


def _units(doc: Mapping[str, Any]) -> Mapping[str, str]:
    return {"question": str(int(doc["index"]) % ROTATION)}


def _groups(doc: Mapping[str, Any]) -> Mapping[str, str]:
    return {"ability": str(doc.get("L2-category", ""))}


EN = Benchmark(
    name="mmbench",
    title="MMBench",
    task="mmbench/mmbench_en_dev.yaml",
    score=score,
    columns=_COLUMNS,
    groups=_groups,
    units=_units,
    choices=_choices,
    max_new_tokens=256,
    judge=grader.NAME,
    rubric=RUBRIC,
    source_files=OFFICIAL,
    licence="Apache-2.0 (images under their own licences)",
    source="arXiv 2307.06281; hub: lmms-lab-encoder/MMBench, config en, split dev, 4329 rows",
    published={
        "llava-1.5-7b": "64.3 (SIMA table 2; LLaVA model zoo); a language model reads letters",
        "sima-7b": "64.9 (SIMA table 2)",
        "seva-7b": "65.6 at noise step 800 (SeVa README)",
    },
    papers={
        llava.PROTOCOL: Papers(
            ("circular accuracy",),
            _worded("Answer with the option's letter from the given choices directly."),
            max_new_tokens=1024,
        )
    },
)
CN = Benchmark(
    name="mmbench_cn",
    title="MMBench-CN",
    task="mmbench/mmbench_cn_dev.yaml",
    score=score,
    columns=_COLUMNS,
    groups=_groups,
    units=_units,
    choices=_choices,
    judge=grader.NAME,
    rubric=RUBRIC,
    source_files=OFFICIAL_CN,
    licence="Apache-2.0 (images under their own licences)",
    source="arXiv 2307.06281; hub: lmms-lab-encoder/MMBench, config cn, split dev, 4329 rows",
    published={
        "llava-1.5-7b": "58.3 (LLaVA model zoo); 55.8 with lmms-eval (its issue 139)",
        "seva-7b": "59.2 at noise step 800 (SeVa README)",
    },
    papers={
        llava.PROTOCOL: Papers(
            ("circular accuracy",), _worded("请直接回答选项字母。"), max_new_tokens=1024
        )
    },
)
