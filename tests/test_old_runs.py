"""What version 0.1 left on disk is read, reported, verified, compared, gated and used again.

The files in tests/fixtures/flat_layout were written by that version: a run of ``seva`` on ``mmvet``
and ``pope`` with ``--limit 12``, ``harness eval`` of the same model, the run's bundle, and the
store of their answers.
"""

from __future__ import annotations

import dataclasses
import io
import json
import re
import shutil
import sqlite3
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from harness_reports import terminal
from jsonschema import Draft202012Validator

from harness.cli import app
from harness.errors import ExitCode, UsageError
from harness.plugins import load
from harness.records import Answer, Sample
from harness.report import ReportInput, write_reports
from harness.runs import bundle, compare_runs, open_evidence, open_run, report_of, verify
from harness.storage import RunRecord, Store, read_journal

OLD = Path(__file__).parent / "fixtures" / "flat_layout"
NOTICE = "embedded miniature (tinyworld): comparable with no published number"
FIGURES = {"mmvet score": 100.0, "pope accuracy": 100 * 11 / 12, "pope f1": 100 * 10 / 11}
"""By hand from the rows: all of MM-Vet is right, and 11 of 12 of POPE with 5 of 6 hits."""


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Return a copy of the fixtures, which may be written to."""
    return Path(shutil.copytree(OLD, tmp_path / "old"))


def written_by(report: ReportInput, folder: Path) -> dict[str, str]:
    """Write every report that is a file, and return their texts by name."""
    names = ("json", "markdown", "html", "junit")
    files = write_reports(report, folder, {name: load("reports", name) for name in names})
    shown = io.StringIO()
    terminal.show(report, folder, shown)
    return {name: path.read_text() for name, path in files.items()} | {"terminal": shown.getvalue()}


def kept(new: Any, old: Any) -> Any:
    """Return what a newer record says under the keys of an older one."""
    if isinstance(old, dict):
        return {key: kept(new[key], value) for key, value in old.items()}
    if isinstance(old, list):
        return [kept(one, two) for one, two in zip(new, old, strict=True)]
    return new


def results(text: str) -> dict[str, list[str]]:
    """Return the cells of each figure in the table of results, in alphabetical order."""
    found = {}
    for line in text.splitlines():
        name, *cells = (cell.strip("*▲▼ ") for cell in line.strip("| ").split(" | "))
        if len(cells) == 8 and name.startswith("`"):
            bench, _, columns = name.partition(" ")
            for column in columns.split(", "):
                found[f"{bench} {column}"] = sorted(cells)
    return found


def harness(*words: object) -> tuple[ExitCode, str]:
    done = CliRunner().invoke(app, [str(word) for word in words], standalone_mode=False)
    if done.exception is not None:
        raise done.exception
    return done.return_value, done.output


def test_the_run_is_reported_in_every_format_as_it_was(old: Path, tmp_path: Path) -> None:
    run = open_run(old / "run")
    texts = written_by(report_of(run), tmp_path / "new")
    # It wrote a stray backslash before the first digit of some cells.
    expected = re.sub(r"\\(?=\d)", "", (OLD / "run" / "report.md").read_text())
    expected = expected.replace("What the pairs would teach", "Pair diagnostics")
    # Every figure has the cells that it had, in a table of another order.
    new, was = results(texts["markdown"]), results(expected)
    assert len(was) == 8
    assert {name: new[name] for name in was} == was
    # All else is as it was, but for the options, which stand in the order of the file.
    gone = set(expected.splitlines()) - set(texts["markdown"].splitlines())
    assert all(line.startswith("|") for line in gone), gone
    assert texts["junit"] == (OLD / "run" / "junit.xml").read_text()
    for name in ("markdown", "html", "terminal"):
        assert texts[name].count(NOTICE.split(":")[0]) == 1, name
    before, after = (
        json.loads((OLD / "run" / "comparison.json").read_text()),
        json.loads(texts["json"]),
    )
    assert kept(after["comparison"], before["comparison"]) == before["comparison"]
    assert {key: after["run"][key] for key in before["run"]} == before["run"]
    validator = Draft202012Validator(
        json.loads((Path(__file__).parents[1] / "docs" / "report.schema.json").read_text())
    )
    assert list(validator.iter_errors(after)) == []


def test_the_evaluation_has_its_figures_in_every_format(old: Path, tmp_path: Path) -> None:
    run = open_run(old / "eval")
    assert run.report.comparison is None
    report = report_of(run)
    found = {f"{each.benchmark} {each.column}": each for each in report.levels}
    for name, figure in FIGURES.items():
        assert found[name].figure == pytest.approx(figure, abs=1e-9)
        assert (found[name].samples, found[name].missing) == (12, 0)
    texts = written_by(report, tmp_path / "new")
    for name in ("markdown", "html", "terminal", "junit"):
        assert "91.7" in texts[name], name
    for name in ("markdown", "html", "terminal"):
        assert texts[name].count(NOTICE.split(":")[0]) == 1, name
    assert json.loads(texts["json"])["comparison"] is None
    (suite,) = ET.fromstring(texts["junit"])
    assert suite.get("tests") == "2"
    code, shown = harness("report", old / "eval")
    assert code == ExitCode.DONE
    assert "91.7" in shown


def test_run_and_bundle_are_verified_without_a_difference(old: Path) -> None:
    # The checkpoint's weights are not part of the fixture; everything else follows from the rows.
    for path in (old / "run", old / "bundle.zip"):
        found = verify(path)
        assert found.passed, [check for check in found.checks if check.details]
        assert found.changed == ()
        assert found.rows == 48
    again = bundle(old / "run", old / "again.zip").path
    assert verify(again).passed
    assert open_evidence(again).before == open_evidence(old / "bundle.zip").before


def test_they_are_compared_with_each_other_and_gated(old: Path) -> None:
    run, packed, alone = (open_evidence(old / name) for name in ("run", "bundle.zip", "eval"))
    for first, second in ((run, packed), (packed, run), (alone, run), (alone, packed)):
        report = compare_runs(first, second)
        same = first.folder != alone.folder
        # Equal answers of two runs are a fact; only a run and its bundle are one and the same.
        assert report.compared.verdict == ("no change" if same else "cannot tell")
        assert all(each.difference == 0 for b in report.compared.benchmarks for each in b.figures)
    assert harness("gate", old / "run")[0] == ExitCode.DONE
    assert harness("gate", old / "eval", "--baseline", old / "bundle.zip")[0] == ExitCode.DONE
    with pytest.raises(UsageError, match="harness compare OTHER RUN"):
        harness("gate", old / "eval")


def test_its_store_holds_every_answer(old: Path) -> None:
    """Their keys are tested in tests/engine/; the demo's weights are others by now."""
    rows = [row for name in ("mmvet", "pope") for row in journal(OLD / "eval" / "after", name)]
    with sqlite3.connect(old / "store.sqlite") as database:
        keys = [key for (key,) in database.execute("SELECT key FROM entries")]
    found = Store(old / "store.sqlite").records(keys, Answer)
    assert len(found) > len(rows) == 24
    assert {row.answer for row in rows} <= {answer.text for answer in found.values()}


def journal(folder: Path, name: str) -> tuple[Sample, ...]:
    return read_journal(folder / f"{name}.jsonl", Sample)


def test_its_settings_are_read_and_written_back_with_a_version(old: Path, tmp_path: Path) -> None:
    before = json.loads((OLD / "run" / "settings.json").read_text())
    record = RunRecord.read(old / "run")
    assert record.benches == ("mmvet", "pope")
    assert set(record.data) == {"mmvet", "pope"}
    record.write(tmp_path)
    assert json.loads((tmp_path / "settings.json").read_text()) == {**before, "version": 1}


STORED = (
    NOTICE,
    "Before taken from other.zip (sha256 123456789abc), not measured in this run: pope.",
    "Judged by openai:x (x-1): mmvet.",
    "mmvet: 1 of 12 rows show an image of the training prompts. None is left without them.",
)
JUDGING = {
    "judge": "openai:x",
    "models": ["x-1"],
    "benchmarks": ["mmvet"],
    "judgings": 1,
    "verdicts": 24,
    "missing": 0,
    "tokens_in": 1,
    "tokens_out": 1,
    "reasons": [],
    "anchors": [],
    "errors": [],
}


def test_sentences_that_an_old_file_stored_are_shown_once(old: Path, tmp_path: Path) -> None:
    """Also where records say the same, in the words of today or in others."""
    folder = old / "run"
    file = folder / "comparison.json"
    content = json.loads(file.read_text())
    content["comparison"]["notes"] = list(STORED)
    content["run"]["judging"] = JUDGING
    content["run"]["overlaps"][0]["touched"]["ids"] = ["0"]
    file.write_text(json.dumps(content))
    for arm in ("before", "after"):
        shutil.copytree(folder / arm, folder / "judged" / arm)
    (folder / "before" / "taken.json").write_text(
        json.dumps(
            {
                "pope": {
                    "fingerprint": _print(folder / "before" / "pope.jsonl"),
                    "source": "other.zip (sha256 123456789abc)",
                }
            }
        )
    )
    report = open_run(folder).report
    assert report.sentences == STORED
    for name, text in written_by(report, tmp_path / "new").items():
        if name in ("markdown", "html", "terminal"):
            flat = " ".join(text.replace("\\", "").replace("\u200b", "").split())
            assert [flat.count(note) for note in STORED] == [1] * len(STORED), name
    # Judged again, the records speak: what was said of the judge of then is gone.
    anew = dataclasses.replace(
        report, judging=None, comparison=dataclasses.replace(report.compared, notes=())
    )
    *known, graded = anew.sentences
    assert known == [STORED[0], STORED[1], STORED[3]]
    assert graded.startswith("Scored by the built-in grader (builtin)")
    assert ": mmvet. " in graded


def _print(journal: Path) -> str:
    return str(json.loads(journal.read_text().splitlines()[0])["fingerprint"])
