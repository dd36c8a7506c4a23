"""The same answers, scored by us and by lmms-eval's own code: the same figures, to 1e-6.

The answers are made from each row's target in forms that models use, right and wrong, so that
strict and lenient readings, unreadable answers and failed parses all occur. Where lmms-eval departs
from a benchmark's official scorer both figures stand in the table of docs/benchmarks.md, which the
last test holds to what is measured here.
"""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness_benchmarks.chair import names_for
from harness_tinyworld import DATA

from harness.benchmark import Benchmark, Row, Task
from harness.plugins import load
from harness.records import Answer, Sample

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
FORMS = (
    *("{right}", "{right}.", "It is {right}", "{wrong}", "{right}, I think", ""),
    *("({right})", "The answer is {right}.", "{wrong}.", "Not so", "There is no such thing"),
)
MATCHED = ("textvqa", "vizwiz", "vqav2", "gqa", "scienceqa")
OPTIONS = {"realworldqa": "exact_match", "cvbench": "cv_bench_acc", "blink": "blink_acc"}
YES_NO = ("pope", "pope_random", "pope_popular", "pope_adversarial")
LIMITS = dict.fromkeys(("mmbench", "mmbench_cn"), 600)  # rows of the miniature that suffice here


@dataclass(frozen=True)
class Replay:
    """One benchmark with answers to all its rows, and how each is scored."""

    benchmark: Benchmark
    task: Task
    rows: tuple[Row, ...]
    answers: tuple[str, ...]
    samples: tuple[Sample, ...]

    def ours(self, name: str) -> float:
        """Our figure of a column, from the summed counters of its groups."""
        column = next(c for c in self.benchmark.columns if c.name == name)
        groups: dict[str, list[Sample]] = {}
        for sample in self.samples:
            groups.setdefault(column.group(sample), []).append(sample)
        counted = [column.count(rows) for rows in groups.values()]
        totals = np.sum([counters for counters in counted if counters is not None], axis=0)
        return float(column.value(np.asarray(totals, dtype=float)))

    def theirs(self, metric: str) -> float:
        """lmms-eval's figure, from its own per-row results through its own aggregation."""
        results = [
            self.task.score(row, text) for row, text in zip(self.rows, self.answers, strict=True)
        ]
        return self.task.aggregate(metric, [r[metric] for r in results if metric in r])


def forms(row: Row, number: int) -> str:
    """Say something about a row, right or wrong, in one of several forms."""
    right = row.target
    turned = int(row.doc.get("index", 0)) % 1_000_000
    if turned % 3:  # every rotation right, in a readable form: a question that counts
        return FORMS[number % 2].format(right=right)
    others = {"yes": "No", "no": "Yes", "A": "B", "B": "C", "C": "D", "D": "A"}
    wrong = others.get(right, others.get(right.lower(), "nothing"))
    return FORMS[(number * 7) % len(FORMS)].format(right=right, wrong=wrong)


@cache
def replay(name: str) -> Replay:
    benchmark: Benchmark = load("benchmarks", name)
    task = Task(benchmark.task, DATA)
    rows = tuple(task.rows(stop=LIMITS.get(name)))
    answers = tuple(forms(row, number) for number, row in enumerate(rows))
    samples = []
    for row, text in zip(rows, answers, strict=True):
        texts = benchmark.asked(row)
        answer = Answer(text, choices=tuple(-float(len(text) + i) for i in range(len(texts))))
        scores = {**benchmark.score(task, row, text).scores, **benchmark.logit(row, answer)}
        samples.append(
            Sample(
                *(row.id, row.content, row.image, row.text, row.target, text, 1, "stop"),
                scores=scores,
                groups=benchmark.groups(row.doc),
                units=benchmark.units(row.doc),
            )
        )
    return Replay(benchmark, task, rows, answers, tuple(samples))


@pytest.mark.parametrize("name", MATCHED)
def test_short_answers_and_letters(name: str) -> None:
    done = replay(name)
    assert done.ours("accuracy") == pytest.approx(100 * done.theirs("exact_match"), abs=1e-6)
    assert 0 < done.ours("accuracy") < done.ours("lenient accuracy") < 100


@pytest.mark.parametrize("name", YES_NO)
def test_pope(name: str) -> None:
    done = replay(name)
    assert done.ours("accuracy") == pytest.approx(100 * done.theirs("pope_accuracy"), abs=1e-6)
    assert done.ours("f1") == pytest.approx(100 * done.theirs("pope_f1_score"), abs=1e-6)
    labels = [float(row.target == "yes") for row in done.rows]
    said = [sample.scores["lenient_yes"] for sample in done.samples]
    assert done.theirs("pope_yes_ratio") == pytest.approx(np.mean(labels), abs=1e-6)
    assert done.ours("says yes") == pytest.approx(100 * np.mean(said), abs=1e-6)
    assert done.ours("says yes") != pytest.approx(100 * done.theirs("pope_yes_ratio"))


def test_mme() -> None:
    done = replay("mme")
    for name in ("perception", "cognition"):
        assert done.ours(name) == pytest.approx(done.theirs(f"mme_{name}_score"), abs=1e-6)
        assert done.ours(name) != pytest.approx(done.ours(f"lenient {name}"))
    pairs = np.array([sample.scores["strict"] for sample in done.samples]).reshape(-1, 2)
    assert done.ours("accuracy+") == pytest.approx(100 * pairs.all(1).mean(), abs=1e-6)


@cache
def grouped() -> tuple[Replay, dict[str, float]]:
    """NaturalBench with answers right in all rows but 55, and its authors' figures of them."""
    done = replay("naturalbench")
    right = [("Yes", "No", "No", "Yes")[n % 4] for n in range(len(done.rows))]
    wrong = {n * 13 % len(right) for n in range(55)}
    other = {"Yes": "No, not that", "No": "Yes."}
    said = [other[text] if n in wrong else f"{text}." for n, text in enumerate(right)]
    samples = tuple(
        replace(sample, answer=text, scores=done.benchmark.score(done.task, row, text).scores)
        for sample, row, text in zip(done.samples, done.rows, said, strict=True)
    )
    read = done.task.helper("extract_answer")
    places = ("q0_i0", "q0_i1", "q1_i0", "q1_i1")
    groups = {
        start: {name: read(said[start + n]) for n, name in enumerate(places)}
        for start in range(0, len(said), 4)
    }
    figures = done.task.helper("get_scores")(groups)
    return replace(done, answers=tuple(said), samples=samples), figures


def test_naturalbench() -> None:
    done, theirs = grouped()
    for name in ("G_Acc", "Q_Acc", "I_Acc", "Acc"):
        assert done.ours(name) == pytest.approx(100 * theirs[name], abs=1e-6)
    assert done.ours("Acc") == pytest.approx(100 * (1 - 55 / 480), abs=1e-6)
    assert 0 < done.ours("G_Acc") < done.ours("Q_Acc") < done.ours("Acc")


def test_mmstar_and_mmvp() -> None:
    star, pairs = replay("mmstar"), replay("mmvp")
    assert star.ours("average") == pytest.approx(100 * star.theirs("average"), abs=1e-6)
    assert pairs.ours("accuracy") == pytest.approx(100 * pairs.theirs("mmvp_accuracy"), abs=1e-6)
    both = pairs.theirs("mmvp_pair_accuracy")
    assert pairs.ours("pair accuracy") == pytest.approx(100 * both, abs=1e-6)
    assert 0 < pairs.ours("pair accuracy") < pairs.ours("accuracy")


@pytest.mark.parametrize("name", OPTIONS)
def test_letters_of_options(name: str) -> None:
    done = replay(name)
    assert done.ours("accuracy") == pytest.approx(100 * done.theirs(OPTIONS[name]), abs=1e-6)
    assert 0 < done.ours("accuracy") <= done.ours("lenient accuracy") < 100


def test_seedbench() -> None:
    done = replay("seedbench")
    for name in ("all", "image"):
        assert done.ours(name) == pytest.approx(100 * done.theirs(f"seed_{name}"), abs=1e-6)


@pytest.mark.parametrize("name", ["mmbench", "mmbench_cn"])
def test_mmbench(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    done = replay(name)
    assert done.ours("static circular accuracy") == pytest.approx(static(done), abs=1e-6)
    assert 0 < static(done) < 100
    unread = [sample.scores["judged"] is None for sample in done.samples]
    assert 0 < sum(unread) < len(unread), "an unreadable letter is missing, neither right nor wrong"
    assert {s.scores["static"] for s, u in zip(done.samples, unread, strict=True) if u} == {0.0}


def static(done: Replay) -> float:
    values = [
        done.task.score(row, text)["gpt_eval_score"]
        for row, text in zip(done.rows, done.answers, strict=True)
    ]
    return 100 * float(done.task.helper("mmbench_evaluator").eval_result(values, "static")[0])


def test_mmbench_counts_a_question_only_if_all_rotations_are_right() -> None:
    done = replay("mmbench")
    by_question: dict[str, list[float]] = {}
    for sample in done.samples:
        by_question.setdefault(sample.units["question"], []).append(sample.scores["static"])
    assert {len(turns) for turns in by_question.values()} == {4}
    expected = 100 * np.mean([min(turns) for turns in by_question.values()])
    assert done.ours("static circular accuracy") == pytest.approx(expected, abs=1e-6)


def described(done: Replay) -> Iterator[tuple[Row, str]]:
    """Describe each image with what is there, one thing twice, and what its neighbour shows."""
    key = "gt_object" if "gt_object" in done.rows[0].doc else "truth"
    for number, row in enumerate(done.rows):
        there = list(row.doc[key])
        beside = list(done.rows[number - 1].doc[key])
        extra = [*there[:1], *beside[:1], *beside[:1]] if number % 3 else []
        yield row, "The image shows a " + ", a ".join([*there[:2], *extra]) + "."


def chair() -> tuple[dict[str, float], dict[str, float]]:
    done = replay("chair")
    texts = list(described(done))
    counts = [done.benchmark.score(done.task, row, text).scores for row, text in texts]
    samples = tuple(
        Sample(row.id, row.content, row.image, "", "", text, 1, "stop", scores=count)
        for (row, text), count in zip(texts, counts, strict=True)
    )
    ours = Replay(done.benchmark, done.task, done.rows, done.answers, samples)
    names = names_for(done.task)
    values = [
        {"answer": row.doc["gt_object"], "pred": list(names.mentions(text)), "image_id": 0}
        for row, text in texts
    ]
    return (
        {name: ours.ours(name) for name in ("CHAIR_s", "CHAIR_i", "CHAIR_i SIMA", "recall")},
        {
            name: done.task.aggregate(f"coco_cap_{name.lower()}", values)
            for name in ("CHAIR_s", "CHAIR_i", "recall")
        },
    )


def test_chair_in_both_conventions() -> None:
    ours, theirs = chair()
    assert {name: ours[name] for name in theirs} == pytest.approx(theirs, abs=1e-6)
    assert ours["CHAIR_i SIMA"] < ours["CHAIR_i"], "a word said twice counts once above"


def test_amber_counts_from_zero_where_lmms_eval_starts_each_row_at_a_thousandth() -> None:
    ours, theirs, offset = amber()
    assert ours == pytest.approx(theirs, abs=1e-6)
    assert 0.01 < theirs["Hal"] - offset < 0.2


def amber() -> tuple[dict[str, float], dict[str, float], float]:
    done = replay("amber")
    texts = list(described(done))
    counts = [done.benchmark.score(done.task, row, text).scores for row, text in texts]
    samples = tuple(
        Sample(row.id, row.content, row.image, "", "", text, 1, "stop", scores=count)
        for (row, text), count in zip(texts, counts, strict=True)
    )
    ours = Replay(done.benchmark, done.task, done.rows, done.answers, samples)

    def counters(count: Any, start: float) -> dict[str, float]:
        return {
            "chair_score": start + count["absent"],
            "chair_num": start + count["named"],
            "safe_cover_score": start + count["covered"],
            "safe_cover_num": start + count["truths"],
            "hallu_cover_score": start + count["imagined_named"],
            "hallu_cover_num": start + count["imagined"],
            "non_hallu_score": start + 1 - count["hallucinated"],
            "non_hallu_num": start + 1,
        }

    values = [counters(count, 0) for count in counts]
    shifted = [counters(count, 0.001) for count in counts]
    names = ("CHAIR", "Cover", "Hal", "Cog")
    return (
        {name: ours.ours(name) for name in names},
        {name: done.task.aggregate(f"amber_{name.lower()}", values) for name in names},
        done.task.aggregate("amber_hal", shifted),
    )


def test_hallusionbench_counts_as_lmms_eval_does_once_verdicts_are_there() -> None:
    done = replay("hallusion")
    said = ["Yes", "No, there is not.", "There is no such thing.", "Yes.", "no"]
    texts = [said[number % len(said)] for number in range(len(done.rows))]
    scores = [
        done.benchmark.score(done.task, r, t).scores for r, t in zip(done.rows, texts, strict=True)
    ]
    samples = tuple(
        replace(sample, answer=text, scores=score)
        for sample, text, score in zip(done.samples, texts, scores, strict=True)
    )
    ours = Replay(done.benchmark, done.task, done.rows, done.answers, samples)
    data = [
        {**{k: v for k, v in row.doc.items() if k != "image"}, "check": str(int(s["right"]))}
        for row, s in zip(done.rows, scores, strict=True)
    ]
    data = done.task.helper("assign_correctness")(data, correctness_entry="check")
    every = done.task.helper("get_eval_all")(data, "check")
    pairs = done.task.helper("get_eval_pair_all")(data, "check")
    figures = done.task.helper("get_eval_fig")(data)
    for name, found in (("aAcc", every), ("qAcc", pairs), ("fAcc", figures)):
        assert ours.ours(name) == pytest.approx(100 * found["correct"] / found["total"], abs=1e-6)


def test_llava_bench_is_the_same_ratio_to_its_last_decimal() -> None:
    done = replay("llavabench")
    values = [
        {"scores": [sample.scores["reference"], sample.scores["model"]]} for sample in done.samples
    ]
    assert done.ours("all") == pytest.approx(
        done.task.aggregate("gpt_eval_llava_all", values), abs=0.06
    ), "lmms-eval rounds to one decimal"


def table() -> list[str]:
    """Return the rows of the table in the docs, as measured now."""
    rows: list[tuple[str, str, float, str, float]] = []
    for name in MATCHED:
        done = replay(name)
        rows.append(
            (
                name,
                "accuracy",
                done.ours("accuracy"),
                "exact_match",
                100 * done.theirs("exact_match"),
            )
        )
    for name in YES_NO:
        done = replay(name)
        for column, metric in (("accuracy", "pope_accuracy"), ("f1", "pope_f1_score")):
            rows.append((name, column, done.ours(column), metric, 100 * done.theirs(metric)))
    mme, seed = replay("mme"), replay("seedbench")
    for name in ("perception", "cognition"):
        rows.append(
            ("mme", name, mme.ours(name), f"mme_{name}_score", mme.theirs(f"mme_{name}_score"))
        )
    for name in ("all", "image"):
        rows.append(
            ("seedbench", name, seed.ours(name), f"seed_{name}", 100 * seed.theirs(f"seed_{name}"))
        )
    for name in ("mmbench", "mmbench_cn"):
        done = replay(name)
        rows.append(
            (
                name,
                "static circular accuracy",
                done.ours("static circular accuracy"),
                "eval_result, static",
                static(done),
            )
        )
    pairs, star, (natural, official) = replay("mmvp"), replay("mmstar"), grouped()
    both = 100 * pairs.theirs("mmvp_pair_accuracy")
    average = 100 * star.theirs("average")
    rows += [
        ("mmstar", "average", star.ours("average"), "average", average),
        ("mmvp", "pair accuracy", pairs.ours("pair accuracy"), "mmvp_pair_accuracy", both),
    ]
    for name, metric in OPTIONS.items():
        done = replay(name)
        rows.append((name, "accuracy", done.ours("accuracy"), metric, 100 * done.theirs(metric)))
    rows += [
        ("naturalbench", name, natural.ours(name), f"get_scores, {name}", 100 * official[name])
        for name in official
    ]
    ours, theirs = chair()
    rows += [
        ("chair", name, ours[name], f"coco_cap_{name.lower()}", theirs[name]) for name in theirs
    ]
    own, other, _ = amber()
    rows += [("amber", name, own[name], f"amber_{name.lower()}", other[name]) for name in other]
    return [f"| {a} | {b} | {c:.4f} | {d} | {e:.4f} |" for a, b, c, d, e in rows]


def departures() -> list[str]:
    """Return the rows of the table of departures, as measured now."""
    pope, mme, seed = replay("pope"), replay("mme"), replay("seedbench")
    (chairs, _), (own, _, shifted) = chair(), amber()
    rows: Sequence[tuple[str, str, float, str, float]] = (
        (
            "pope",
            "accuracy, exact text",
            100 * pope.theirs("pope_accuracy"),
            "lenient accuracy",
            pope.ours("lenient accuracy"),
        ),
        (
            "pope",
            "pope_yes_ratio, of the labels",
            100 * pope.theirs("pope_yes_ratio"),
            "says yes, of the answers",
            pope.ours("says yes"),
        ),
        (
            "mme",
            "perception, first four characters",
            mme.theirs("mme_perception_score"),
            "lenient perception",
            mme.ours("lenient perception"),
        ),
        (
            "seedbench",
            "seed_all, first character",
            100 * seed.theirs("seed_all"),
            "lenient",
            seed.ours("lenient"),
        ),
        (
            "chair",
            "CHAIR_i, every mention",
            chairs["CHAIR_i"],
            "CHAIR_i SIMA, each word once",
            chairs["CHAIR_i SIMA"],
        ),
        ("amber", "Hal, counters from 0.001 per row", shifted, "Hal, counters from 0", own["Hal"]),
    )
    return [f"| {a} | {b} | {c:.4f} | {d} | {e:.4f} |" for a, b, c, d, e in rows]


def test_the_tables_in_the_docs_are_what_is_measured() -> None:
    text = DOCS.read_text(encoding="utf-8")
    shown = re.findall(r"^\| [a-z_0-9]+ \|.*\| \d+\.\d{4} \|$", text, re.MULTILINE)
    measured = [*table(), *departures()]
    assert shown == measured, "put these rows into docs/benchmarks.md:\n" + "\n".join(measured)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pope_random", "scienceqa", "seedbench", "vqav2"])
def test_simple_evaluate_itself_agrees(name: str, tmp_path: Path) -> None:
    """Replay through lmms-eval's own loop, with a model that only repeats stored answers."""
    from lmms_eval.api.model import lmms
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.tasks import TaskManager

    done = replay(name)

    class Parrot(lmms):
        is_simple = True

        def generate_until(self, requests: list[Any]) -> list[str]:
            return [done.answers[request.args[3]] for request in requests]

        def loglikelihood(self, requests: list[Any]) -> list[Any]:
            raise NotImplementedError

        def generate_until_multi_round(self, requests: list[Any]) -> list[Any]:
            raise NotImplementedError

        def clean(self) -> None:
            return None

    results = simple_evaluate(
        model=Parrot(),
        tasks=[done.task._task],
        task_manager=TaskManager(include_defaults=False, model_name="llava_hf"),
        bootstrap_iters=0,
        cli_args=Namespace(
            process_with_media=False, reasoning_tags=None, output_path=str(tmp_path)
        ),
    )
    (figures,) = results["results"].values()
    wanted = {
        "pope_random": ("pope_accuracy,none", "accuracy"),
        "seedbench": ("seed_all,none", "all"),
    }.get(name, ("exact_match,none", "accuracy"))
    assert done.ours(wanted[1]) == pytest.approx(100 * figures[wanted[0]], abs=1e-6)


def test_cocos_words_are_lmms_evals_own_where_no_list_lies_beside_the_data() -> None:
    class Hub:
        folder = None
        helper = replay("chair").task.helper

    names = names_for(Hub())
    text = "Two hot dogs and a man beside a baby elephant; the woman holds wine glasses."
    assert names.mentions(text) == ("hot dog", "person", "elephant", "person", "wine glass")
    assert names.mentions("A red star.") == ()
