"""What a reader has to know follows from records, and of the right result."""

from __future__ import annotations

import dataclasses

import pytest

from harness.benchmark import benchmark
from harness.judge import Judging, Verdicts
from harness.report import ReportInput, Taken, conclude
from harness.runs import columns_of, compare_runs, open_run
from harness.stages import Ablation
from harness.stages.contamination import ImageOverlap
from tests.support.finished import pope, write_run

COLUMNS = {"pope": benchmark("pope").columns}
JUDGING = Judging("openai:x", ("x-1",), ("mmvet",), 1, 2, 0, 1, 1)
BLANKED = {"pairs": 10, "chosen": -20.0, "chosen_blank": -60.0, "drops": 1.0}


def about(**fields):
    return ReportInput(None, "seva", "model", **fields)


def arms(judging=None):
    return Verdicts({"pope": pope()}, {"pope": pope(seed=4)}, judging)


def test_every_record_gives_its_sentences_once_and_the_notice_comes_first():
    given = about(
        notice="a notice",
        taken=(Taken("other.zip", ("pope",)),),
        ablation=Ablation(BLANKED, BLANKED),
        seeds=(3, 4),
        notes=("something else", "a notice"),
    )
    touched = [ImageOverlap("pope", 90, ("0",), 0)]
    report = conclude(given, arms(JUDGING), COLUMNS, touched=touched)
    starts = (
        "a notice",
        "Image ablation: blanking",
        "Before taken from other.zip, not measured in this run: pope.",
        "Judged by openai:x (x-1): mmvet.",
        "pope: 1 of 90 rows show an image of the training prompts.",
        "Figures after training are means over 2 seeds (3, 4)",
        "something else",
    )
    assert len(report.sentences) == len(starts)
    for sentence, start in zip(report.sentences, starts, strict=True):
        assert sentence.startswith(start)
    assert report.compared.notes == ()


def test_judged_again_nothing_of_the_judge_before_stays():
    first = conclude(about(), arms(JUDGING), COLUMNS)
    again = conclude(first, arms(dataclasses.replace(JUDGING, judge="hf:y")), COLUMNS)
    assert [note.split()[2] for note in again.sentences] == ["hf:y"]
    assert conclude(again, arms(), COLUMNS).sentences == ()


def test_a_comparison_is_made_like_another(tmp_path):
    run = open_run(write_run(tmp_path / "a", {"pope": pope()}, {"pope": pope(seed=4)}, draws=300))
    verdicts = Verdicts(run.before, run.after)
    columns = {"pope": columns_of("pope", run)}  # without those that its rows know nothing of
    again = conclude(run.report, verdicts, columns, like=run.report.compared)
    assert again.comparison == run.report.comparison


@pytest.mark.parametrize("same", [True, False])
def test_two_runs_side_by_side_say_what_is_true_of_both(tmp_path, same):
    """Not what either says of its own training; but which rows any of them has trained on."""
    runs = []
    for name, ids in (("a", ("0", "1")), ("b", ("0", "1") if same else ("1", "2"))):
        path = write_run(tmp_path / name, {"pope": pope()}, {"pope": pope(seed=4)}, method=name)
        run = open_run(path)
        touched = [ImageOverlap("pope", 90, ids, 1)]
        given = dataclasses.replace(
            run.report, judging=JUDGING, seeds=(0, 1), taken=(Taken("x", ("pope",)),), notes=()
        )
        report = conclude(given, Verdicts(run.before, run.after, JUDGING), COLUMNS, touched=touched)
        runs.append(dataclasses.replace(run, report=report))
    report = compare_runs(*runs)
    (note, told) = report.sentences
    assert told == "In these notes, before is a and after is b."
    count, number = ("2", ", 1 of them by its number only") if same else ("3", "")
    assert note.startswith(
        f"pope: {count} of 90 rows show an image of the training prompts{number}. Without them:"
    )
    assert report.judging is None
