"""The judge's parts: reading replies, the judge's own error, purse, a local judge."""

from __future__ import annotations

import dataclasses
import itertools
import math
import random
import re
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
from harness_benchmarks import (
    hallusion,
    llavabench,
    mathvista,
    mementos,
    mmbench,
    mmhal,
    mmvet,
    shr,
)
from harness_tinyworld import DEMO
from hypothesis import given
from hypothesis import strategies as st

from harness.benchmark import (
    Benchmark,
    Row,
    Task,
    UnparsableReply,
    all_of,
    judge_prompt,
    mean_of,
    ratio_of,
)
from harness.benchmark.rubric import fenced
from harness.judge.items import JudgeItem, marked
from harness.judge.protocol import Question, Reply
from harness.judge.server import Budget, estimate
from harness.judge.uncertainty import Judged, errors_of
from harness.plugins import load, names
from harness.records import Sample, Scored
from tests.support.judge_server import BLOCK

# The official forms, read strictly


def row(**doc) -> Row:
    return Row("0", "", "", "", (), "", doc)


class NoLists:
    folder = None

    def helper(self, name):
        class Rules:
            @staticmethod
            def prefetch_answer(item):
                return False

        return Rules


TASK = NoLists()
MMVET, MMHAL = row(question="q", answer="a"), row(question="q", gt_answer="a", image_content=[])
LLAVA = row(category="conv")
SHR = row(facts=["a"])
DRAWN, BARE = row(category="VD", figure_id="0"), row(category="VS", figure_id="0")
MEMENTOS, MMBENCH = row(description="d"), row(A="x", B="y", C="nan", answer="B")


@pytest.mark.parametrize(
    ("module", "doc", "answer", "reply", "wanted"),
    [
        (mmvet, MMVET, "", "0.5", {"score": 0.5}),
        (mmvet, MMVET, "", " **1.0** ", {"score": 1.0}),
        (mmvet, MMVET, "", "1", {"score": 1.0}),
        (mmvet, MMVET, "", "0.5.", {"score": 0.5}),
        (mmvet, MMVET, "", "**0.5**", {"score": 0.5}),
        (mmvet, MMVET, "", "`0.5`", {"score": 0.5}),
        (mmvet, MMVET, "", "-0", {"score": 0.0}),
        (mmvet, MMVET, "", ".5", {"score": 0.5}),
        (mmvet, MMVET, "", "0,5", None),
        (mmvet, MMVET, "", "1,0", None),
        (mmvet, MMVET, "", "0.3-0.4", None),
        (mmvet, MMVET, "", "0.4 or 0.5", None),
        (mmvet, MMVET, "", "1/1", None),
        (mmvet, MMVET, "", "0*1", None),
        (mmvet, MMVET, "", "1e-1", None),
        (mmvet, MMVET, "", "0." + "1" * 5000, None),
        (mmvet, MMVET, "", "0" * 5000, None),
        (mmvet, MMVET, "", "\u0660", None),
        (mmvet, MMVET, "", "\uff10.\uff15", None),
        (mmvet, MMVET, "", "0.5\n0.7", None),
        (mmvet, MMVET, "", "0.", None),
        (mmvet, MMVET, "", "1.1", None),
        (mmvet, MMVET, "", "-0.1", None),
        (mmvet, MMVET, "", "1 out of 10", None),
        (mmvet, MMVET, "", "0.5 | 1.0", None),
        (mmvet, MMVET, "", "The score is 0.5", None),
        (mmvet, MMVET, "", "nan", None),
        (mmvet, MMVET, "", "", None),
        (mmhal, MMHAL, "", "Fine.\nRating: 6", {"score": 6.0, "hallucinated": 0.0}),
        (mmhal, MMHAL, "", "**Rating: 2**", {"score": 2.0, "hallucinated": 1.0}),
        (mmhal, MMHAL, "", "Rating: 4", {"score": 4.0, "hallucinated": 0.0}),
        (mmhal, MMHAL, "", "Because it is.\n\n## **Rating:** 3.", {"score": 3.0}),
        (mmhal, MMHAL, "", "Rating: 3, informative", None),
        (mmhal, MMHAL, "", "Rating: 3-4", None),
        (mmhal, MMHAL, "", "Rating: 4 or 5", None),
        (mmhal, MMHAL, "", "Rating: 1,5", None),
        (mmhal, MMHAL, "", "Rating: 0**3", None),
        (mmhal, MMHAL, "", "Rating: 6/10", None),
        (mmhal, MMHAL, "", "Rating: 6 of 10", None),
        (mmhal, MMHAL, "", "Rating: 4\nNo, I take that back: it is a 2.", None),
        (mmhal, MMHAL, "", "At first a rating of 5.\nRating: 3", None),
        (mmhal, MMHAL, "", "Rating: " + "9" * 5000, None),
        (mmhal, MMHAL, "", "Rating: \u0663", None),
        (mmhal, MMHAL, "", "Rating: 7", None),
        (mmhal, MMHAL, "", "Rating: 2.5", None),
        (mmhal, MMHAL, "", "Rating: 1\nRating: 6", None),
        (mmhal, MMHAL, "", "I rate it 6", None),
        (mmhal, MMHAL, "", "Rating: -1", None),
        (hallusion, DRAWN, "", "**Correct.**", {"right": 1.0}),
        (hallusion, DRAWN, "", "incorrect", {"right": 0.0}),
        (hallusion, DRAWN, "", "unclear", {"right": 0.0}),
        (hallusion, BARE, "", "unclear", {"right": 1.0}),
        (hallusion, BARE, "", "incorrect", {"right": 0.0}),
        (hallusion, row(category="VS", figure_id="1"), "", "unclear", {"right": 0.0}),
        (hallusion, DRAWN, "", "not correct", None),
        (hallusion, DRAWN, "", "correct?", None),
        (hallusion, DRAWN, "", "correct? No, this is a hallucination", None),
        (hallusion, DRAWN, "", "Correct.\nOr incorrect.", None),
        (hallusion, DRAWN, "", "It is correct", None),
        (hallusion, DRAWN, "", "correct or incorrect", None),
        (llavabench, LLAVA, "", "8 7\nBecause 1 2.", {"reference": 8.0, "model": 7.0}),
        (llavabench, LLAVA, "", "\n9.5, 3\n", {"reference": 9.5, "model": 3.0}),
        (llavabench, LLAVA, "", "**8** **7**", {"reference": 8.0, "model": 7.0}),
        (llavabench, LLAVA, "", "8, 7", {"reference": 8.0, "model": 7.0}),
        (llavabench, LLAVA, "", "8,5", None),
        (llavabench, LLAVA, "", "8,5 7", None),
        (llavabench, LLAVA, "", "8-9 7", None),
        (llavabench, LLAVA, "", "8/10 7/10", None),
        (llavabench, LLAVA, "", "8 7\nOn second thoughts:\n6 9", None),
        (llavabench, LLAVA, "", "8 " + "7" * 5000, None),
        (llavabench, LLAVA, "", "8", None),
        (llavabench, LLAVA, "", "8 7 6", None),
        (llavabench, LLAVA, "", "Assistant 1: 8, Assistant 2: 7", None),
        (llavabench, LLAVA, "", "0 7", None),
        (llavabench, LLAVA, "", "8 11", None),
        (shr, SHR, "One. Two.", "Judgement:\n1. correct: x\n2. hallucination: y",
         {"sentences": 2.0, "hallucinated": 1.0, "any": 1.0}),
        (shr, SHR, "One. Two.", "1. cannot judge\n2. Correct",
         {"sentences": 2.0, "hallucinated": 0.0, "any": 0.0}),
        (shr, SHR, "One. Two.", "**Judgement:**\n**1.** **correct**: x\n2. hallucination - y",
         {"hallucinated": 1.0}),
        (shr, SHR, "One. Two.", "1. correct? No, this is a hallucination\n2. correct", None),
        (shr, SHR, "One. Two.", "1. correct or hallucination\n2. correct", None),
        (shr, SHR, "One. Two.", "1. correct, no, wrong\n2. correct", None),
        (shr, SHR, "One. Two.", "1. incorrect\n2. correct", None),
        (shr, SHR, "One. Two.", "1. correct\n2. correct\nBut 2 is a hallucination.", None),
        (shr, SHR, "One. Two.", "1. correct\n" + "2" * 5000 + ". correct", None),
        (shr, SHR, "One. Two.", "1. correct", None),
        (shr, SHR, "One. Two.", "1. correct\n1. correct", None),
        (shr, SHR, "One. Two.", "1. correct\n2. fine", None),
        (shr, SHR, "One. Two.", "1. correct\n2. correct\n3. correct", None),
        (shr, SHR, "", "", {"sentences": 0.0, "hallucinated": 0.0, "any": 0.0}),
        # Objects: truth {dog, toy}, said {dog, cat}: 2 * 1 / 4. Actions: {run}, {}: 0 / 1.
        (mementos, MEMENTOS, "",
         "Object list 1: [dog, toy]\nAction list 1: [run]\nObject list 2: [Dog, cat]\n"
         "Action list 2: []", {"objects": 0.5, "behaviors": 0.0}),
        (mementos, MEMENTOS, "",
         "Object list 1: []\nAction list 1: [run]\nObject list 2: [dog]\nAction list 2: []", None),
        (mementos, MEMENTOS, "", "Object list 1: [dog]\nAction list 1: [run]", None),
        (mementos, MEMENTOS, "",
         "Object list 1: [dog] or [cat]\nAction list 1: [run]\nObject list 2: [dog]\n"
         "Action list 2: []", None),
        (mementos, MEMENTOS, "",
         "Object list 1: [dog]\nAction list 1: [run]\nObject list 2: [dog]\nAction list 2: []\n"
         "No, Object list 2: [cat]", None),
        (mementos, MEMENTOS, "",
         "Object list 1: dog\nAction list 1: [run]\nObject list 2: [a]\nAction list 2: []", None),
        (mmbench, MMBENCH, "w", "B", {"judged": 1.0}),
        (mmbench, MMBENCH, "w", "**A**", {"judged": 0.0}),
        (mmbench, MMBENCH, "w", "Z", {"judged": 0.0}),
        (mmbench, MMBENCH, "w", "(B)", {"judged": 1.0}),
        (mmbench, MMBENCH, "w", "B.", {"judged": 1.0}),
        (mmbench, MMBENCH, "w", "A/B", None),
        (mmbench, MMBENCH, "w", "B?", None),
        (mmbench, MMBENCH, "w", "B) no, A", None),
        (mmbench, MMBENCH, "w", "C", None),
        (mmbench, MMBENCH, "w", "b", None),
        (mmbench, MMBENCH, "w", "A or B", None),
        (mmbench, MMBENCH, "w", "The answer is B", None),
    ],
)  # fmt: skip
def test_replies_are_read_strictly(module, doc, answer, reply, wanted):
    rubric = module.RUBRIC
    if wanted is None:
        with pytest.raises(UnparsableReply):
            rubric.read(TASK, doc, answer, reply)
        return
    found = rubric.read(TASK, doc, answer, reply).scores
    assert {key: found[key] for key in wanted} == wanted
    assert set(rubric.metrics(doc)) <= set(found)


EVERY = (
    (mmvet, MMVET, "w"),
    (mmhal, MMHAL, "w"),
    (mmbench, MMBENCH, "w"),
    (hallusion, DRAWN, "w"),
    (llavabench, LLAVA, "w"),
    (shr, SHR, "One. Two."),
    (mementos, MEMENTOS, "w"),
)
PIECES = st.sampled_from(
    ["Rating:", "rating", "0.5", "1", "4", "9", "10", "-", "/", ",", ".", " ", "\n", "or", "*",
     "correct", "incorrect", "unclear", "hallucination", "cannot judge", "?", "No", "A", "B", "Z",
     "1.", "2.", "1. correct", "2. hallucination", "[dog]", "Object list 1:", "Action list 2:",
     "Judgement:", "#", "|", "`", "\u0664", "\uff14", "nan", "inf", "9" * 400]
)  # fmt: skip


def read_by_all(reply: str) -> Iterator[tuple[str, dict[str, float | None]]]:
    for module, doc, answer in EVERY:
        try:
            yield module.__name__, module.RUBRIC.read(TASK, doc, answer, reply).scores
        except UnparsableReply:
            continue


@given(st.one_of(st.text(max_size=40), st.lists(PIECES, max_size=12).map("".join)))
def test_no_reply_at_all_becomes_a_number_outside_of_the_scale(reply):
    """Whatever it is: a verdict or Unreadable, and never another exception."""
    highest = {"mmhal": 6, "llavabench": 10, "shr": 2}
    for name, scores in read_by_all(reply):
        most = highest.get(name.rpartition(".")[2], 1)
        assert all(value is not None and 0 <= value <= most for value in scores.values())


MARKS = {
    mmvet: st.sampled_from(["0.0", "0.3", "0.5", "1.0", "1"]),
    mmhal: st.integers(0, 6).map(lambda n: f"Rating: {n}"),
    hallusion: st.sampled_from(["correct", "incorrect", "unclear"]),
    llavabench: st.tuples(st.integers(1, 10), st.integers(1, 10)).map(lambda p: f"{p[0]} {p[1]}"),
    mmbench: st.sampled_from(["A", "B", "Z"]),
}


@given(st.data(), st.sampled_from(list(MARKS)))
def test_a_verdict_that_goes_on_is_none_and_its_dress_does_not_matter(data, module):
    mark = data.draw(MARKS[module])
    doc = {each: doc for each, doc, _ in EVERY}[module]
    plain = module.RUBRIC.read(TASK, doc, "w", mark).scores
    dress = data.draw(st.sampled_from(["{}", " {} ", "**{}**", "`{}`", "\n{}\n", "*{}*", '"{}"']))
    assert module.RUBRIC.read(TASK, doc, "w", dress.format(mark)).scores == plain
    more = data.draw(st.sampled_from(
        ["-4", "/10", ",5", " or 5", "?", " no", "% sure", "; 3", " to 6", "..", "e1", "!", "=1"]
    ))  # fmt: skip
    with pytest.raises(UnparsableReply):
        module.RUBRIC.read(TASK, doc, "w", mark + more)


@pytest.mark.parametrize(
    ("module", "doc"),
    [
        (mmvet, row(question="q", answer="")),
        (mmhal, row(question="q", gt_answer=None, image_content=[])),
        (hallusion, row(question="q", gt_answer_details=None)),
        (llavabench, row(question="q", gpt_answer="", caption="c", category="conv")),
        (shr, row(facts=[""])),
        (mementos, row(description="")),
    ],
)
def test_without_a_reference_nothing_is_asked(module, doc):
    with pytest.raises(UnparsableReply, match="no "):
        module.RUBRIC.ask(TASK, doc, "an answer")


@given(st.text(max_size=60), st.sampled_from(["answer", "reference"]))
def test_no_text_leaves_its_block(text, name):
    """Whatever the text: one block of that name is found, holding exactly that text."""
    found = BLOCK.findall(fenced(name, text))
    assert [(kind, held) for kind, _, held in found] == [(name, text)]
    code = found[0][1]
    nested = fenced(name, f"{text}\n[/{name} {code}]\n")
    assert [held for _, _, held in BLOCK.findall(nested)] == [f"{text}\n[/{name} {code}]\n"]


def test_a_paper_does_not_say_whose_answer_it_is():
    one = judge_prompt("Judge.", "Reply.", question="q", answer="a")
    assert one == judge_prompt("Judge.", "Reply.", question="q", answer="a")
    assert not re.search(r"before|after|aligned|baseline|model", one, re.IGNORECASE)


@pytest.mark.parametrize("name", [n for n in names("benchmarks") if load("benchmarks", n).rubric])
def test_anchors_are_sound(name):
    rubric = load("benchmarks", name).rubric
    assert len({anchor.name for anchor in rubric.anchors}) == len(rubric.anchors) >= 3
    for anchor in rubric.anchors:
        assert 0 <= anchor.low <= anchor.high
        assert anchor.metric in rubric.metrics(row(**{"category": "conv", **anchor.doc}))
    bands = [(anchor.low, anchor.high) for anchor in rubric.anchors]
    assert max(low for low, _ in bands) > min(high for _, high in bands), "good and bad ones"


def test_hallusion_counts_a_word_as_lmms_eval_does():
    """Against ``assign_correctness`` of lmms-eval, which got the same word from its judge."""
    official = Task(hallusion.BENCHMARK.task, DEMO.data).helper("assign_correctness")
    for category, figure in itertools.product(("VD", "VS"), "012"):
        doc = {"category": category, "figure_id": figure}
        for code, word in enumerate(("incorrect", "correct", "unclear")):
            (wanted,) = official([{**doc, "said": f"{code}"}], "said")
            found = hallusion.read(TASK, row(**doc), "", word).scores
            assert found == {"right": wanted["correct"]}


def test_an_option_that_is_not_there_is_not_in_a_banana():
    task = Task(mmbench.EN.task, DEMO.data)
    first = next(task.rows(0, 1))
    options = {"A": "an apple", "B": "a pear", "C": "a cherry", "D": "nan", "answer": "A"}
    asked = dataclasses.replace(first, doc={**first.doc, **options})
    item = task.score(asked, "I see a banana.")["gpt_eval_score"]
    assert task.helper("mmbench_evaluator").prefetch_answer(item) == "D", "as lmms-eval reads it"
    assert mmbench.score(task, asked, "I see a banana.").scores["judged"] is None
    assert mmbench.score(task, asked, "I see a cherry.").scores["judged"] == 0.0
    assert mmbench.ask(task, asked, "I see a banana.") is not None, "a judge may say more"


# The judge's own standard error


def sample(number: int, scores: dict[str, float | None]) -> Sample:
    return Sample(f"{number}", "c", f"{number}", "q", "t", "a", 1, "stop", scores=scores)


def judged(number: int, verdicts: np.ndarray, names: tuple[str, ...], question: str) -> Judged:
    means = dict(zip(names, verdicts.mean(axis=0).tolist(), strict=True))
    each = tuple(Scored(dict(zip(names, map(float, one), strict=True))) for one in verdicts)
    return Judged(sample(number, means), each, question)


def bench_of(column) -> Benchmark:
    return Benchmark("b", "B", "t", lambda *a: Scored({}), (column,))


def test_the_error_of_a_mean_by_hand():
    # Two rows, two judgings: verdicts (0, 1) and (1, 1). Variance of row 0: 0.5; of its mean: 0.25;
    # of the figure, 100 times the mean of two rows: 100^2 * 0.25 / 4 = 625.
    names = ("score",)
    before = [
        judged(0, np.array([[0.0], [1.0]]), names, "a"),
        judged(1, np.array([[1.0], [1.0]]), names, "b"),
    ]
    column = mean_of("score", primary=True)
    (error,) = errors_of(bench_of(column), before, before)
    assert (error.before, error.after) == pytest.approx((25.0, 25.0))
    assert error.difference == 0.0, "equal answers waver together"
    after = [
        judged(0, np.array([[0.0], [1.0]]), names, "other"),
        judged(1, np.array([[1.0], [1.0]]), names, "b"),
    ]
    (error,) = errors_of(bench_of(column), before, after)
    assert error.difference == pytest.approx(math.sqrt(2) * 25)


@pytest.mark.parametrize("kind", ["mean", "ratio"])
def test_the_error_is_the_spread_of_figures_over_repeated_judging(kind):
    """A simulation: judge everything anew 400 times, and look how the figure spreads."""
    rng = np.random.default_rng(0)
    rows, turns, names = 60, 4, ("over", "under")
    truth = rng.uniform(2, 8, (rows, 2))
    wavers = rng.uniform(0.2, 1.5, (rows, 1))
    column = mean_of("over", primary=True) if kind == "mean" else ratio_of(*names, primary=True)

    def figure(marks: np.ndarray) -> float:
        return float(column.value(np.column_stack([marks[:, 0], _under(marks)]).sum(axis=0)))

    def _under(marks: np.ndarray) -> np.ndarray:
        return np.ones(rows) if kind == "mean" else marks[:, 1]

    figures, told = [], []
    for _ in range(400):
        verdicts = truth[:, None] + wavers[:, None] * rng.normal(size=(rows, turns, 2))
        figures.append(figure(verdicts.mean(axis=1)))
        if len(told) < 100:
            arm = [judged(i, verdicts[i], names, f"{i}") for i in range(rows)]
            told.append(errors_of(bench_of(column), arm, arm)[0].before)
    assert np.mean(told) == pytest.approx(np.std(figures), rel=0.1)


@pytest.mark.parametrize("sides", [1, 3])
def test_the_error_of_a_vote_is_the_spread_of_votes(sides):
    """A simulation: three verdicts vote, and all are given anew 300 times.

    A third of the answers is judged by a hair; ``sides`` rows count together. The variance of a
    mean would be 1.2 to 1.9 times too small.
    """
    rng = np.random.default_rng(1)
    rows, turns = 120, 3
    chance = np.where(rng.random(rows) < 0.35, rng.uniform(0.15, 0.85, rows), 0.0)
    column = all_of("score", group=lambda row: f"{int(row.id) // sides}", primary=True)
    bench = dataclasses.replace(bench_of(column), rubric=mmbench.RUBRIC)
    figures, told = [], []
    for _ in range(300):
        verdicts = (rng.random((rows, turns)) >= chance[:, None]).astype(float)
        votes = np.median(verdicts, axis=1).reshape(-1, sides)
        figures.append(100 * float(votes.all(axis=1).mean()))
        if len(told) < 8:
            arm = [judged(i, verdicts[i][:, None], ("score",), f"{i}") for i in range(rows)]
            told.append(errors_of(bench, arm, arm)[0].before)
    assert np.mean(told) == pytest.approx(np.std(figures), rel=0.2)


def test_a_vote_of_one_answer_wavers_in_both_arms_together():
    arm = [judged(0, np.array([[0.0], [1.0], [1.0]]), ("score",), "a")]
    bench = dataclasses.replace(bench_of(mean_of("score", primary=True)), rubric=mmbench.RUBRIC)
    (error,) = errors_of(bench, arm, arm)
    # Two of three right: three draws vote right in 20 of 27 cases, and the figure is 0 or 100.
    assert error.before == pytest.approx(100 * math.sqrt(20 / 27 * 7 / 27), rel=0.1)
    assert error.difference == 0.0


# The purse


def test_a_purse_is_never_overdrawn_by_many_hands():
    """Random costs up to the promised worst case, from many threads at once."""
    rng = random.Random(1)
    budget = Budget((1e6, 1e6), cap=5000.0)  # one token costs one
    asked: list[int] = []

    def hand(size: int, out: int, reserve: float) -> None:
        question = Question("x" * size, out)
        if budget.reserve(question):
            time.sleep(reserve)
            asked.append(size)
            budget.commit(question, (size // 2, out // 2))

    threads = [
        threading.Thread(target=hand, args=(*rng.choices(range(1, 100), k=2), rng.random() / 99))
        for _ in range(200)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert not any(thread.is_alive() for thread in threads)
    assert budget.spent <= 5000
    assert budget.spent > 4500, "it is not left half full either"
    assert 0 < len(asked) < 200


def test_an_estimate_by_hand():
    questions = [Question("x" * 400, 10), Question("x" * 800, 30)]
    assert estimate(questions, None) == "2 questions: about 300 tokens in, at most 40 out"
    assert estimate(questions, (1000.0, 10_000.0)).endswith("cost about 0.3000 to 0.7000")


def test_a_reply_on_which_a_benchmarks_code_fails_costs_that_row_alone():
    doc = {"choices": None, "answer": "14", "answer_type": "integer", "precision": None}
    sample = Sample("0", "", "", "How many?", "14", "some", 1, "stop", None, {"right": None})
    # Code of a plugin's that takes a reply for a number of any size.
    rubric = dataclasses.replace(
        mathvista.RUBRIC, read=lambda *given: Scored({"right": int(float(given[3]))})
    )
    item = JudgeItem("mathvista", rubric, TASK, "before", sample, row(**doc))
    for reply, score in (("1", 1.0), ("9" * 400, None)):
        found, _ = marked(item, [Reply(reply)], "a judge")
        assert found.scores == {"right": score}
    assert "no verdict: the benchmark's code failed: OverflowError" in found.error
