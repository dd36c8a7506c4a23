"""Tasks that are not ours: a figure is the task's own on any rows, or refused with the reason."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.benchmark import Benchmark, UnparsableReply, benchmark, fitted
from harness.benchmark.readings import Reading, figure_of, read_metric
from harness.errors import UsageError
from harness.records import Answer, Sample
from harness.stages import sample_of
from tests.support.made_rows import MadeRow, MadeTask, made_tasks
from tests.support.task_parity import compared

# How a figure follows from records


def records(rows: int = 24) -> list[list[dict[str, Any]]]:
    """For each row a right and a wrong record, with a wide and a narrow category and a pair."""
    wide, narrow = ("x", "x", "y"), ("a", "b", "c")
    return [
        [
            {"id": n, "wide": wide[n % 3], "narrow": narrow[n % 3], "pair": n // 2, "ok": right}
            for right in (True, False)
        ]
        for n in range(rows)
    ]


def cells(found: Sequence[dict[str, Any]], name: str) -> dict[str, float]:
    each: dict[str, list[bool]] = {}
    for one in found:
        each.setdefault(one[name], []).append(one["ok"])
    return {name: sum(values) / len(values) for name, values in each.items()}


def mean(found: Sequence[dict[str, Any]]) -> float:
    return sum(one["ok"] for one in found) / len(found)


def macro(found: Sequence[dict[str, Any]]) -> float:
    each = cells(found, "narrow")
    return sum(each.values()) / len(each)


def nested(found: Sequence[dict[str, Any]]) -> float:
    """CV-Bench's: the mean of x and y, where x is the mean of a and b."""
    each = cells(found, "narrow")
    of_x = [each[name] for name in ("a", "b") if name in each]
    parts = [sum(of_x) / len(of_x)] * bool(of_x) + [each["c"]] * ("c" in each)
    return round(100 * sum(parts) / len(parts), 2)


def pairs(found: Sequence[dict[str, Any]]) -> float:
    each = cells(found, "pair")
    return sum(value == 1 for value in each.values()) / len(each)


def f1(found: Sequence[dict[str, Any]]) -> float:
    said = [one["ok"] == (one["id"] % 2 == 0) for one in found]
    hits = sum(s and one["id"] % 2 == 0 for s, one in zip(said, found, strict=True))
    return 2 * hits / max(1, sum(said) + sum(one["id"] % 2 == 0 for one in found))


@pytest.mark.parametrize(
    ("whole", "column"),
    [
        (mean, "acc"),
        (macro, "acc (mean over narrow)"),
        (nested, "acc (mean over wide, narrow)"),
        (pairs, "acc (all of a pair)"),
        (lambda found: 5 * mean(found), "acc (0 to 10)"),
        (lambda found: len(found) * mean(found) / 1000, "acc (mean of rows)"),
        (f1, "refused"),
        (lambda found: None, "refused"),
        (lambda found: 0.5, "refused"),
        (lambda found: mean(found) if len(found) == 24 else 1 / 0, "refused"),
    ],
)
def test_a_figure_is_understood_or_refused(whole: Any, column: str) -> None:
    found = read_metric("acc", records(), whole)
    assert (found.column if isinstance(found, Reading) else "refused") == column


def test_a_row_without_a_number_is_asked_for_its_own_figure() -> None:
    """MMMU's records hold the answer and what was read, and only its function compares them."""
    rows = [[{"said": said, "right": "A"} for said in "AB"] for _ in range(24)]

    def whole(found: Sequence[dict[str, str]]) -> float:
        return round(sum(one["said"] == one["right"] for one in found) / len(found), 5)

    found = read_metric("acc", rows, whole)
    assert isinstance(found, Reading)
    assert (found.column, found.value) == ("acc", None)


def test_a_scale_is_part_of_the_columns_name() -> None:
    rows = [[{"mark": mark} for mark in (5, 0, 3)] for _ in range(24)]
    found = read_metric("mark", rows, lambda r: sum(one["mark"] for one in r) / len(r))
    assert isinstance(found, Reading)
    assert (found.column, found.top) == ("mark (0 to 10)", 10.0)


def test_a_reply_that_was_not_read_is_no_value_of_a_judged_row() -> None:
    """EgoThink adds up -1 where its judge gave no rating; without a judge -1 may be a value."""
    rows = [[{"mark": mark} for mark in (1, -1, 0.5)] for _ in range(24)]

    def whole(found: Sequence[dict[str, float]]) -> float:
        return sum(one["mark"] for one in found) / len(found)

    found = read_metric("mark", rows, whole, judged=True)
    assert isinstance(found, Reading)
    assert (found.column, found.top) == ("mark", 1.0)
    assert read_metric("mark", rows, whole) == "its values fall to -1, and no scale is declared"


def test_a_figure_of_several_numbers_a_row_is_refused_by_their_name() -> None:
    rows = [[{"marks": [4 + n % 5, mark]} for mark in (5, 6, 9)] for n in range(24)]

    def whole(found: Sequence[dict[str, list[int]]]) -> float:
        return sum(one["marks"][1] for one in found) / sum(one["marks"][0] for one in found)

    assert "several numbers of each row (marks)" in str(read_metric("ratio", rows, whole))


def test_one_sum_over_another() -> None:
    rows = [[{"bad": bad, "all": n % 5 + 2} for bad in (0, 1, 2)] for n in range(24)]
    found = read_metric("c", rows, lambda r: sum(x["bad"] for x in r) / sum(x["all"] for x in r))
    assert isinstance(found, Reading)
    assert (found.column, found.value, found.places) == ("c (sum over all)", ("bad",), (("all",),))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), min_size=1, max_size=30))
def test_a_column_over_cells_is_the_mean_of_their_means(said: list[tuple[str, bool]]) -> None:
    name = "acc (mean over narrow)"
    rows = [
        Sample(
            *(str(n), "", str(n), "", "", "x", 1, "stop"),
            scores={name: float(right)},
            units={name: cell},
        )
        for n, (cell, right) in enumerate(said)
    ]
    found = [{"narrow": cell, "ok": right} for cell, right in said]
    assert figure(name, rows) == pytest.approx(100 * macro(found))
    if len(rows) > 1:  # as leaving one image out does it
        assert figure(name, rows, without=0) == pytest.approx(100 * macro(found[1:]))
    assert figure_of("cells", found, lambda r: float(r["ok"]), (("narrow",),)) == macro(found)


def figure(name: str, rows: Sequence[Sample], without: int | None = None) -> float:
    from harness.benchmark.foreign_columns import known_columns

    column = known_columns({name: (True, True)}, rows)[0]
    counted = [column.count([row]) for at, row in enumerate(rows) if at != without]
    return float(column.value(np.sum(np.array(counted, dtype=float), axis=0)))


# Tasks of lmms-eval on rows that are made up


@functools.cache
def task_of(name: str) -> MadeTask:
    """Return a task on the best rows that can be made up for it."""
    return list(made_tasks(benchmark(name).task))[-1]


def rows_of(name: str, words: Sequence[str] = ("first", "second"), **kinds: str) -> MadeTask:
    path = benchmark(name).task
    return MadeTask(path, [MadeRow(n, kinds, (words,)) for n in range(24)])


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("mmmu_val", {"mmmu_acc"}),
        ("blink_counting", {"blink_acc"}),
        ("cv_bench_2d", {"cv_bench_acc"}),
        ("ai2d", {"exact_match"}),
        ("crpe_relation", {"exact_match"}),
        ("realworldqa", {"exact_match"}),
        ("mmvp", {"mmvp_accuracy", "mmvp_pair_accuracy (all of a pair_index)"}),
        ("mmstar", {"average (mean over l2_category)"}),
        ("mmvetv2", {"gpt_eval_score"}),
    ],
)
def test_figures_are_lmms_evals_own(name: str, columns: set[str]) -> None:
    task = task_of(f"lmms:{name}")
    found = compared(name, task)
    assert found.word in ("equal", "equal as rounded")
    assert columns <= set(found.columns)


def test_filters_are_applied() -> None:
    """lmms-eval's filter reads the letter of "A. red"; without it the answer is wrong."""
    bench, task = benchmark("lmms:ai2d"), rows_of("lmms:ai2d", answer="index")
    row = next(task.rows())
    assert (row.target, bench.score(task, row, "A. red").scores) == ("A", {"exact_match": 1.0})


def test_the_headline_is_the_aggregate_or_named() -> None:
    words = ("math", "logical reasoning")
    task = rows_of("lmms:mmstar", words)
    for name, head in (
        ("lmms:mmstar", "average (mean over l2_category)"),
        ("lmms:mmstar:math", "math"),
    ):
        bench = benchmark(name)
        rows = [sample_of(task, bench, row, Answer("A")) for row in task.rows()]
        assert [c.name for c in fitted(bench.columns, rows) if c.primary] == [head]
    with pytest.raises(UsageError, match=r"no metric 'maths'.*Did you mean 'math'"):
        benchmark("lmms:mmstar:maths")


# Tasks that ask a language model


def test_the_task_asks_our_judge_in_its_own_words() -> None:
    bench, task = benchmark("lmms:mmvetv2"), rows_of("lmms:mmvetv2", answer="word")
    row = next(task.rows())
    sample = sample_of(task, bench, row, Answer("a red thing"))
    assert sample.scores == {"gpt_eval_score": None}
    assert sample.error is not None
    assert "--judge" in sample.error
    assert bench.rubric is not None
    question = bench.rubric.ask(task, row, "a red thing")
    assert question is not None
    assert "Ground truth | Prediction" in question.prompt
    assert "a red thing" in question.prompt
    assert bench.rubric.read(task, row, "a red thing", "0.7").scores == {"gpt_eval_score": 0.7}
    for reply in ("no idea", "", "between things"):
        with pytest.raises(UnparsableReply):
            bench.rubric.read(task, row, "a red thing", reply)


@pytest.mark.parametrize(
    ("task", "prompt"),
    [("mathverse_testmini", "strict evaluator"), ("egothink_activity", "0, 0.5 or 1")],
)
def test_code_that_wants_a_service_named_is_imported_and_asks_our_judge(
    task: str, prompt: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "API_TYPE"):
        monkeypatch.delenv(name, raising=False)
    bench = benchmark(f"lmms:{task}")
    assert bench.rubric is not None
    made = next(made_tasks(bench.task))
    bench.prepare(made)
    row = next(made.rows(0, 1))
    asked = bench.rubric.ask(made, row, "a wrong answer")
    assert asked is not None
    assert prompt in asked.prompt
    assert not {"OPENAI_API_KEY", "API_TYPE"} & set(os.environ)


def test_a_group_stands_for_its_tasks() -> None:
    from harness.benchmark import expand

    found = expand(["lmms:blink", "pope"])
    assert len(found) == 15, found
    assert {"lmms:blink_counting", "pope"} <= set(found)
    assert all(benchmark(name).columns for name in found)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("lmms:naturalbench", "--bench naturalbench"),
        ("lmms:llava_in_the_wild", "two marks a row.*--bench llavabench"),
        ("lmms:mmmu_test", "only writes a file for submission"),
        ("lmms:seedbench_ppl", "another way than one question"),
    ],
)
def test_what_cannot_be_measured_is_refused_at_once(name: str, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        benchmark(name)


# Task files of one's own

OWN = """
dataset_path: me/own
task: "my own"
test_split: test
output_type: generate_until
doc_to_visual: !function utils.visual
doc_to_text: question
doc_to_target: answer
process_results: !function utils.results
metric_list:
  - metric: right
    aggregation: mean
    higher_is_better: true
  - metric: odd
    aggregation: !function utils.odd
    higher_is_better: true
  - metric: submission
    aggregation: bypass
"""
CODE = """
def visual(doc):
    return [doc["image"]]


def results(doc, answers):
    right = float(answers[0] == doc["answer"])
    lost = answers[0] == "lost"
    return {"right": None if lost else right, "odd": right, "submission": {}}


def odd(values):
    return max(values) - min(values) + sum(values) ** 2
"""


def own(tmp_path: Path, text: str = OWN) -> tuple[Benchmark, MadeTask]:
    (tmp_path / "utils.py").write_text(CODE)
    file = tmp_path / "own.yaml"
    file.write_text(text)
    bench = benchmark(str(file))
    return bench, next(made_tasks(bench.task))


def test_a_task_file_of_ones_own_is_read_the_same_way(tmp_path: Path) -> None:
    bench, task = own(tmp_path)
    assert (bench.name, bench.title) == ("file-my-own", "my own")
    assert [(c.name, c.higher_is_better) for c in bench.columns] == [("right", True), ("odd", True)]
    notes = bench.prepare(task)
    assert len(notes) == 1
    assert "odd is left out: its figure is no mean" in notes[0]
    row = next(task.rows())
    assert bench.score(task, row, row.target).scores == {"right": 1.0}
    assert bench.score(task, row, "lost").scores == {"right": None}, "lost is no figure"


def test_without_its_headline_a_task_is_refused(tmp_path: Path) -> None:
    bench, task = own(tmp_path, OWN.replace("metric: odd", "metric: odd"))
    del bench
    head = benchmark(str(tmp_path / "own.yaml"))
    assert head.prepare(task)
    (tmp_path / "utils.py").write_text(CODE.replace('"odd": right', '"overall": right'))
    file = tmp_path / "total.yaml"
    file.write_text(OWN.replace("metric: odd", "metric: overall"))
    bench = benchmark(str(file))
    with pytest.raises(UsageError, match=r"cannot be compared row by row.*overall: .*TASK:METRIC"):
        bench.prepare(next(made_tasks(bench.task)))


def test_a_tasks_code_is_imported_without_torch_and_whatever_runs_models() -> None:
    code = (
        "import sys\n"
        "from harness.benchmark.importing import kept_as_it_was\n"
        "with kept_as_it_was():\n"
        "    import lmms_eval.api.task as task, lmms_eval.utils as utils\n"
        "heavy = {'torch', 'transformers', 'accelerate', 'evaluate', 'openai', 'chardet'}\n"
        "print(heavy & set(sys.modules))\n"
        "import torch\n"
        "print(utils.torch.Tensor is torch.Tensor, task.Accelerator().__class__.__module__)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split("\n")[:2] == ["set()", "True accelerate.accelerator"]
