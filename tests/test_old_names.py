"""What plugins imported from the version before still works, and warns once."""

from __future__ import annotations

import importlib
import subprocess
import sys
import warnings

import pytest

from harness import old_names
from harness.benchmark import Benchmark, Scored, mean_of


@pytest.fixture(autouse=True)
def nothing_said_yet(monkeypatch):
    monkeypatch.setattr(old_names, "_said", set())


OLD = [
    "harness.ask.ask_each",
    "harness.benchmark.Ask",
    "harness.benchmark.Column",
    "harness.benchmark.paper",
    "harness.columns.Column",
    "harness.columns.f1_of",
    "harness.columns.mean_of",
    "harness.columns.ratio_of",
    "harness.columns.together",
    "harness.compare.Figure",
    "harness.compare.ReportInput",
    "harness.compare.mean_of",
    "harness.comparison.BenchmarkComparison",
    "harness.comparison.Figure",
    "harness.comparison.ReportInput",
    "harness.comparison_gate.Ruling",
    "harness.conclude.conclude",
    "harness.data_files.Files",
    "harness.data_files.malformed",
    "harness.data_official.Entry",
    "harness.data_official.Official",
    "harness.data_official.texts_of",
    "harness.doctor.word_distance",
    "harness.doctor_text.facts",
    "harness.dpo.canary",
    "harness.evaluate.evaluate",
    "harness.folder.cannot_write",
    "harness.folder.write_whole",
    "harness.judge_exam.Anchor",
    "harness.judge_exam.Exam",
    "harness.judge_exam.Unreadable",
    "harness.judge_exam.paper",
    "harness.lmms.Row",
    "harness.lmms.Task",
    "harness.preflight.preflight",
    "harness.prompts.read_prompts",
    "harness.records.World",
    "harness.run_seeds.run_seeds",
    "harness.store.Store",
    "harness.train.Checkpoint",
    "harness.train.training_of",
]


@pytest.mark.parametrize("name", OLD)
def test_an_old_name_works_and_warns_once(name):
    module, _, attribute = name.rpartition(".")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        first = getattr(importlib.import_module(module), attribute)
        again = getattr(importlib.import_module(module), attribute)
    assert first is again
    assert first is not None
    (warning,) = [each for each in told if each.category is FutureWarning]
    assert f"{name} is now harness." in str(warning.message)


def test_every_old_name_of_the_tables_leads_somewhere():
    for package, names in old_names.NAMES.items():
        for name in names:
            assert getattr(importlib.import_module(package), name) is not None


def test_a_benchmark_takes_its_old_keywords_and_shows_its_old_attributes():
    with pytest.warns(FutureWarning, match=r"Benchmark\(photo=...\) is now image_source=..."):
        made = Benchmark(
            name="old",
            title="Old",
            task="x.yaml",
            score=lambda task, row, answer: Scored({}),
            columns=(mean_of("right"),),
            photo=lambda doc: "17.jpg",
        )
    assert made.image_source({}) == made.photo({}) == "17.jpg"
    assert made.exam is made.rubric is None


def test_a_name_that_never_was_is_an_error():
    with pytest.raises(ImportError, match="cannot import name 'Colum'"):
        exec_import("from harness.columns import Colum")
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("harness.never_was")
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = importlib.import_module("harness.benchmark").nothing


def exec_import(line: str) -> None:
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True)
    if done.returncode:
        raise ImportError(done.stderr)


def test_a_plugin_of_the_version_before_is_told_what_to_write():
    code = "from harness.columns import mean_of\nfrom harness.lmms import Row\nprint(mean_of, Row)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.count("FutureWarning") == 2
    assert "harness.columns.mean_of is now harness.benchmark.mean_of" in done.stderr


def test_old_options_are_taken_and_the_new_ones_named(capsys):
    given = ["run", "--canary", "--patience=5", "--judgings", "3", "--method", "seva"]
    wanted = ["run", "--image-ablation", "--pair-timeout=5", "--judge-repeats", "3"]
    assert old_names.options(given) == [*wanted, "--method", "seva"]
    assert capsys.readouterr().err.splitlines() == [
        "--canary is now --image-ablation; the old name works until 0.2.",
        "--patience is now --pair-timeout; the old name works until 0.2.",
        "--judgings is now --judge-repeats; the old name works until 0.2.",
    ]
