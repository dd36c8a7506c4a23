"""SEED-Bench: multiple choice about images and short videos, by letter (arXiv 2307.16125).

A row of the hub's data set, cut short (eight frames instead of one image in a video row):

    {"answer": "A", "choice_a": "One", "choice_b": "Two", "choice_c": "Three", "choice_d": "Four",
     "data_id": "1454426_2591111986", "data_type": "image", "question": "How many towels are in the
     image?", "question_id": "101669", "question_type_id": 5, "segment": [], "image": [...]}

``all`` is what SIMA's table calls SEED (58.6 for LLaVA-1.5-7B), ``image`` what SeVa's calls SEED-I
(65.7): two tasks under one name. lmms-eval takes the first character of an answer as its letter.
LLaVA's script wants the letter alone and shows one frame of a video, where the hub has eight.
"""

from __future__ import annotations

from collections.abc import Mapping

from harness.benchmark import Benchmark, Choices, Papers, Row, Task, has, mean_of, ratio_of
from harness.records import Sample, Scored
from harness_benchmarks import llava
from harness_benchmarks.parse import letter, lettered

_LETTERS = ("A", "B", "C", "D")


def _options(row: Row) -> Mapping[str, str]:
    return {key: str(row.doc[f"choice_{key.lower()}"]) for key in _LETTERS}


def score(task: Task, row: Row, answer: str) -> Scored:
    """Score one answer as lmms-eval's aggregation does, and by what it says."""
    official = task.score(row, answer)["seed_all"]
    right = str(official["answer"]).strip().lower()
    strict = float(str(official["pred"]).strip().lower() == right)
    said = letter(answer, _options(row))
    image = float(row.doc["data_type"] == "image")
    theirs = float(answer == row.doc["answer"])
    return Scored(
        {
            "strict": strict,
            "image": image,
            "image_right": strict * image,
            "lenient": float(said is not None and said.lower() == right),
            "unparsed": float(said is None),
            "llava": theirs,
            "image_llava": theirs * image,
        }
    )


def _choices(row: Row) -> Choices:
    return lettered(_LETTERS, str(row.doc["answer"]).strip().upper())


def _of_image(row: Sample) -> bool | None:
    """Whether a row shows an image and not frames of a video."""
    known = row.scores.get("image")
    return None if known is None else bool(known)


def _by_llava_of_image(row: Sample) -> bool | None:
    return _LLAVA(row) and _of_image(row)


_LLAVA = has("llava")
BENCHMARK = Benchmark(
    name="seedbench",
    title="SEED-Bench",
    task="seedbench/seedbench.yaml",
    score=score,
    columns=(
        mean_of("strict", name="all", primary=True, lenient="lenient"),
        ratio_of("image_right", "image", name="image", applies=_of_image),
        mean_of("lenient"),
        mean_of("logit", name="logit accuracy"),
        mean_of("llava", name="all (LLaVA's rule)", applies=has("llava")),
        ratio_of("image_llava", "image", name="image (LLaVA's rule)", applies=_by_llava_of_image),
        mean_of("unparsed", name="unparsed", higher_is_better=False),
    ),
    groups=lambda doc: {"question type": str(doc.get("question_type_id", ""))},
    choices=_choices,
    max_new_tokens=16,
    licence="CC BY-NC 4.0",
    source="arXiv 2307.16125; hub: lmms-lab-encoder/SEED-Bench, split test, 17990 rows",
    published={
        "llava-1.5-7b": "58.6 all (SIMA table 2), 60.49 all (lmms-eval); 65.7 image (SeVa)",
        "sima-7b": "60.6 all (SIMA table 2)",
        "seva-7b": "65.8 image at noise step 800 (SeVa README)",
    },
    papers={
        llava.PROTOCOL: Papers(
            ("all (LLaVA's rule)", "image (LLaVA's rule)"),  # SIMA's column and SeVa's
            max_new_tokens=128,
        )
    },
)
