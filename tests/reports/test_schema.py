"""The published schema says what comparison.json holds, and no more."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
from harness_reports import json as json_report
from harness_reports.schema import schema
from jsonschema import Draft202012Validator

from tests.support.hostile import report

FILE = Path(__file__).parents[2] / "docs" / "report.schema.json"


@pytest.fixture(scope="module")
def validator():
    published = json.loads(FILE.read_text())
    Draft202012Validator.check_schema(published)
    return Draft202012Validator(published)


@pytest.fixture
def content(tmp_path):
    return json.loads(
        json_report.write(report(["plain", "\ud800 <b>", "x"] * 4), tmp_path).read_text()
    )


def test_the_published_schema_is_that_of_the_records():
    written = json.dumps(schema(), indent=2, sort_keys=True) + "\n"
    command = "uv run python -m harness_reports.schema > docs/report.schema.json"
    assert FILE.read_text() == written, f"The records changed; run: {command}"


def test_a_comparison_fits_it(validator, content):
    assert list(validator.iter_errors(content)) == []


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("comparison", "benchmarks", 0, "figures", 0, "before"), "76.5"),
        (("comparison", "benchmarks", 0, "figures", 0, "interval"), [1.0]),
        (("comparison", "benchmarks", 0, "missing_after"), 3),
        (("comparison", "verdict"), 1),
        (("run", "doctor", "length", "chosen"), None),
        (("run", "gate"), "open"),
        (("other",), 1),
    ],
)
def test_anything_else_does_not(validator, content, place, value):
    wrong = copy.deepcopy(content)
    inner = wrong
    for key in place[:-1]:
        inner = inner[key]
    inner[place[-1]] = value
    found = [tuple(error.absolute_path) for error in validator.iter_errors(wrong)]
    assert found
    assert all(place[: len(path)] == path for path in found)


@pytest.mark.parametrize("key", ["clock", "comparison", "levels", "run"])
def test_no_part_may_lack(validator, content, key):
    del content[key]
    assert not validator.is_valid(content)


@pytest.mark.slow
def test_a_real_run_fits_it(validator, tmp_path):
    from harness.run import run
    from harness.settings import Settings

    settings = Settings(
        method="seva", benches=("mmvet", "pope"), limit=12, max_prompts=8, out=tmp_path
    )
    written = run(settings).folder / "comparison.json"
    assert list(validator.iter_errors(json.loads(written.read_text()))) == []
