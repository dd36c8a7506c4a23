"""JUnit XML as a CI system reads it."""

from __future__ import annotations

import dataclasses
import xml.etree.ElementTree as ET

import pytest
from harness_reports import junit, words

from harness.benchmark import mean_of
from harness.compare import compare
from tests.support.hostile import HOSTILE, arm, name_of, report


def suite_of(given):
    (suite,) = ET.fromstring(junit.render(given).encode())
    return suite


def scored(before, after):
    """Return a report over rows with these scores."""
    arms = []
    for scores in (before, after):
        rows = zip(arm(0, ["x"] * len(scores)), scores, strict=True)
        arms.append({"mmvet": [dataclasses.replace(r, scores={"score": v}) for r, v in rows]})
    result = compare(*arms, {"mmvet": [mean_of("score")]}, draws=200)
    return dataclasses.replace(report(["plain"] * 6), comparison=result, gate=())


@pytest.mark.parametrize(
    ("before", "after", "tag", "counts"),
    [
        ([0] * 40, [1] * 40, None, (1, 0, 0, 0)),
        ([1] * 40, [0] * 40, "failure", (1, 1, 0, 0)),
        ([1] * 40, [1] * 39 + [None], "error", (1, 0, 1, 0)),
        ([1] * 40, [0] * 39 + [None], "failure", (1, 1, 0, 0)),
        ([1] * 9, [1] * 8 + [0], None, (1, 0, 0, 0)),
    ],
    ids=["gain", "loss", "missing", "loss and missing", "cannot tell"],
)
def test_a_loss_fails_and_a_missing_row_is_an_error(before, after, tag, counts):
    suite = suite_of(scored(before, after))
    (case,) = suite
    assert (case.get("classname"), case.get("name")) == ("mmvet", "score")
    found = [child.tag for child in case if child.tag != "system-out"]
    assert found == ([tag] if tag else [])
    names = ("tests", "failures", "errors", "skipped")
    assert tuple(int(suite.get(name)) for name in names) == counts
    if None in after:
        assert "0 / 1 rows without a score" in case.find("system-out").text


def test_two_runs_are_called_by_their_names():
    given = dataclasses.replace(scored([1] * 40, [0] * 39 + [None]), arms=("seva", "gt_dpo"))
    suite = suite_of(given)
    told = suite[0].find("failure").get("message")
    assert told.startswith("seva 100.0, gt_dpo 0.0, difference ")
    assert "0 / 1 rows without a score seva / gt_dpo" in told
    assert suite.get("name") == "harness seva vs gt_dpo plain"
    assert "before" not in told


def test_a_model_that_the_names_say_is_not_named_twice():
    arms = ("answers of base", "answers of worse")
    given = dataclasses.replace(scored([1] * 4, [0] * 4), arms=arms, model="out/worse")
    assert suite_of(given).get("name") == "harness answers of base vs answers of worse"


def test_a_rule_of_the_gate_is_a_test_too():
    suite = suite_of(report(["plain"] * 6))
    case = suite[-1]
    assert (case.get("classname"), case.get("name")) == ("gate", "plain (mmvet plain)")
    assert case.find("failure").get("message") == "plain"


@pytest.mark.parametrize("text", [*HOSTILE, "]]>", "&amp;", '"quoted"'])
def test_hostile_text_stays_text(text):
    suite = suite_of(report([text] * 6, name=name_of(text)))
    assert {element.tag for element in suite.iter()} <= {
        "testsuite",
        "testcase",
        "failure",
        "error",
        "skipped",
        "system-out",
    }
    assert len(suite) == 2
    assert suite[-1].find("system-out").text in (words.one_line(text, 400), None)


def test_a_figure_of_zero_on_both_sides_is_said():
    """A scorer that takes the exact text gives whole sentences zero, and their difference too."""
    assert any(
        "none of the 40 answers is right" in each for each in scored([0] * 40, [0] * 40).sentences
    )
    assert not any("is right by it" in each for each in scored([0] * 40, [0] * 39 + [1]).sentences)
    assert not any("is right by it" in each for each in scored([0] * 9, [0] * 9).sentences)
