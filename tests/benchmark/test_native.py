"""Benchmarks with options, numbers and pairs: figures by hand, beside lmms-eval's own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import pytest
from harness_benchmarks import _choices, hallusion_all, mathvista, mmvet_v2
from harness_tinyworld import DATA
from hypothesis import given
from hypothesis import strategies as st

from harness.benchmark import Task, UnparsableReply
from harness.plugins import load
from harness.records import Sample
from tests.support.figures import Bare, figure, figures, row_of, samples_of


@cache
def task(name: str) -> Task:
    return Task(load("benchmarks", name).task, DATA)


def scores(name: str, doc: Mapping[str, Any], answer: str) -> Mapping[str, Any]:
    found = load("benchmarks", name).score(task(name), row_of(doc), answer).scores
    return dict(found)


# MMMU

CHOICE = {
    "id": "validation_Math_1",
    "question_type": "multiple-choice",
    "options": "['a red bus', '4', 'a tree', 'two']",
    "answer": "A",
}
OPEN = {
    "id": "validation_Art_Theory_2",
    "question_type": "open",
    "options": "[]",
    "answer": "['24/7', '3.429']",
}


@pytest.mark.parametrize(
    ("answer", "strict", "lenient", "nothing"),
    [
        ("A", 1, 1, 0),
        ("(A)", 1, 1, 0),
        ("B or A", 1, 1, 0),  # the last letter counts there, and lenient is never below
        ("I think that it shows a red bus", 1, 1, 0),  # an option's text, in more than five words
        ("a red bus", 0, 1, 1),  # in fewer words no text is looked for
        ("B", 0, 0, 0),
        ("hm", 0, 0, 1),
    ],
)
def test_mmmu_reads_letters_as_its_authors_do_and_draws_none(
    answer: str, strict: int, lenient: int, nothing: int
) -> None:
    found = [scores("mmmu", CHOICE, answer) for _ in range(5)]
    assert found.count(found[0]) == 5
    assert found[0]["strict"] == strict
    assert found[0]["lenient"] == lenient
    assert found[0]["nothing"] == nothing


@pytest.mark.parametrize(
    ("answer", "strict", "lenient"),
    [
        ("3.429", 1, 1),
        ("The result is 3.43.", 1, 1),  # two decimals
        ("So x = 24/7", 1, 1),
        ("It is 3.5", 0, 0),
        ("[", 0, 0),  # lmms-eval takes the list for one text
    ],
)
def test_mmmu_open_answers(answer: str, strict: int, lenient: int) -> None:
    found = scores("mmmu", OPEN, answer)
    assert (found["strict"], found["lenient"]) == (strict, lenient)
    groups = load("benchmarks", "mmmu").groups(OPEN)
    assert groups["subject"] == "Art_Theory"
    assert groups["discipline"] == "Art and Design"


def test_mmmu_counts_every_row_alike() -> None:
    other = {**CHOICE, "id": "validation_Music_1"}
    of = figures("mmmu", [(CHOICE, "A"), (other, "B"), (other, "B"), (OPEN, "3.429")], task("mmmu"))
    assert of("accuracy") == 50
    of = figures("mmmu", [(CHOICE, "A"), (CHOICE, "hm")], task("mmmu"))
    assert of("accuracy") == 50
    assert of("accuracy, unread at chance") == pytest.approx(100 * (1 + 1 / 4) / 2)
    assert of("nothing read") == 50


# CV-Bench


def vision(source: str, answer: str = "(A)") -> Mapping[str, Any]:
    kind = "3D" if source == "Omni3D" else "2D"
    return {
        **{"idx": 0, "type": kind, "task": "Count", "source": source, "answer": answer},
        "choices": ["one", "two"],
    }


def test_cvbench_is_the_mean_of_2d_and_3d_and_2d_that_of_its_sources() -> None:
    answers = [
        *[(vision("ADE20K"), "A")] * 3,  # 3 of 3
        (vision("COCO"), "(B)"),  # 0 of 1
        (vision("Omni3D"), "A."),
        *[(vision("Omni3D"), "The answer is A")] * 3,  # 1 of 4: the first letter is a T
    ]
    of = figures("cvbench", answers, task("cvbench"))
    assert of("2D") == 50
    assert of("3D") == 25
    assert of("CV-Bench") == pytest.approx((50 + 25) / 2)
    assert of("accuracy") == 50
    assert of("lenient CV-Bench") == pytest.approx((50 + 100) / 2)
    helper = task("cvbench").helper("cv_bench_default_aggregate_results")
    rows = [
        {"source": doc["source"], "is_correct": scores("cvbench", doc, said)["strict"]}
        for doc, said in answers
    ]
    assert of("CV-Bench") == pytest.approx(100 * helper(rows))


def test_a_part_without_rows_is_left_out_and_nothing_is_undefined() -> None:
    assert figures("cvbench", [(vision("COCO"), "A")], task("cvbench"))("CV-Bench") == 100
    columns = {column.name: column for column in load("benchmarks", "cvbench").columns}
    import numpy as np

    assert math.isnan(columns["CV-Bench"].value(np.zeros(6)))
    assert columns["CV-Bench"].value(np.zeros((5, 6))).shape == (5,)


# RealWorldQA


def test_realworldqa_by_hand() -> None:
    ask = "Which is nearer?\n\nA. The car\nB. The bus\nAnswer with the letter."
    letter = {"question": ask, "answer": "B"}
    word = {"question": "How many cars are there?\nAnswer with one number.", "answer": "2"}
    answers = [
        (letter, "B"),
        (letter, "The bus"),  # its words alone are no letter there
        (word, "2."),
        (word, "There are 2 cars"),
    ]
    of = figures("realworldqa", answers, task("realworldqa"))
    assert of("accuracy") == 50
    assert of("lenient accuracy") == 100
    bench = load("benchmarks", "realworldqa")
    assert bench.asked(row_of(letter)) == ("A", "B")
    assert bench.asked(row_of(word)) == ()


# CRPE


def test_crpe_counts_a_question_when_all_its_rotations_are_letters_and_right() -> None:
    bench = load("benchmarks", "crpe")
    rows = list(task("crpe").rows(0, 12))
    units = [bench.row_units(task("crpe"), row)["question"] for row in rows]
    assert [units.count(unit) for unit in units] == [4] * 12
    said = [row.target for row in rows]
    said[5] += "."  # not the letter alone
    said[8] = "hm"
    samples = [
        Sample(
            *(row.id, row.content, row.image, row.text, row.target, text, 1, "stop"),
            scores=bench.score(task("crpe"), row, text).scores,
            groups=bench.groups(row.doc),
            units={"question": unit},
        )
        for row, text, unit in zip(rows, said, units, strict=True)
    ]
    assert figure(bench, "circular accuracy", samples) == pytest.approx(100 / 3)
    assert figure(bench, "lenient circular accuracy", samples) == pytest.approx(200 / 3)
    assert figure(bench, "plain accuracy", samples) == pytest.approx(100 * 11 / 12)


# OCRBench


def test_ocrbench_gives_a_point_a_row_out_of_a_thousand() -> None:
    def doc(kind: str, answer: list[str], dataset: str = "IIIT5K") -> Mapping[str, Any]:
        return {"dataset": dataset, "question_type": kind, "answer": answer}

    mathematics = "Handwritten Mathematical Expression Recognition"
    answers = [
        (doc("Regular Text Recognition", ["CENTRE"]), "it says Centre"),
        (doc("Digit String Recognition", ["12", "21"]), "21"),
        (doc("Doc-oriented VQA", ["yes"]), "no"),
        (doc(mathematics, ["x ^ 2"], "HME100k"), "x^2"),
        (doc(mathematics, ["X ^ 2"], "HME100k"), "x^2"),
    ]
    of = figures("ocrbench", answers, task("ocrbench"))
    assert of("score") == pytest.approx(600)
    assert of("text recognition") == 300
    assert of("document VQA") == 0
    assert of("handwritten mathematics") == 50
    parts = [column for column in load("benchmarks", "ocrbench").columns if column.name != "score"]
    assert sum(column.high for column in parts) == 1000


# MathVista

NUMBER = {
    **{"choices": [], "question_type": "free_form", "answer_type": "float", "precision": 1.0},
    **{"question": "How long is it?", "answer": "1.2"},
}
OPTIONS = {
    **{"choices": ["2 cm", "4 cm"], "question_type": "multi_choice", "answer_type": "text"},
    **{"question": "How long is it?", "answer": "4 cm", "precision": None},
}
WHOLE = {**NUMBER, "answer_type": "integer", "answer": "1450", "precision": None}
LIST = {**NUMBER, "answer_type": "list", "answer": "[2007, 2008]", "precision": None}


@pytest.mark.parametrize(
    ("doc", "answer", "right"),
    [
        (NUMBER, "1.2", 1),
        (NUMBER, "1.21", 1),  # to one decimal
        (NUMBER, "First 3, so it is 1.24 m.", 1),
        (NUMBER, "1.3", 0),
        (NUMBER, "no idea", None),
        (OPTIONS, "B", 1),
        (OPTIONS, "(B)", 1),
        (OPTIONS, "4 cm", 1),
        (OPTIONS, "The answer is A", 0),
        (OPTIONS, "2 cm or 4 cm", None),
        (WHOLE, "There are 1,450 of them.", 1),
        (WHOLE, "1450.0", 1),
        (WHOLE, "-1450", 0),
        (WHOLE, "9" * 400, 0),
        (LIST, "Between [1990] and [2007, 2008]", 1),
        (LIST, "2007 and 2008", None),
    ],
)
def test_mathvista_without_a_judge(doc: dict, answer: str, right: float | None) -> None:
    assert mathvista.score(Bare(), row_of(doc), answer).scores == {"right": right}


@pytest.mark.parametrize(
    ("doc", "reply", "right"),
    [
        *((NUMBER, "1.2", 1), (NUMBER, "none", 0), (NUMBER, "1.2 m", None), (NUMBER, "A", None)),
        *((OPTIONS, "B", 1), (OPTIONS, "(A).", 0), (OPTIONS, "C", None), (WHOLE, "1,450", 1)),
        *((LIST, "[2007, 2008]", 1), (LIST, "2007", None)),
    ],
)
def test_a_judges_result_is_compared_or_refused(doc: dict, reply: str, right: int | None) -> None:
    row, answer = row_of(doc), "It was found by looking at it."
    prompt = mathvista.ask(Bare(), row, answer)
    assert prompt is not None
    assert answer in prompt.prompt
    if right is None:
        with pytest.raises(UnparsableReply):
            mathvista.read(Bare(), row, answer, reply)
    else:
        assert mathvista.read(Bare(), row, answer, reply).scores == {"right": right}


def test_no_judge_is_asked_for_a_result_by_itself() -> None:
    assert mathvista.ask(Bare(), row_of(NUMBER), "1.2") is None
    assert mathvista.read(Bare(), row_of(NUMBER), "1.2", "").scores == {"right": 1.0}
    assert mathvista.ask(Bare(), row_of(WHOLE), "1.2") is not None


# MM-Vet v2


def test_mmvet_v2_is_graded_as_mmvet_and_shows_sequences() -> None:
    docs = [
        {"question": "Who?<IMG><image_0>", "answer": "a cat", "capability": ["rec"]},
        {"question": "<IMG><image_0>?", "answer": "one<AND>two", "capability": ["rec", "seq"]},
    ]
    of = figures("mmvet_v2", [(docs[0], "A cat."), (docs[1], "one")])
    assert of("score") == 75
    assert of("image-text sequence") == 50
    assert mmvet_v2.BENCHMARK.rubric is load("benchmarks", "mmvet").rubric
    rows = list(task("mmvet_v2").rows(0, 6))
    assert [len(row.images) for row in rows] == [1, 1, 1, 1, 1, 2]
    assert "<image_0><image_1>About the last image" in rows[5].text
    worded = mmvet_v2.BENCHMARK.under("llava-1.5").question(rows[5])
    assert worded.startswith("<image_0><image_1>About")


# HallusionBench


def supplement(question: str, figure_: str, input_: str, truth: str) -> Mapping[str, Any]:
    return {
        **{"category": "VS", "subcategory": "chart", "set_id": "0", "figure_id": figure_},
        **{"question_id": question, "visual_input": input_, "gt_answer": truth},
    }


HALLUSION = [
    (supplement("0", "0", "0", "1"), "Yes"),  # without a figure
    (supplement("0", "1", "1", "1"), "Yes"),
    (supplement("0", "2", "2", "0"), "Yes"),  # wrong
    (supplement("1", "0", "0", "0"), "Yes"),  # wrong, without a figure
    (supplement("1", "1", "1", "0"), "No"),
    (supplement("1", "2", "2", "1"), "Yes"),
]


def test_hallusionbench_whole_by_hand() -> None:
    of = figures("hallusion_all", HALLUSION)
    assert of("aAcc") == pytest.approx(100 * 4 / 6)
    assert of("qAcc") == 0
    assert of("fAcc") == 50, "figure 1 of two; what is asked without one is none"
    assert of("easy aAcc") == 50, "question 0 with and without its original figure"
    assert of("hard aAcc") == 50
    assert of("yes difference") == pytest.approx(100 * (5 / 6 - 3 / 6))
    assert of("false yes") == 100


def test_a_question_without_a_figure_is_asked_as_text_and_is_a_cluster_of_its_own() -> None:
    rows = list(task("hallusion_all").rows())
    bare = [row for row in rows if not row.images]
    assert len(bare) == 16
    assert all(row.problem is None for row in rows)
    texts = {row.text for row in bare}
    assert len({row.image for row in bare}) == len(texts)
    assert not {row.image for row in bare} & {row.image for row in rows if row.images}
    level = [hallusion_all.BENCHMARK.groups(row.doc)["level"] for row in rows]
    assert (level.count("easy"), level.count("hard")) == (24 * 3 + 32, 24 * 3)


def test_hallusionbench_whole_agrees_with_the_authors_counts() -> None:
    """lmms-eval carries the authors' counting; its rows hold a verdict of 0, 1 or 2."""
    helper = Task("hallusion_bench/hallusion_bench_image.yaml", DATA).helper
    samples = samples_of(hallusion_all.BENCHMARK, HALLUSION, Bare())
    data = [
        {**doc, "check": str(int(sample.scores["right"]))}
        for (doc, _), sample in zip(HALLUSION, samples, strict=True)
    ]
    data = helper("assign_correctness")(data, correctness_entry="check")
    for name, found in (
        ("aAcc", helper("get_eval_all")(data, "check")),
        ("qAcc", helper("get_eval_pair_all")(data, "check")),
        ("fAcc", helper("get_eval_fig")(data)),
    ):
        ours = figure(hallusion_all.BENCHMARK, name, samples)
        assert ours == pytest.approx(100 * found["correct"] / found["total"])


# Options


@given(st.lists(st.text(st.characters(categories=["L", "N"]), min_size=1), min_size=2, max_size=6))
def test_options_on_lines_are_found_by_their_letters(texts: list[str]) -> None:
    options = _choices.by_letter(texts)
    for form in ("{}. {}", "({}) {}", "{}: {}"):
        lines = [form.format(key, text) for key, text in options.items()]
        told = "\n".join(["What is it?", *lines, "Answer with a letter."])
        assert _choices.in_lines(told) == options
        assert _choices.without_lines(told) == "What is it? Answer with a letter."
