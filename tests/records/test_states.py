"""What becomes of a row: the one function that decides, and what is counted and said of it."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.compare import Comparison
from harness.records import (
    ANSWERED,
    CUT,
    LENGTH,
    MISSING,
    NOT_APPLICABLE,
    NOT_FINITE,
    REFUSED,
    STATES,
    THOUGHT_ONLY,
    Answer,
    Sample,
    StateCount,
    as_read,
    count_states,
    cut_share,
    failed,
    from_json,
    none_measured,
    sentences,
    settled,
    split_thought,
    state_of,
)
from harness.storage import read_journal

TEXTS = st.one_of(st.none(), st.text(max_size=20))
ERRORS = st.one_of(st.none(), st.text(max_size=20), st.just(f"{REFUSED}: KeyError"))
VALUES = st.one_of(st.none(), st.floats(0, 1))
SCORES = st.one_of(st.none(), st.dictionaries(st.sampled_from("abc"), VALUES))
ENDS = st.sampled_from(["stop", LENGTH, "missing", NOT_FINITE])


def row(answer="yes", *, scores=None, **fields):
    known = {"score": 1.0} if scores is None else scores
    values = dict(id="7", content="", cluster="", prompt="q", target="", tokens=3, finish="stop")
    return Sample(**{**values, "answer": answer, "scores": known, **fields})


@pytest.mark.parametrize(
    ("sample", "state"),
    [
        (row(), ANSWERED),
        (row(""), ANSWERED),  # it says nothing, and that is what it says
        (row(finish=LENGTH), CUT),
        (row(None, scores={}, finish=LENGTH), CUT),
        (row("", finish=LENGTH), CUT),
        (row(None, scores={}, thought="hm", finish=LENGTH), THOUGHT_ONLY),
        (row("", thought="hm", finish=LENGTH), THOUGHT_ONLY),
        (row("yes", thought="hm"), ANSWERED),
        (row(None, scores={}, finish=NOT_FINITE, error="NaN"), NOT_FINITE),
        (row(None, scores={}, finish="missing", error="away"), MISSING),
        (row(scores={}, error=f"{REFUSED}: ValueError"), REFUSED),
        (row(scores={"score": None}, error="no verdict: 429"), MISSING),
        (row(scores={"score": None}), MISSING),
        (row(scores={"score": None, "other": 0.0}), ANSWERED),
        (row(scores={}), NOT_APPLICABLE),
    ],
)
def test_states_by_hand(sample, state):
    assert sample.state == state
    assert settled(sample) == (
        state in (ANSWERED, CUT, NOT_APPLICABLE) and sample.answer is not None
    )


@given(TEXTS, st.text(max_size=5), ENDS, ERRORS, SCORES)
def test_a_state_is_always_one_of_the_list_and_no_answer_is_never_measured(
    text, thought, finish, error, scores
):
    state = state_of(text, thought=thought, finish=finish, error=error, scores=scores)
    assert state in STATES
    if text is None or (text == "" and finish == LENGTH):
        assert state not in (ANSWERED, REFUSED, NOT_APPLICABLE)
    if state == ANSWERED:
        assert text is not None
        assert finish != LENGTH
        assert error is None or any(value is not None for value in (scores or {}).values())
        assert not scores or any(value is not None for value in scores.values())


@pytest.mark.parametrize(
    ("text", "thought", "answer"),
    [
        ("Yes", "", "Yes"),
        ("<think>Is it? No wait.</think> Yes", "Is it? No wait.", "Yes"),
        ("<THINKING>a</THINKING>\n\nYes", "a", "Yes"),
        ("[THINK]a[/THINK]Yes", "a", "Yes"),
        ("◁think▷a◁/think▷Yes", "a", "Yes"),
        ("<thought>\na\n</thought>\nYes", "a", "Yes"),
        ("<reasoning>a</reasoning>Yes", "a", "Yes"),
        ("<seed:think>a</seed:think>Yes", "a", "Yes"),
        ("<|START_THINKING|>a<|END_THINKING|>Yes", "a", "Yes"),
        ("<|channel|>analysis<|message|>a<|channel|>final<|message|>Yes", "a", "Yes"),
        ("<|channel|>final<|message|>Yes", "", "Yes"),
        ("<|begin_of_thought|>a<|end_of_thought|>Yes", "a", "Yes"),
        ("<unused94>a<unused95>Yes", "a", "Yes"),
        ("No, look again.</think>Yes", "No, look again.", "Yes"),  # the template opened it
        ("<think>so long that", "so long that", ""),
        ("<think></think>Yes", "", "Yes"),
        ("<think>a</think>Yes<think>b", "a\nb", "Yes"),
        ("<think>a<think>b</think>Yes", "a\nb", "Yes"),
        ("a < b and b > c", "", "a < b and b > c"),
    ],
)
def test_thoughts_by_hand(text, thought, answer):
    assert split_thought(text) == (thought, answer)


PLAIN = st.text(alphabet=st.characters(exclude_characters="<[◁"), max_size=30)


@given(PLAIN, PLAIN)
def test_what_is_said_after_a_thought_is_read_alone(thought, answer):
    expected = (thought.strip(), answer.strip())
    assert split_thought(f"<think>{thought}</think>{answer}") == expected
    assert split_thought(f"{thought}</think>{answer}") == expected
    assert split_thought(answer) == ("", answer)
    assert split_thought(f"<think>{thought}")[1] == ""


MARKED = st.lists(st.sampled_from(["<think>", "</think>", "a", " "]), max_size=8).map("".join)


@given(MARKED)
def test_no_mark_is_ever_left_in_an_answer(text):
    thought, answer = split_thought(text)
    assert "think>" not in thought + answer
    assert (thought + answer).count("a") == text.count("a"), "no letter is lost"


def test_an_answer_is_read_without_its_thought_and_an_empty_one_at_the_limit_is_none():
    read = as_read(Answer("<think>abcdef</think>Yes", tokens=24, finish="stop"))
    assert (read.text, read.thought, read.tokens) == ("Yes", "abcdef", 3)
    only = as_read(Answer("<think>abc", tokens=64, finish=LENGTH))
    assert (only.text, only.state) == (None, THOUGHT_ONLY)
    assert only.error == "thought only: it ended after 64 tokens, before an answer"
    apart = as_read(Answer("", tokens=64, finish=LENGTH, thought="Let me look"))
    assert (apart.text, apart.state) == (None, THOUGHT_ONLY)
    empty = as_read(Answer("", tokens=128, finish=LENGTH))
    assert (empty.text, empty.state) == (None, CUT)
    for same in (Answer(""), Answer("Yes", 1), Answer("Yes", 8, LENGTH), Answer(None, error="x")):
        assert as_read(same) == same


@given(
    st.one_of(st.text(max_size=20), MARKED), st.integers(1, 50), st.sampled_from(["stop", LENGTH])
)
def test_reading_twice_is_reading_once(text, tokens, finish):
    once = as_read(Answer(text, tokens, finish))
    assert as_read(once) == once
    assert once.tokens <= tokens


def test_states_are_counted_with_the_most_frequent_reason():
    lost = [row(None, scores={}, finish="missing", error=error) for error in ("b", "a\n a", "b")]
    counts = count_states([row(), *lost, row(finish=LENGTH)])
    assert counts == (
        StateCount(ANSWERED, 1),
        StateCount(CUT, 1),
        StateCount(MISSING, 3, "b"),
    )
    assert cut_share(counts) == 0.5
    assert sentences({"before": count_states([row()]), "after": counts}) == (
        "rows after: 1 answered, 1 cut (50.0 %), 3 missing (b)",
        "1 answers after (50 %) were cut at their limit, and what was cut off cannot be scored; "
        "raise the limit with --max-new-tokens",
    )
    few = count_states([row()] * 19 + [row(finish=LENGTH)])
    assert sentences({"": few}) == ("rows: 19 answered, 1 cut (5.0 %)",), "5 % is not above 5 %"


@given(st.lists(st.tuples(TEXTS, ENDS, ERRORS, SCORES)))
def test_every_row_is_counted_once(parts):
    rows = [row(t, finish=f, error=e, scores=s or {}) for t, f, e, s in parts]
    counts = count_states(rows)
    assert {count.state: count.rows for count in counts} == Counter(each.state for each in rows)


def test_what_a_first_row_must_not_be():
    assert not failed(row(), 64)
    assert failed(row(""), 64), "empty"
    assert failed(row(tokens=1, finish=LENGTH), 64), "cut at one token"
    assert not failed(row(tokens=1, finish=LENGTH), 1), "one token was asked for"
    assert not failed(row(tokens=64, finish=LENGTH), 64)
    assert failed(row(scores={}, error=f"{REFUSED}: KeyError"), 64)
    told = none_measured(
        "pope (after)",
        [*[row("")] * 3, *[row(None, scores={}, finish=NOT_FINITE, error="not finite: m")] * 5],
        64,
        "m",
    )
    assert told.startswith(
        "pope (after): none of the first 8 rows can be measured, so m is asked nothing more. "
        "5 of 8, such as row 7: not finite: m. "
    )
    assert "--dtype float32" in told


OLD = Path(__file__).parents[1] / "fixtures" / "flat_layout"


def test_rows_and_comparisons_of_the_version_before_are_read():
    journals = sorted(OLD.glob("*/*/*.jsonl"))
    journals = [path for path in journals if path.parent.name in ("before", "after")]
    assert len(journals) == 6
    for path in journals:
        samples = read_journal(path, Sample)
        assert {sample.state for sample in samples} <= {ANSWERED, CUT}
        assert all(map(settled, samples))
        assert {sample.thought for sample in samples} == {""}
    found = json.loads((OLD / "run" / "comparison.json").read_text())["comparison"]
    old = from_json(Comparison, found)
    assert [each.states_before for each in old.benchmarks] == [()] * len(old.benchmarks)
