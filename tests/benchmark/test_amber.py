"""AMBER's two halves and its score, by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from harness_benchmarks import amber_all
from harness_tinyworld import DATA

from harness.benchmark import Task
from harness.records import Answer, Sample
from tests.support.figures import Bare, figures

DESCRIBED = {"kind": "generative", "truth": ["cat", "tree"], "hallu": ["dog"]}


def asked(kind: str, truth: str) -> dict:
    return {"kind": kind, "truth": [truth], "hallu": []}


ANSWERS = [
    (DESCRIBED, "A cat and a puppy."),  # named 2, absent 1; 1 of 2 things; the imagined dog
    (asked("existence", "no"), "No"),
    (asked("existence", "no"), "Yes"),
    (asked("attribute-state", "yes"), "Yes"),
    (asked("attribute-number", "no"), "No, there is one."),  # to the letter, neither yes nor no
    (asked("relation", "yes"), "No"),
]


@pytest.fixture
def task(tmp_path: Path) -> Bare:
    (tmp_path / "metadata").mkdir()
    related = {"cat": [], "dog": ["puppy"], "tree": []}
    (tmp_path / "metadata/relation.json").write_text(json.dumps(related))
    return Bare(tmp_path)


def test_all_columns_by_hand(task: Bare) -> None:
    of = figures("amber_all", ANSWERS, task)
    assert [of(name) for name in ("CHAIR", "Cover", "Hal", "Cog")] == [50, 50, 100, 100]
    # no said twice, once rightly; three questions are to be denied
    four = [of(name) for name in ("accuracy", "precision", "recall", "F1")]
    assert four == pytest.approx([40, 50, 100 / 3, 40])
    assert of("AMBER score") == pytest.approx((100 - 50 + 40) / 2)
    # "No, there is one." says no: two of three no are right, two of three denials said
    assert of("lenient F1") == pytest.approx(200 / 3)
    assert of("lenient accuracy") == pytest.approx(60)
    assert of("lenient AMBER score") == pytest.approx((50 + 200 / 3) / 2)
    parts = ("accuracy", "precision", "recall", "F1")
    existence = [of(f"existence {name}") for name in parts]
    assert existence == pytest.approx([50, 100, 50, 200 / 3])
    assert [of(f"attribute {name}") for name in ("accuracy", "recall", "F1")] == [50, 0, 0]
    assert [of(f"relation {name}") for name in ("accuracy", "precision", "F1")] == [0, 0, 0]
    assert [of("state accuracy"), of("number accuracy"), of("number recall")] == [100, 0, 0]
    assert math.isnan(of("attribute precision")), "nothing was denied"
    assert math.isnan(of("relation recall")), "nothing was to be denied"


def test_one_half_alone_has_no_amber_score(task: Bare) -> None:
    assert math.isnan(figures("amber_all", ANSWERS[:1], task)("AMBER score"))
    assert math.isnan(figures("amber_all", ANSWERS[1:], task)("AMBER score"))


def test_a_description_without_word_lists_is_missing_and_its_questions_are_not() -> None:
    of = figures("amber_all", ANSWERS)
    assert of("F1") == pytest.approx(40)
    columns = {column.name: column for column in amber_all.BENCHMARK.columns}
    row = Sample("0", "", "", "", "", "A cat.", 1, "stop", groups={"part": "generative"})
    assert columns["AMBER score"].count([row]) is None
    assert columns["CHAIR"].applies(row) is True
    assert columns["F1"].applies(row) is False


def test_descriptions_are_asked_plainly_and_have_no_choices() -> None:
    task = Task(amber_all.BENCHMARK.task, DATA)
    described, question = list(task.rows(0, 2))
    assert described.text == "Describe this image."
    assert question.text.endswith("?\nAnswer the question using a single word or phrase.")
    assert amber_all.BENCHMARK.asked(described) == ()
    assert amber_all.BENCHMARK.logit(described, Answer("A star.")) == {}
    assert amber_all.BENCHMARK.asked(question) == ("Yes", "No")
    asked = amber_all.BENCHMARK.logit(question, Answer("No", choices=(-2.0, -1.0)))
    assert asked["logit"] == float(question.target == "no")
