"""Repeated looks are counted, and a gate's plan shares its level among them."""

from __future__ import annotations

import dataclasses
import json

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.commands import app
from harness.errors import UsageError
from harness.storage import Look, Looks, RunRecord, note_look
from tests.support.finished import pope, write_run

FIRST = Look("model", "seva", (0,), {"pope": 90}, "figures")


def test_looks_are_counted_by_what_they_changed(tmp_path):
    assert note_look(tmp_path, FIRST) == Looks()
    assert note_look(tmp_path, FIRST) == Looks()  # the same figures are no second look
    other = dataclasses.replace
    for number, (changed, found) in enumerate(
        [
            ({"after": "sima"}, Looks(others=1)),
            ({"seeds": (0, 1, 2)}, Looks(others=1, seeds=1)),
            ({"rows": {"pope": 900, "mmvet": 10}}, Looks(others=1, seeds=1, rows=1)),
            ({"baseline": "another"}, Looks()),
            ({"rows": {"mmvet": 10}}, Looks(rows=1)),  # one earlier look had mmvet too
            ({}, Looks(others=1, seeds=1, rows=1, again=1)),
        ]
    ):
        assert note_look(tmp_path, other(FIRST, figures=f"{number}", **changed)) == found
    assert note_look(tmp_path, FIRST) == Looks()  # what came later is not before
    note = note_look(tmp_path, other(FIRST, figures="5")).note
    assert "compared 4 times before" in note
    assert Looks().note == ""


@given(st.text())
def test_a_damaged_ledger_is_read_as_far_as_it_goes(tmp_path_factory, text):
    folder = tmp_path_factory.mktemp("looks")
    (folder / "looks.jsonl").write_bytes(text.encode("utf-8", "surrogatepass") + b"\n")
    note_look(folder, FIRST)
    second = dataclasses.replace(FIRST, after="sima", figures="else")
    assert note_look(folder, second).others == 1


def test_arms_are_the_same_for_other_rows_and_seeds():
    record = RunRecord(
        asked={"model": "m", "seed": 0, "limit": 5},
        inputs={"method": "a", "prompts": "p", "data:pope": "1"},
        measured={"model": "f00"},
        options={"beta": 0.1},
    )
    same = dataclasses.replace(record, asked={"model": "m", "seed": 3, "limit": None})
    assert same.arms == record.arms
    assert record.arms[0] == "f00"
    for changed in ({"options": {"beta": 0.2}}, {"inputs": {"method": "b", "prompts": "p"}}):
        assert dataclasses.replace(record, **changed).arms[1] != record.arms[1]
    assert dataclasses.replace(record, inputs={}).arms == ("f00", "f00")  # one model, measured


def gate(*words):
    return CliRunner().invoke(app, ["gate", *map(str, words)], standalone_mode=False)


@pytest.fixture
def commits(tmp_path):
    """Three runs of one baseline, each a little worse than the one before."""
    base = write_run(tmp_path / "base", {"pope": pope()}, {"pope": pope()})
    made = [
        write_run(
            tmp_path / f"commit{n}", {"pope": pope()}, {"pope": pope(right=0.7 - n / 8, seed=n)}
        )
        for n in range(3)
    ]
    return base, made


def test_a_plan_of_looks_shares_the_level_and_ends(commits, tmp_path):
    base, made = commits
    common = ("--baseline", base, "--looks")
    for number, run in enumerate(made[:2], start=1):
        done = gate(run, *common, 2)
        assert f"Look {number} of 2 (even): tested at level 0.025" in done.output, done.exception
    again = gate(made[0], *common, 2)
    assert "Look 1 of 2" in again.output  # looked at before
    used = gate(made[2], *common, 2)
    assert isinstance(used.exception, UsageError)
    assert "All 2 looks of this plan are used up" in str(used.exception)
    third = gate(made[2], *common, "3/3", "--spending", "obrien-fleming", "--report", "json")
    assert "Look 3 of 3 (obrien-fleming): tested at level 0.0451" in third.output
    written = json.loads((made[2] / "gate" / "comparison.json").read_text())
    assert written["comparison"]["alpha"] == pytest.approx(0.0451, abs=1e-4)
    assert written["run"]["looks"]["others"] + written["run"]["looks"]["again"] == 2
    alone = gate(made[1], "--looks", "1/4")
    assert "Look 1 of 4 (even): tested at level 0.0125" in alone.output


LOOKS = ["0", "-1", "3/2", "0/2", "x", "1/", "/2", "1000", "1.5", "", "9" * 5000]


@pytest.mark.parametrize("text", LOOKS)
def test_a_wrong_number_of_looks_is_a_sentence(commits, text):
    done = gate(commits[0], f"--looks={text}")
    assert isinstance(done.exception, UsageError)
    assert "--looks 3/20" in str(done.exception)


def test_a_look_after_half_a_line_is_a_line_of_its_own(tmp_path):
    note_look(tmp_path, FIRST)
    with (tmp_path / "looks.jsonl").open("a") as ledger:
        ledger.write('{"after": "si')
    second = dataclasses.replace(FIRST, after="sima", figures="2")
    assert note_look(tmp_path, second) == Looks(others=1)
    third = dataclasses.replace(FIRST, after="other", figures="3")
    assert note_look(tmp_path, third) == Looks(others=2)
