"""MMBench in miniature, in English and Chinese: every question in four rotations of its options.

A row: {"index": 1000003, "question": "What color is the star?", "hint": null, "answer": "B", "A":
"red", "B": "blue", "C": "pink", "D": "gray", "category": "colour", "source": "tinyworld",
"L2-category": "rec", "comment": null, "split": "dev", "image": ...}
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from harness_tinyworld import questions, reading
from harness_tinyworld.chinese import chinese
from harness_tinyworld.minis.common import asked, four_options, options_of
from harness_tinyworld.minis.table import Mini, Row, Table
from harness_tinyworld.questions import Asker
from harness_tinyworld.scenes import render

QUESTIONS = 480
ROTATION = 1_000_000
ENGLISH: tuple[Asker, ...] = (
    *(questions.colour, questions.shape, questions.position),
    *(questions.count, reading.word),
)


def _rows(name: str, askers: Sequence[Asker]) -> list[Row]:
    made: list[Row] = []
    for n, (scene, question) in enumerate(asked(name, askers, QUESTIONS, four_options)):
        options, right = options_of(question, random.Random(f"{name} {n}"))
        image = render(scene)
        for turn in range(4):
            turned = options[turn:] + options[:turn]
            made.append(
                {
                    "index": n + turn * ROTATION,
                    "question": question.text,
                    "hint": None,
                    "answer": "ABCD"[(right - turn) % 4],
                    **dict(zip("ABCD", turned, strict=True)),
                    "category": question.kind,
                    "source": "tinyworld",
                    "L2-category": question.skills,
                    "comment": None,
                    "split": "dev",
                    "image": image,
                }
            )
    return made


def rows() -> list[Row]:
    """Make the English rows."""
    return _rows("mmbench", ENGLISH)


def rows_cn() -> list[Row]:
    """Make the Chinese rows."""
    return _rows("mmbench_cn", (chinese,))


TEXTS = (
    *("question", "hint", "answer", "A", "B", "C", "D"),
    *("category", "source", "L2-category", "comment", "split"),
)
COLUMNS = {"index": "int64", **dict.fromkeys(TEXTS, "string"), "image": "image"}
MINI = Mini(
    "MMBench",
    f"{QUESTIONS} multiple-choice questions in English and as many in Chinese, each about a drawn "
    "image of its own and with its four options in every rotation.",
    (Table(COLUMNS, rows, "dev", "en"), Table(COLUMNS, rows_cn, "dev", "cn")),
)
