"""Results of other harnesses: read as they are written, checked against their own figures."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from harness.benchmark import adhoc_columns
from harness.compare import compare
from harness.errors import HarnessError, UsageError
from harness.runs import (
    bundle,
    compare_runs,
    open_evidence,
    open_run,
    read_lmms,
    read_vlmevalkit,
    verify,
    write_import,
)
from tests.benchmark.test_parity import Replay, replay


def evaluated(done: Replay, answers: list[str], out: Path) -> dict[str, Any]:
    """Let lmms-eval's own evaluator and tracker score answers and write its files."""
    from lmms_eval.api.model import lmms
    from lmms_eval.evaluator import simple_evaluate
    from lmms_eval.loggers import EvaluationTracker
    from lmms_eval.tasks import TaskManager

    class Parrot(lmms):
        is_simple = True

        def generate_until(self, requests: list[Any]) -> list[str]:
            return [answers[request.args[3]] for request in requests]

        def loglikelihood(self, requests: list[Any]) -> list[Any]:
            raise NotImplementedError

        def generate_until_multi_round(self, requests: list[Any]) -> list[Any]:
            raise NotImplementedError

        def clean(self) -> None:
            return None

    tracker = EvaluationTracker(output_path=str(out))
    results = simple_evaluate(
        model=Parrot(),
        tasks=[done.task._task],
        task_manager=TaskManager(include_defaults=False, model_name="llava_hf"),
        bootstrap_iters=0,
        log_samples=True,
        evaluation_tracker=tracker,
        cli_args=Namespace(process_with_media=False, reasoning_tags=None, output_path=str(out)),
    )
    samples = results.pop("samples")
    tracker.save_results_aggregated(
        results=results, samples=samples, datetime_str="20261121_100000"
    )
    for task in results["configs"]:
        tracker.save_results_samples(task, samples[task])
    (figures,) = results["results"].values()
    return figures


@pytest.fixture(scope="module")
def lmms_eval(tmp_path_factory) -> dict[str, tuple[Path, dict[str, Any]]]:
    """Two evaluations of POPE and one of MME, by lmms-eval itself."""
    pope, mme = replay("pope_random"), replay("mme")
    chance = random.Random(1)
    better = [row.target if chance.random() < 0.9 else "perhaps" for row in pope.rows]
    better[3] = "[LMMS_EVAL_REQUEST_FAILED after 5 retries] timeout"
    made = {}
    for name, done, answers in (
        ("base", pope, list(pope.answers)),
        ("tuned", pope, better),
        ("mme", mme, list(mme.answers)),
    ):
        folder = tmp_path_factory.mktemp(name)
        made[name] = folder, evaluated(done, answers, folder)
    return made


@pytest.mark.slow
def test_a_metric_is_taken_when_its_rows_give_lmms_evals_own_figure(lmms_eval):
    folder, figures = lmms_eval["base"]
    (found,) = read_lmms([folder])
    assert list(found.metrics) == ["pope_accuracy"]
    values = [row.scores["pope_accuracy"] for row in found.samples]
    assert sum(values) / len(values) == pytest.approx(figures["pope_accuracy,none"], abs=1e-9)
    assert figures["pope_f1_score,none"] != figures["pope_accuracy,none"]
    assert any(note.startswith("pope_f1_score left out") for note in found.notes)
    assert "equal to lmms-eval's own figure: pope_accuracy" in found.notes
    done = replay("pope_random")
    assert [row.prompt for row in found.samples] == [row.text for row in done.rows]
    assert [row.answer for row in found.samples] == list(done.answers)
    assert [row.target for row in found.samples] == [row.target for row in done.rows]


@pytest.mark.slow
def test_a_total_is_not_passed_off_as_a_mean(lmms_eval):
    folder, figures = lmms_eval["mme"]
    (found,) = read_lmms([folder])
    assert list(found.metrics) == [
        "mme_perception_score (mean of rows)",
        "mme_cognition_score (mean of rows)",
    ]
    name = "mme_perception_score (mean of rows)"
    rows = [row for row in found.samples if row.scores.get(name) is not None]
    assert sum(row.scores[name] for row in rows) != figures["mme_perception_score,none"]
    images = {row.doc["question_id"] for row in replay("mme").rows}
    assert len({row.cluster for row in found.samples}) == len(images)


@pytest.mark.slow
def test_two_imports_are_compared_without_asking_anyone(lmms_eval, tmp_path):
    sides = {}
    for name in ("base", "tuned"):
        out = tmp_path / name
        done = subprocess.run(
            [
                *(sys.executable, "-m", "harness", "import", "lmms-eval"),
                *(str(lmms_eval[name][0]), "--out", str(out)),
            ],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        sides[name] = open_run(out)
    report = compare_runs(sides["base"], sides["tuned"])
    (result,) = report.comparison.benchmarks
    (figure,) = result.figures
    assert figure.verdict == "gain"
    assert result.missing_after == ("3",)  # lmms-eval counted this row as wrong
    both = [row for row in sides["base"].after[result.name] if row.id != "3"]
    mean = 100 * sum(row.scores["pope_accuracy"] for row in both) / len(both)
    assert figure.before == pytest.approx(mean)
    assert any("every row counts as independent" in note for note in report.sentences)
    packed = bundle(tmp_path / "base", tmp_path / "base.zip").path
    assert open_evidence(packed).after == sides["base"].after
    found = verify(packed)
    assert found.passed
    assert {check.outcome for check in found.checks} == {"ok"}  # its figures follow from its rows
    assert verify(tmp_path / "base").passed  # each figure of the one model follows from its rows


def test_a_sample_file_alone_is_taken_and_not_called_checked(tmp_path):
    rows = [
        {
            "doc_id": n,
            "target": "yes",
            "filtered_resps": ["yes"],
            "token_counts": [{"input_tokens": 5, "output_tokens": n}],
            "doc_hash": "same",
            "exact_match": float(n % 2),
            "relaxed": float(n % 2),
            "submission": {"score": 1},
            "input": f"Question {n}?",
        }
        for n in range(6)
    ]
    file = tmp_path / "20261121_100000_samples_my_task.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (found,) = read_lmms([file])
    assert found.name == "lmms-my_task"
    assert list(found.metrics) == ["exact_match"]
    assert [row.tokens for row in found.samples] == list(range(6))
    assert any("not checked against" in note for note in found.notes)
    file.write_text(file.read_text() + "{torn\n")
    with pytest.raises(HarnessError, match=r"my_task\.jsonl, line 7 is not JSON"):
        read_lmms([file])


def sheet(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Write a table as pandas does for VLMEvalKit: one sheet, names first."""
    book = openpyxl.Workbook()
    assert book.active is not None
    book.active.append(list(rows[0]))
    for row in rows:
        book.active.append(list(row.values()))
    book.save(path)
    return path


def choices(hits: list[int | None]) -> list[dict[str, Any]]:
    """Rows of MMBench after scoring; the second half are rotations of the first."""
    half = len(hits) // 2
    return [
        {
            "index": n % half + (1_000_000 if n >= half else 0),
            "question": f"Which is {n % half}?",
            "A": "one",
            "B": "two",
            "answer": "A",
            "category": "counting",
            "prediction": "=1+1" if n == 1 else "A",
            "hit": hit,
            "log": "Match Log: A.",
        }
        for n, hit in enumerate(hits)
    ]


def test_choices_of_vlmevalkit(tmp_path):
    first = sheet(tmp_path / "llava-7b_MMBench_DEV_EN_result.xlsx", choices([1, 0, 0, 1, 0, 0]))
    second = sheet(tmp_path / "mine_MMBench_DEV_EN_result.xlsx", choices([1, 1, 0, 1, 1, None]))
    for name, file in (("a", first), ("b", second)):
        write_import(read_vlmevalkit([file]), tmp_path / name, source="VLMEvalKit", name=name)
    report = compare_runs(open_run(tmp_path / "a"), open_run(tmp_path / "b"))
    (result,) = report.comparison.benchmarks
    (figure,) = result.figures
    assert result.name == "vlmevalkit-MMBench_DEV_EN"
    assert (figure.before, figure.after, figure.samples) == (40.0, 80.0, 5)
    assert result.missing_after == ("1000002",)
    assert result.clusters == 3  # a rotation shows the same image
    assert figure.column == "hit"
    assert {group.value for group in result.groups} == {"counting"}


def test_yes_or_no_of_vlmevalkit_in_every_kind_of_table(tmp_path):
    rows = [
        {
            "index": n,
            "question": "Is there a dog?",
            "answer": "Yes",
            "image_path": f"{n // 3}.jpg",
            "prediction": "Failed to obtain answer via API." if n == 4 else "Yes.\nSure",
            "extracted": "Yes",
            "score": n % 2 == 0,
        }
        for n in range(6)
    ]
    files = [sheet(tmp_path / "m_POPE_auxmatch.xlsx", rows)]
    for name, sign in (("tsv", "\t"), ("csv", ",")):
        text = "".join(
            sign.join(f'"{cell}"' for cell in line) + "\n"
            for line in (rows[0], *(row.values() for row in rows))
        )
        files.append(tmp_path / f"m_POPE_auxmatch.{name}")
        files[-1].write_text(text)
    files.append(tmp_path / "m_POPE_auxmatch.json")
    files[-1].write_text(
        json.dumps({k: {str(n): r[k] for n, r in enumerate(rows)} for k in rows[0]})
    )
    read = [read_vlmevalkit([file])[0] for file in files]
    assert all(each == read[0] for each in read[1:])
    assert [row.scores["score"] for row in read[0].samples] == [1, 0, 1, 0, None, 0]
    assert read[0].samples[4].answer is None
    assert len({row.cluster for row in read[0].samples}) == 2


def test_scores_above_one_are_not_made_into_percent(tmp_path):
    for name, tens in (("a", 3), ("b", 4)):
        rows = [
            {"index": n, "question": f"{n}", "prediction": "x", "score": n % 3 + tens - 3}
            for n in range(30)
        ]
        file = sheet(tmp_path / f"{name}_MMHal_gpt-4.xlsx", rows)
        write_import(read_vlmevalkit([file]), tmp_path / name, source="VLMEvalKit", name=name)
    report = compare_runs(open_run(tmp_path / "a"), open_run(tmp_path / "b"))
    (figure,) = report.comparison.benchmarks[0].figures
    assert report.comparison.benchmarks[0].name == "vlmevalkit-MMHal"
    assert (figure.before, figure.after) == (1.0, 2.0)
    assert figure.margin == pytest.approx(0.1)  # one percent of a scale of ten


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a_POPE.csv", "index,question,prediction\n1,a,b\n", "has no verdicts"),
        ("a_POPE.pkl", "x", "a pickle"),
        ("a_POPE.xlsx", "no zip", "cannot be read"),
        ("a_POPE.json", "[", "is not JSON"),
    ],
)
def test_what_cannot_be_read_is_said(tmp_path, name, content, said):
    (tmp_path / name).write_text(content)
    with pytest.raises(HarnessError, match=said):
        read_vlmevalkit([tmp_path / name])


def test_imports_do_not_overwrite_runs_or_mix(tmp_path):
    file = sheet(tmp_path / "a_X_result.xlsx", choices([1, 0]))
    found = read_vlmevalkit([file])
    out = write_import(found, tmp_path / "run", source="VLMEvalKit", name="a")
    journal = out / "after" / f"{found[0].name}.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    for kept in (lines, lines[:-1], lines[:2]):  # killed before its result, or among its rows
        (out / "comparison.json").unlink()
        journal.write_bytes(b"".join(kept))
        write_import(found, out, source="VLMEvalKit", name="a")
        assert journal.read_bytes().splitlines(keepends=True) == lines
    with pytest.raises(UsageError, match="holds a run already"):
        write_import(found, tmp_path / "run", source="VLMEvalKit", name="a")
    with pytest.raises(UsageError, match="there twice"):
        read_vlmevalkit([file, file])
    with pytest.raises(UsageError, match="no \\*_samples_"):
        read_lmms([tmp_path])
    other = sheet(tmp_path / "b_X_result.xlsx", [*choices([1, 0]), *choices([1] * 6)[2:3]])
    write_import(read_vlmevalkit([other]), tmp_path / "other", source="VLMEvalKit", name="b")
    with pytest.raises(HarnessError, match="row 2 is only in the second run"):
        compare_runs(open_run(tmp_path / "run"), open_run(tmp_path / "other"))


def lmms_file(folder, scores, **more):
    folder.mkdir(exist_ok=True)
    rows = [
        {
            "doc_id": index,
            "input": f"Question {index}?",
            "target": "t",
            "filtered_resps": ["a"],
            "gpt_eval_score": {"question_id": index, "score": score},
            **{key: value for key, value in more.items() if index == 0},
        }
        for index, score in enumerate(scores)
    ]
    file = folder / "20261121_100000_samples_mmvet2.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return read_lmms([file])[0]


@pytest.mark.parametrize("lost", [float("nan"), None, float("inf")])
def test_scores_that_one_side_lost_are_no_gain(tmp_path, lost):
    scores = [0.0] * 20 + [1.0] * 40
    before = lmms_file(tmp_path / "a", scores)
    after = lmms_file(tmp_path / "b", [lost] * 20 + scores[20:])
    columns = {"b": adhoc_columns(before.metrics)}
    result = compare({"b": before.samples}, {"b": after.samples}, columns, draws=100)
    (figure,) = result.benchmarks[0].figures
    assert (figure.difference, figure.samples, figure.verdict) == (0.0, 40, "cannot tell")
    assert (figure.missing_before, figure.missing_after, result.missing) == (0, 20, 20)
    states = [(each.state, each.rows) for each in result.benchmarks[0].states_after]
    assert states == [("answered", 40), ("missing", 20)]
    assert "gave no number for gpt_eval_score" in result.benchmarks[0].states_after[1].reason


@pytest.mark.parametrize(
    ("scores", "figure", "judge", "lost", "told"),
    [
        ([1.0, -1.0, 0.0, 1.0], 2 / 3, "", True, "it counts as missing"),
        ([1.0, -1.0, 0.0, 1.0], 0.25, "", False, "as a number, as in lmms-eval's own figure"),
        ([1.0, -1.0, 0.0, 1.0], 0.25, "gpt-4", True, "it counts as missing"),
        ([1.0, -1.0, 0.0, 1.0], None, "", False, "it counts as a number"),
        ([1.0, -1.0, -2.0, 1.0], -0.25, "", False, None),
    ],
)
def test_what_minus_one_stands_for_is_taken_from_lmms_evals_figure(
    tmp_path, scores, figure, judge, lost, told
):
    if figure is not None:
        own = {"results": {"mmvet2": {"gpt_eval_score,none": figure}}}
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "20261121_100000_results.json").write_text(json.dumps(own))
    first = {"score": scores[0], "eval_model": judge}
    found = lmms_file(tmp_path / "a", scores, gpt_eval_score=first)
    values = [value for row in found.samples for value in row.scores.values()]
    assert values == ([1.0, None, 0.0, 1.0] if lost else scores)
    assert found.samples[1].state == ("missing" if lost else "answered")
    notes = [note for note in found.notes if "-1 in 1 rows" in note]
    assert [told in note for note in notes] == [True] * (told is not None)


def test_a_thought_in_an_import_is_kept_apart(tmp_path):
    found = lmms_file(tmp_path / "a", [1.0, 1.0], filtered_resps=["<think>hm, no</think> yes"])
    first = found.samples[0]
    assert (first.answer, first.thought, first.tokens) == ("yes", "hm, no", 1)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("llava_v1.5_7b_POPE_auxmatch.csv", "POPE"),
        ("Qwen2_VL_MMBench_DEV_EN_result.csv", "MMBench_DEV_EN"),
        ("my_model_a/my_model_a_Own_Set_gpt-4o_score.csv", "Own_Set"),
        ("plain_Whatever_result.csv", "Whatever"),
    ],
)
def test_models_names_hold_underscores(tmp_path, file, name):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("index,question,prediction,hit\n1,q,A,1\n", encoding="utf-8-sig")
    assert [each.name for each in read_vlmevalkit([path])] == [f"vlmevalkit-{name}"]


def test_a_folder_is_read_and_one_bad_file_leaves_the_others(tmp_path):
    good = "index,question,prediction,hit\n1,q,A,1\n"
    (tmp_path / "a_b_POPE_auxmatch.csv").write_text(good)
    (tmp_path / "a_b_MMStar_result.csv").write_text(good.replace("hit", "said"))
    (tmp_path / "a_b_MMStar.csv").write_text("answers without verdicts are no result")
    left_out: list[str] = []
    found = read_vlmevalkit([tmp_path], left_out)
    assert [each.name for each in found] == ["vlmevalkit-POPE"]
    assert ["has no verdicts" in told for told in left_out] == [True]
    with pytest.raises(
        UsageError, match=r"has no verdicts.* harness score .*MMStar_result.csv --bench"
    ):
        read_vlmevalkit([tmp_path])


def test_a_task_without_numbers_leaves_the_others(tmp_path):
    line = {"doc_id": 0, "input": "q", "target": "A", "filtered_resps": ["A"]}
    (tmp_path / "x_samples_pope.jsonl").write_text(json.dumps({**line, "right": 1.0}) + "\n")
    (tmp_path / "x_samples_seedbench.jsonl").write_text(json.dumps({**line, "all": {}}) + "\n")
    left_out: list[str] = []
    assert [each.name for each in read_lmms([tmp_path], left_out)] == ["lmms-pope"]
    assert len(left_out) == 1
    assert "harness score" in left_out[0]
    with pytest.raises(HarnessError, match="no number for a single row"):
        read_lmms([tmp_path])


def test_a_row_that_stands_twice_is_said_or_refused(tmp_path):
    line = {"doc_id": 0, "input": "q", "target": "A", "filtered_resps": ["A"], "right": 1.0}
    file = tmp_path / "x_samples_pope.jsonl"
    rows = [{**line, "doc_id": n} for n in (0, 1, 1, 2)]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (found,) = read_lmms([file])
    assert [row.id for row in found.samples] == ["0", "1", "2"]
    assert any("1 rows stand in the file more than once" in note for note in found.notes)
    file.write_text(file.read_text() + json.dumps({**line, "doc_id": 2, "right": 0.0}) + "\n")
    with pytest.raises(HarnessError, match=r"1 rows of lmms-pope stand .* other answers .* as 2"):
        read_lmms([file])


def test_a_partial_file_is_said_with_counts(tmp_path):
    line = {"input": "q", "target": "A", "filtered_resps": ["A"], "pope_accuracy": 1.0}
    rows = "".join(json.dumps({**line, "doc_id": n}) + "\n" for n in range(5))
    (tmp_path / "x_samples_pope.jsonl").write_text(rows)
    counted = {"pope": {"original": 9000, "effective": 8}}
    (tmp_path / "x_results.json").write_text(json.dumps({"n-samples": counted}))
    (found,) = read_lmms([tmp_path])
    assert any("holds 5 of the 8 rows" in note and "2, 3, 4" in note for note in found.notes)
    assert dict(found.metrics) == {"pope_accuracy": True}  # as the installed task says


def test_rows_that_lack_a_column_are_missing_and_those_without_an_index_are_refused(tmp_path):
    rows = [{"index": n, "question": "?", "prediction": "Yes", "score": 1} for n in range(3)]
    file = tmp_path / "m_POPE_auxmatch.json"
    del rows[1]["score"]
    rows[0]["score"] = 10**400  # no number that can be computed with
    file.write_text(json.dumps(rows))
    (found,) = read_vlmevalkit([file])
    assert [row.scores["score"] for row in found.samples] == [None, None, 1.0]
    del rows[2]["index"]
    file.write_text(json.dumps(rows))
    with pytest.raises(HarnessError, match=r"1 of 3 rows of .* have no index: rows 3\."):
        read_vlmevalkit([file])


@pytest.mark.parametrize("wrong", [None, [], "x", {"pope": None}, {"pope": [1]}])
@pytest.mark.parametrize("part", ["results", "higher_is_better", "n-samples"])
def test_results_in_another_form_are_no_figures(tmp_path, part, wrong):
    row = {"doc_id": 0, "input": "?", "target": "yes", "filtered_resps": ["yes"], "exact_match": 1}
    (tmp_path / "now_samples_pope.jsonl").write_text(json.dumps(row))
    told = {"results": {"pope": {"exact_match,none": 1.0}}}
    (tmp_path / "now_results.json").write_text(json.dumps({**told, part: wrong}))
    (found,) = read_lmms([tmp_path])
    assert dict(found.metrics) == {"exact_match": None}
    assert any(note.startswith("no verdict on exact_match") for note in found.notes)


@pytest.mark.parametrize(
    ("more", "answer", "tokens"),
    [
        ({"token_counts": {"output_tokens": 3}}, "yes", 3),
        ({"token_counts": 3}, "yes", 1),
        ({"filtered_resps": [["yes no"]]}, "yes no", 2),
        ({"filtered_resps": None}, None, 0),
        ({"filtered_resps": []}, None, 0),
    ],
)
def test_an_answer_of_lmms_eval_is_its_text_or_missing(tmp_path, more, answer, tokens):
    row = {"doc_id": 0, "input": "?", "target": "yes", "filtered_resps": ["yes"], "exact_match": 1}
    (tmp_path / "now_samples_pope.jsonl").write_text(json.dumps({**row, **more}))
    (found,) = read_lmms([tmp_path])
    assert [(one.answer, one.tokens) for one in found.samples] == [(answer, tokens)]
