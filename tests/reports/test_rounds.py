"""The rounds of a run in every report, and their figures as what the rows give."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from harness_reports import html, markdown, terminal
from harness_reports import json as json_report

from harness.benchmark import mean_of
from harness.compare import compare
from harness.records import from_json
from harness.report import ReportInput, each_round
from harness.settings import RoundSettings
from harness.stages import Round, Rounds
from tests.support.hostile import report

NAME = "<b>bench|"
COLUMNS = {NAME: (mean_of("score"),)}


def with_rounds(*, evaluated=True) -> ReportInput:
    one = report(["what"] * 6, name=NAME)
    each = tuple(Round(number, 9, 7 - number, number - 1, {"equal": 2}) for number in (1, 2))
    one = dataclasses.replace(one, rounds=Rounds(RoundSettings(2, replay=0.5), each))
    return each_round(one, {1: one.before}, COLUMNS) if evaluated else one


def test_figures_of_a_round_are_those_of_a_comparison_with_before():
    found = with_rounds()
    (first,), (second,) = (each.figures for each in found.rounds.each)
    assert (first.difference, first.before) == (0.0, first.after)
    (last,) = [f for b in found.compared.benchmarks for f in b.figures if f.primary]
    assert (second.after, second.difference, second.interval) == (
        last.after,
        last.difference,
        last.interval,
    )
    again = compare(found.before, found.before, COLUMNS, seed=found.compared.seed)
    assert first.interval == again.benchmarks[0].figures[0].interval


def test_every_report_shows_them_and_json_gives_them_back(tmp_path):
    found = with_rounds()
    text = markdown.render(found)
    assert "| pairs |  | 6 | 5 |" in text
    assert "| pairs of earlier rounds |  | 0 | 1 |" in text
    assert "## Rounds" in text
    page = html.render(found, {})
    assert 'id="rounds"' in page
    assert "Figures after each round" in page
    assert "<b>bench" not in page
    stream = io.StringIO()
    terminal.show(found, tmp_path, stream)
    assert "pairs: round 1 6, round 2 5" in stream.getvalue()
    written = json.loads(json_report.write(found, tmp_path).read_text())
    assert from_json(Rounds, written["run"]["rounds"]) == found.rounds
    assert "Later rounds also train on 50% of the pairs" in " ".join(found.sentences)
    assert "uncorrected" in " ".join(found.sentences)


@pytest.mark.parametrize("write", [markdown.render, lambda each: html.render(each, {})])
def test_a_run_without_rounds_or_their_figures_shows_none(write):
    assert "Rounds" not in write(report(["what"] * 6, name=NAME))
    bare = with_rounds(evaluated=False)
    assert "Rounds" in write(bare)
    assert "uncorrected: the best" not in " ".join(bare.sentences)
