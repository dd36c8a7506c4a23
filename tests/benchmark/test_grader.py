from __future__ import annotations

import pytest
from harness_benchmarks.grader import grade
from harness_benchmarks.pope import parse
from hypothesis import given
from hypothesis import strategies as st

word = st.sampled_from(["red", "circle", "seven", "left", "-3", "Otto", "12"])


@pytest.mark.parametrize(
    ("answer", "value"),
    # The worked examples of the official MM-Vet prompt, as lmms-eval carries it.
    [
        ("x = 3", 0.0),
        ("x = -1", 0.5),
        ("x = -5", 0.5),
        ("x = -5 or 5", 0.5),
        ("x = -1 or x = -5", 1.0),
    ],
)
def test_the_official_examples(answer, value):
    assert grade(answer, "-1<AND>-5")[0] == value


@pytest.mark.parametrize(
    ("answer", "reference", "value"),
    [
        ("There are three.", "3<OR>three", 1.0),
        ("There are 13.", "3<OR>three", 0.0),
        ("It says STOP!", "stop", 1.0),
        ("a redish circle", "red<AND>circle", 0.5),
        ("the circle is red", "red circle", 0.0),
        ("", "red", 0.0),
        ("3.5 metres", "3", 0.0),
        ("one two six seven", "one two three four five six", 0.6),
    ],
)
def test_by_hand(answer, reference, value):
    assert grade(answer, reference)[0] == value


@given(st.lists(word, min_size=1, max_size=4), st.lists(word, max_size=8))
def test_and_is_never_above_or_and_saying_more_never_hurts_short_references(parts, said):
    answer = " ".join(said)
    strict = grade(answer, "<AND>".join(parts))[0]
    loose = grade(answer, "<OR>".join(parts))[0]
    assert 0 <= strict <= loose <= 1
    assert grade(answer + " , " + " , ".join(parts), "<AND>".join(parts))[0] == 1.0


@pytest.mark.parametrize(
    ("answer", "reading"),
    [
        ("Yes", "yes"),
        ("yes.", "yes"),
        ("No, there is not.", "no"),
        ("There is no dog.", "no"),
        ("There isn't one", "no"),
        ("Yes, not only one.", "yes"),
        ("A dog sits there.", None),
        ("I cannot see one", "no"),
        ("Notably, yesterday", None),
        ("", None),
    ],
)
def test_the_lenient_reading_of_yes_and_no(answer, reading):
    assert parse(answer) == reading
