"""The ledgers of the two papers: their own arithmetic, and that every column exists here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from harness.analysis import ledger_of, measured
from harness.benchmark import benchmark
from harness.cli.commands import app
from harness.errors import HarnessError, UsageError
from harness.eval import measure
from harness.runs import open_run
from harness.settings import EvalSettings


def test_simas_fourteen_columns_have_the_mean_change_that_its_paper_prints():
    """+7.5 %: the mean of the fourteen relative changes, each in the direction that is better."""
    changes = []
    for column in ledger_of("sima").columns:
        base, sima, _ = column.figures
        changes.append((base - sima if column.lower else sima - base) / base)
    assert len(changes) == 14
    assert 100 * sum(changes) / 14 == pytest.approx(7.5, abs=0.05)


def test_sevas_nine_columns_are_there():
    ledger = ledger_of("seva")
    assert len(ledger.columns) == 9
    assert len(ledger.variants) == 4
    best = next(column for column in ledger.columns if column.name == "MM-Vet")
    assert best.figures == (30.5, 35.5, 37.2, 37.0)


@pytest.mark.parametrize("method", ["seva", "sima"])
def test_every_column_is_a_headline_of_ours_and_every_cause_names_columns(method):
    ledger = ledger_of(method)
    for column in ledger.columns:
        found = benchmark(column.bench).under("llava-1.5").columns
        assert column.metric in {each.name for each in found if each.primary}, column
        (ours,) = (each for each in found if each.name == column.metric)
        assert (ours.higher_is_better is False) == column.lower
    names = {column.name for column in ledger.columns}
    assert all(set(cause.columns) <= names and cause.switch for cause in ledger.causes)
    assert set(ledger.sources) == set(ledger.variants)


def test_a_run_stands_beside_what_is_published(tmp_path):
    run = measure(EvalSettings(("mmvet",), limit=8, out=tmp_path)).folder
    ledger = ledger_of("seva")
    report = open_run(run).report
    (level,) = report.levels
    found = dict(
        zip((c.name for c in ledger.columns), measured(report, ledger.columns), strict=True)
    )
    assert found["MM-Vet"] == (None, level.figure)
    assert found["POPE"] == (None, None)
    told = CliRunner().invoke(app, ["reproduce", "seva", str(run)], catch_exceptions=False).output
    assert "MM-Vet" in told
    assert "--protocol llava-1.5" in told
    assert "not comparable with published numbers" in told
    alone = CliRunner().invoke(app, ["reproduce", "sima"], catch_exceptions=False).output
    assert "after here" not in alone


def test_what_is_not_there_is_said(tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="brings no published figures"):
        ledger_of("sft")
    with pytest.raises(UsageError, match="Did you mean 'seva'"):
        ledger_of("seav")
    file = Path(str(__import__("harness_seva").__file__)).parent / "published.json"
    content = json.loads(file.read_text())
    content["columns"][0]["figures"] = [1.0]
    monkeypatch.setattr("harness.analysis.reproduction.read_json", lambda path: content)
    with pytest.raises(HarnessError, match="not one figure per variant"):
        ledger_of("seva")
