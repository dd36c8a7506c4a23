"""LLaVA's reading of answers, by hand, and the papers' wording and headline under its protocol."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
from harness_benchmarks import llava, mmbench, pope, shr
from harness_benchmarks.parse import letter
from sklearn.metrics import f1_score

from harness.benchmark import benchmark, headline
from harness.errors import UsageError
from harness.plugins import names
from harness.records import Sample


@pytest.mark.parametrize(
    ("answer", "yes"),
    [
        ("Yes", True),
        ("No", False),
        ("no, there is none", False),
        ("There is not a dog", False),
        ("Yes. No, wait", True),  # the first sentence alone
        ("NO", True),  # only these three spellings are negative
        ("Nothing is there", True),
        ("None", True),
        ("There is no.dog", False),
        ("", True),  # everything else is a yes
        ("Yes,no", True),  # the comma goes, and "Yesno" is one word
        ("I cannot tell", True),
        (". No", True),
    ],
)
def test_pope_takes_for_yes_what_is_not_negative(answer, yes):
    assert llava.says_yes(answer) is yes


@pytest.mark.parametrize(
    ("answer", "count", "letter"),
    [
        ("A", 2, "A"),
        ("B. ice", 2, "B"),
        ("B.", 2, None),  # no space behind the full stop
        ("B) ice", 2, None),
        ("The hint says so. The answer is B.", 2, "B"),
        ("The answer is B", 2, None),  # the pattern wants one more sign
        ("The answer is B!", 2, "B"),  # ... of any kind
        ("The answer is A. The answer is B.", 2, None),
        ("C", 2, None),  # there is no such option
        ("b", 2, None),
        ("F", 6, None),  # options end at E
        ("", 2, None),
    ],
)
def test_scienceqa_is_read_by_letter_or_by_the_sentence(answer, count, letter):
    assert llava.option(answer, count) == letter


def row(split: str, said: int, label: int, number: int) -> Sample:
    scores = {"llava_yes": float(said), "label_yes": float(label)}
    return sample(str(number), scores, {"category": split})


def sample(name: str, scores: dict, groups: dict | None = None) -> Sample:
    rest = {"content": "", "cluster": "", "prompt": "", "target": "", "answer": "", "tokens": 1}
    return Sample(id=name, finish="stop", scores=scores, groups=groups or {}, **rest)


def test_the_mean_of_the_splits_is_the_mean_of_three_f1():
    """Against scikit-learn, split by split; the pooled F1 is another number."""
    draw = np.random.default_rng(1)
    (column,) = [c for c in pope.BENCHMARK.columns if c.name.startswith("mean F1")]
    rows, each = [], []
    for split, right in zip(pope.SPLITS, (0.95, 0.85, 0.7), strict=True):
        label = draw.integers(0, 2, 60)
        said = np.where(draw.random(60) < right, label, 1 - label)
        each.append(100 * f1_score(label, said))
        rows += [row(split, *pair, n) for n, pair in enumerate(zip(said, label, strict=True))]
    totals = np.sum([column.count([one]) for one in rows], axis=0)
    assert column.value(totals) == pytest.approx(np.mean(each), abs=1e-9)
    pooled = f1_score([r.scores["label_yes"] for r in rows], [r.scores["llava_yes"] for r in rows])
    assert abs(column.value(totals) - 100 * pooled) > 0.01
    assert np.isnan(column.value(np.sum([column.count([one]) for one in rows[:60]], axis=0)))
    assert column.value(np.stack([totals, totals])).shape == (2,)


def test_vanilla_mmbench_counts_a_question_in_its_first_order_alone():
    (column,) = [c for c in mmbench.EN.columns if c.name == "vanilla accuracy"]
    first, later = ({"first": value, "judged": 1.0} for value in (1.0, 0.0))
    samples = [sample("0", scores) for scores in (first, later)]
    assert [column.count([one]) for one in samples] == [(1.0, 1.0), (0.0, 0.0)]
    assert [column.applies(one) for one in samples] == [True, False]


@pytest.mark.parametrize("name", names("benchmarks"))
def test_every_benchmark_can_be_asked_under_every_protocol(name):
    own, papers = benchmark(name).under("hf"), benchmark(name).under(llava.PROTOCOL)
    assert own == benchmark(name)
    assert [c.name for c in own.columns] == [c.name for c in papers.columns]
    found = benchmark(name).papers.get(llava.PROTOCOL)
    if found is not None:
        assert {c.name for c in headline(papers.columns)} == set(found.headline)


def asked(name: str, doc: dict, text: str = "") -> str:
    return benchmark(name).under(llava.PROTOCOL).question(SimpleNamespace(doc=doc, text=text))


def test_the_papers_wording_of_questions():
    doc = {"question": "What is it?", "ocr_tokens": ["DAKOTA", "12"]}
    assert asked("mmvet", doc, "think step by step: What is it?") == "What is it?"
    short = "Answer the question using a single word or phrase."
    assert asked("textvqa", doc, f"What is it?\n{short}") == (
        f"What is it?\nReference OCR token: DAKOTA, 12\n{short}"
    )
    options = {"A": "red", "B": "blue", "C": "nan", "D": None}
    for hint, lines in (("Look.", ["Look."]), ("nan", []), (None, [])):
        doc = {"question": "Which?", "hint": hint, **options}
        lines = [*lines, "Which?", "A. red", "B. blue"]
        letter = "Answer with the option's letter from the given choices directly."
        assert asked("mmbench", doc) == "\n".join([*lines, letter])
        assert asked("mmbench_cn", doc) == "\n".join([*lines, "请直接回答选项字母。"])


def test_data_without_ocr_tokens_are_refused_before_anything_is_asked():
    found = benchmark("textvqa").under(llava.PROTOCOL)
    found.check_columns("the data set x", ("question", "ocr_tokens"))
    with pytest.raises(UsageError, match=r"textvqa: the data set x has no column ocr_tokens"):
        found.check_columns("the data set x", ("question", "answers"))
    benchmark("textvqa").check_columns("the data set x", ("question",))


def original_pope(answers: list[str], labels: list[str]) -> tuple[int, ...]:
    """Counts by the steps of ``eval_pope.py``, written anew from their description."""
    counts = dict.fromkeys(itertools.product((True, False), repeat=2), 0)
    for answer, label in zip(answers, labels, strict=True):
        dot = answer.find(".")
        first = answer if dot < 0 else answer[:dot]
        words = "".join(letter for letter in first if letter != ",").split(" ")
        negative = any(word in ("No", "not", "no") for word in words)
        counts[not negative, label == "yes"] += 1
    return tuple(counts.values())


def test_pope_agrees_with_the_steps_of_the_script_over_all_short_answers():
    parts = ["Yes", "No", "no", "not", "is", "a", ",", ".", " ", "NO"]
    answers = ["".join(words) for words in itertools.product(parts, repeat=4)]
    ours = [llava.says_yes(answer) for answer in answers]
    assert original_pope(answers, ["yes"] * len(answers))[0] == sum(ours)


OPTIONS = {"A": "红色", "B": "蓝色", "C": "深蓝色", "D": "一只猫"}


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("答案是B", "B"),
        ("答案：B", "B"),
        ("正确答案为 C。", "C"),
        ("选B", "B"),
        ("我选择D", "D"),
        ("B选项", "B"),
        ("选项B", "B"),
        ("B项正确", "B"),
        ("应该是蓝色", "B"),
        ("应该是深蓝色。", "C"),
        ("不是红色，是蓝色", "B"),
        ("不选B", None),
        ("红色或者蓝色", None),
        ("图中没有答案", None),
        ("(A)", "A"),
        ("\uff22", "B"),
        ("答案是\uff08\uff22\uff09。", "B"),
        ("選B", "B"),
        ("選項B", "B"),
        ("B選項", "B"),
        ("答案為:B", "B"),
        ("我认为是B。", "B"),
        ("B是正确答案", "B"),
        ("B正確", "B"),
        ("A不正确", None),
        ("不是B", None),
        ("选A或B", None),
        ("答案是A和C", None),
        ("图中是A型车", None),
        ("答案是B,而不是A", "B"),
    ],
)
def test_common_forms_of_chinese_answers_are_read(answer, said):
    assert letter(answer, OPTIONS) == said


def test_a_sentence_that_was_said_before_is_dropped_from_shr():
    """By hand: four sentences, three different ones, of which one errs, and is said twice."""
    facts = ["a man riding a wave", "the board is white"]
    text = "A man riding a wave. The board is red. The board is  red. The board is white."
    made = shr.score(None, SimpleNamespace(doc={"facts": facts}), text).scores
    assert (made["sentences"], made["hallucinated"]) == (4, 2)
    assert (made["sentences_once"], made["hallucinated_once"]) == (3, 1)
    reply = "Judgement:\n1. correct: x\n2. hallucination: x\n3. hallucination: x\n4. correct: x"
    read = shr.read(None, SimpleNamespace(doc={"facts": facts}), text, reply).scores
    assert read == made
