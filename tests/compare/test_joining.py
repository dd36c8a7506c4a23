"""A row counts in a figure only when both arms have measured it, whatever became of it."""

from __future__ import annotations

import dataclasses
from math import nan

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.benchmark import adhoc_columns, mean_of
from harness.compare import arrays_of, compare, join, units_of
from harness.records import LENGTH, MISSING, NOT_FINITE, REFUSED, Sample

ABSENT = object()
"""A metric that the row does not have: it does not apply."""
FAILED = object()
"""A row whose answer or scoring failed as a whole."""


def row(index, value):
    fine = dict(
        id=f"{index:04d}",
        content=f"c{index}",
        cluster=f"i{index}",
        prompt="q",
        target="t",
        answer="a",
        tokens=1,
        finish="stop",
    )
    if value is FAILED:
        kinds = (
            dict(answer=None, finish=MISSING, error="away"),
            dict(answer=None, finish=NOT_FINITE, error=NOT_FINITE),
            dict(answer=None, finish=LENGTH, thought="hm", error="thought only"),
            dict(error=f"{REFUSED}: KeyError"),
        )
        return Sample(**{**fine, **kinds[index % 4]}, scores={})
    scores = {} if value is ABSENT else {"score": value}
    return Sample(**fine, scores=scores)


def rows(values):
    return [row(index, value) for index, value in enumerate(values)]


def measured(value):
    return isinstance(value, float) and value == value


VALUE = st.sampled_from([0.0, 1.0, 0.0, 1.0, None, nan, FAILED])
PAIRS = st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=30)
(GIVEN,) = adhoc_columns({"score": True})


@pytest.mark.parametrize("column", [GIVEN, mean_of("score")], ids=["task", "own"])
@settings(deadline=None)
@given(PAIRS)
def test_only_rows_with_a_number_in_both_arms_count(column, pairs):
    joined = join("b", *(rows(side) for side in zip(*pairs, strict=True)))
    units = units_of(column, joined)
    both = [(one, two) for one, two in pairs if measured(one) and measured(two)]
    before, after, _ = arrays_of(units)
    assert len(before) == len(after) == len(both)
    if both:
        for side, arm in zip(zip(*both, strict=True), (before, after), strict=True):
            assert column.value(arm.sum(axis=0)) == pytest.approx(100 * sum(side) / len(side))
    for arm, place in (("before", 0), ("after", 1)):
        lost = sum(unit.lacks(arm) for unit in units)
        assert lost == sum(not measured(pair[place]) for pair in pairs)


@pytest.mark.parametrize("column", [GIVEN, mean_of("score")], ids=["task", "own"])
@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from([0.0, 1.0]), st.booleans()), min_size=8, max_size=30))
def test_an_arm_that_only_lost_scores_did_not_change(column, parts):
    before = rows([value for value, _ in parts])
    after = rows([FAILED if lost else value for value, lost in parts])
    found = compare({"b": before}, {"b": after}, {"b": (column,)}, draws=50)
    (figure,) = found.benchmarks[0].figures
    kept = sum(not lost for _, lost in parts)
    assert (figure.samples, figure.missing_before) == (kept, 0)
    assert figure.missing_after == len(found.benchmarks[0].missing_after) == len(parts) - kept
    assert figure.difference in (0.0, None)
    assert figure.verdict in ("no change", "cannot tell")


ANY = st.sampled_from([0.0, 1.0, None, FAILED, ABSENT])


@settings(deadline=None)
@given(st.lists(st.tuples(ANY, ANY), min_size=1, max_size=30))
def test_not_measured_and_does_not_apply_are_told_apart(pairs):
    joined = join("b", *(rows(side) for side in zip(*pairs, strict=True)))
    units = units_of(GIVEN, joined)
    for (one, two), unit in zip(pairs, units, strict=True):
        sides = {id(one), id(two)}
        known = sides - {id(FAILED)}
        assert unit.applies == (known != {id(ABSENT)}), "only failed and absent: nothing to lose"
        assert unit.paired == (measured(one) and measured(two))
        for arm, value in (("before", one), ("after", two)):
            assert unit.lacks(arm) == (unit.applies and not measured(value))


def test_a_metric_that_only_one_arm_gives_is_lost_in_the_other():
    found = compare(
        {"b": rows([0.0] * 20 + [1.0] * 40)},
        {"b": rows([ABSENT] * 20 + [1.0] * 40)},
        {"b": (GIVEN,)},
        draws=50,
    )
    (figure,) = found.benchmarks[0].figures
    assert (figure.before, figure.after, figure.samples) == (100.0, 100.0, 40)
    assert (figure.missing_before, figure.missing_after) == (0, 20)
    assert found.verdict == "cannot tell"


def test_rows_to_which_nothing_applies_are_no_missing_ones():
    arm = rows([1.0, ABSENT, 0.0, ABSENT])
    found = compare({"b": arm}, {"b": arm}, {"b": (GIVEN,)}, draws=50)
    (figure,) = found.benchmarks[0].figures
    assert (figure.samples, figure.before, found.missing) == (2, 50.0, 0)
    states = found.benchmarks[0].states_before
    assert [(each.state, each.rows) for each in states] == [("answered", 2), ("not applicable", 2)]


def test_states_stand_in_the_record_with_their_reason():
    before = rows([1.0] * 8)
    after = [
        *before[:5],
        dataclasses.replace(before[5], answer=None, finish=NOT_FINITE, error="NaN", scores={}),
        dataclasses.replace(before[6], scores={}, error=f"{REFUSED}: KeyError: 'x'"),
        dataclasses.replace(before[7], finish=LENGTH),
    ]
    benchmark = compare({"b": before}, {"b": after}, {"b": (GIVEN,)}, draws=50).benchmarks[0]
    assert [(s.state, s.rows, s.reason) for s in benchmark.states_after] == [
        ("answered", 5, ""),
        ("cut", 1, ""),
        ("not finite", 1, "NaN"),
        ("refused by the scorer", 1, "refused by the scorer: KeyError: 'x'"),
    ]
    assert benchmark.missing_after == ("0005", "0006")
