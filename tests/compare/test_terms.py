"""What is laid down before a comparison: read from the command line, recorded, and honoured."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.options import terms_of
from harness.compare import Comparison, Terms, compare, strictest
from harness.errors import UsageError
from harness.records import from_json, to_json
from tests.support.finished import mmvet, pope

NAMES = st.from_regex(r"[a-z][a-z0-9_:.-]{0,12}", fullmatch=True)
PERCENT = st.floats(0.001, 99.9)


@given(st.none() | PERCENT, st.dictionaries(NAMES, PERCENT, max_size=4))
def test_margins_read_as_they_are_written(plain, own):
    parts = [*([] if plain is None else [str(plain)]), *(f"{n}={v}" for n, v in own.items())]
    found = terms_of(", ".join(parts) if parts else None, None, ())
    assert (found.margin, dict(found.margins)) == (1.0 if plain is None else plain, own)
    assert from_json(Terms, json.loads(json.dumps(to_json(found)))) == found


WRONG = ["", ",", "0", "100", "-1", "nan", "inf", "pope", "pope=", "=2", "pope=0", "1,2", "1;2"]


@pytest.mark.parametrize("text", [*WRONG, "pope=1,pope=2", "pope=nan"])
def test_a_wrong_margin_is_a_sentence(text):
    with pytest.raises(UsageError, match=r"--margin.*(Write|Give)"):
        terms_of(text, None, ())


@given(st.text())
def test_no_text_breaks_the_reading_of_margins(text):
    try:
        found = terms_of(text, None, ())
    except UsageError:
        return
    assert all(0 < each < 100 for each in (found.margin, *found.margins.values()))


@given(st.floats(), st.floats())
def test_terms_out_of_range_are_a_sentence_and_never_a_number(margin, alpha):
    if 0 <= margin <= 100 and 0 < alpha < 1:
        assert Terms(margin, alpha, margins={"pope": margin}).margin_of("pope") == margin
        return
    with pytest.raises(UsageError, match="not between 0 and 1"):
        Terms(margin, alpha)
    with pytest.raises(UsageError, match="not between 0 and 1"):
        Terms(1.0, alpha, margins={"pope": margin})


def test_a_name_that_is_not_measured_is_refused():
    with pytest.raises(UsageError, match=r"--margin names 'pop'.*Did you mean 'pope'"):
        Terms(margins={"pop": 2.0}).check(["pope"])
    with pytest.raises(UsageError, match=r"--accept-missing names 'x'"):
        Terms(accept_missing=("x",)).check(["pope"])


def test_a_margin_of_its_own_counts_and_is_recorded():
    arms = {"pope": pope(), "mmvet": mmvet()}
    from harness.benchmark import benchmark

    columns = {name: benchmark(name).columns for name in arms}
    found = compare(arms, arms, columns, draws=200, margin=0.5, margins={"mmvet": 2.0})
    margins = {
        b.name: {f.margin for f in b.figures if f.unit == "points"} for b in found.benchmarks
    }
    assert margins["mmvet"] == {2.0}
    assert 0.5 in margins["pope"]
    assert found.terms == Terms(0.5, margins={"mmvet": 2.0})
    assert from_json(Comparison, json.loads(json.dumps(to_json(found)))) == found
    old = {k: v for k, v in to_json(found).items() if k != "margins"}  # of the version before
    assert from_json(Comparison, old).terms == Terms(0.5)


def test_the_strictest_terms_permit_nothing_that_one_of_them_would_not():
    one = Terms(1.0, 0.05, ("a", "b"), {"a": 3.0})
    two = Terms(2.0, 0.01, ("b",), {"a": 4.0, "c": 0.5})
    assert strictest([one, two]) == Terms(1.0, 0.01, ("b",), {"a": 3.0, "c": 0.5})
    assert strictest([one]) == dataclasses.replace(one)
    assert math.isclose(strictest([two, Terms()]).margin_of("c"), 0.5)
