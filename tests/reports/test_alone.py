"""One model by itself: every report shows its figures, and what others have published."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from harness_reports import html, html_samples, junit, markdown, terminal
from harness_reports import json as json_report
from jsonschema import Draft202012Validator
from markdown_it import MarkdownIt

from harness.benchmark import mean_of
from harness.errors import UsageError
from harness.records import from_json, to_json
from harness.report import ReportInput, conclude_alone
from tests.support.hostile import HOSTILE, arm, name_of

SCHEMA = Path(__file__).parents[2] / "docs" / "report.schema.json"


def alone(text="plain", notice=None, texts=None):
    """Five rows: 1, 0, 1, 0 by score, and one without an answer."""
    name = name_of(text)
    rows = arm(1, texts or [text] * 5)
    rows[4] = dataclasses.replace(rows[4], answer=None, scores={}, error=text or "gone")
    return conclude_alone(
        ReportInput(None, text, text, data=text, notice=notice, notes=(text,)),
        {name: tuple(rows)},
        {name: (mean_of("score", name=f"score {text}"),)},
        published={name: {"llava-1.5-7b": f"30.5 {text}"}, "empty": {}},
    )


def seen(source):
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return parser.parse(source)


def test_the_figures_by_hand():
    (level,) = alone().levels
    assert (level.figure, level.samples, level.clusters, level.missing) == (50.0, 4, 4, 1)
    assert alone().missing == 1
    with pytest.raises(UsageError, match="harness compare OTHER RUN"):
        _ = alone().compared


def test_markdown_and_terminal_show_figure_interval_rows_missing_and_published(tmp_path):
    stream = io.StringIO()
    terminal.show(alone(), tmp_path, stream)
    assert re.search(r"plain score plain +50\.0 +\[0\.0, 100\.0\] +4 +4 +1", stream.getvalue())
    assert "Published, plain llava-1.5-7b: 30.5 plain" in stream.getvalue()
    source = markdown.render(alone())
    cells = [t.content for t in seen(source) if t.type == "inline"]
    at = cells.index("**`plain` `score plain`**")
    assert cells[at : at + 6] == [cells[at], "50.0", r"[0.0, 100.0]", "points", "4 (4)", "1"]
    assert "`plain llava-1.5-7b`: 30.5 plain" in cells
    assert "checkpoint" not in source


def test_json_holds_the_levels_reads_back_and_fits_the_schema(tmp_path):
    content = json.loads(json_report.write(alone(), tmp_path).read_text())
    assert content["comparison"] is None
    (level,) = content["levels"]
    assert level == json.loads(json.dumps(to_json(alone().levels[0])))
    validator = Draft202012Validator(json.loads(SCHEMA.read_text()))
    assert list(validator.iter_errors(content)) == []
    stored = {"comparison": None, "levels": content["levels"]}
    assert from_json(ReportInput, {**content["run"], **stored}).levels == alone().levels
    content["levels"][0]["figure"] = "50"
    assert not validator.is_valid(content)


def test_junit_has_a_case_for_each_headline_figure():
    (suite,) = ET.fromstring(junit.render(alone()))
    (case,) = suite
    assert (suite.get("tests"), suite.get("errors"), suite.get("failures")) == ("1", "1", "0")
    told = case.find("system-out").text
    assert (
        told == "50.0 points, 95 % interval [0.0, 100.0], 4 rows, 4 images; 1 rows without a score"
    )


def test_the_page_shows_figures_and_every_answer(tmp_path):
    page = html.render(alone(), {})
    flat = re.sub(r"<[^>]*>", " ", page)
    assert "Figures of" in flat
    assert re.search(r"50\.0\s+\[0\.0, 100\.0\]\s+points\s+4 \(4\)\s+1\s", flat)
    assert "30.5 plain" in flat
    assert "better?" not in flat
    table = html_samples.table_of(alone())
    assert table["alone"] is True
    statuses = [dict(zip(table["fields"], row, strict=True))["status"] for row in table["rows"]]
    assert statuses == ["answered"] * 4 + ["missing"]


def test_a_demo_compares_with_nothing_published():
    assert alone(notice="a demo").published == {}
    assert alone().published == {"plain": {"llava-1.5-7b": "30.5 plain"}}


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text(text, tmp_path):
    given = alone(text)
    for token in seen(markdown.render(given)):
        for child in token.children or []:
            assert child.type not in ("html_inline", "link_open", "image"), child
            if child.type == "text":
                assert not re.search(r"@\w|https?://\w|www\.\w", child.content), child.content
    stream = io.StringIO()
    terminal.show(given, tmp_path, stream)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2066\u200b]", stream.getvalue())
    (suite,) = ET.fromstring(junit.render(given).encode())
    assert len(suite) == 1
    page = html.render(given, {})
    assert page.count("<script") == 3
    assert "<img src=x" not in page
    json_report.write(given, tmp_path)
