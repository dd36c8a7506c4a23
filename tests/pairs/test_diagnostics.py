from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.pairs import diagnose, diagnose_run, pair_report_text, word_distance
from harness.pairs.measures import changes, guesses, length_gap, overlap, sign_test
from harness.records import Drop, Pair, Prompt, to_json
from harness.storage import Journal

VERDICTS = {"critic": [{"first": "sample", "verdict": 1}, {"first": "greedy", "verdict": 1}]}


def pair(number, chosen, *rejected, question="what", reference=None, **meta):
    return Pair(Prompt(f"p{number}", Path("x.png"), question, reference), chosen, rejected, meta)


def test_distances_and_overlaps_by_hand():
    assert word_distance("a b c d", "a b c x") == 0.25  # 2 * 3 of 8 words match
    assert word_distance("Yes.", "yes") == 0.0  # case and signs do not count
    assert word_distance("", "a") == 1.0
    assert overlap("a b", "b c d") == pytest.approx(2 * 1 / 5)
    assert overlap("a", "") == 0.0


def test_the_sign_test_is_the_binomial_one():
    assert sign_test(10, 0) == pytest.approx(2 / 1024)
    assert sign_test(5, 5) == 1.0
    assert sign_test(0, 0) is None


def test_the_length_gap_counts_pairs_not_rejected_answers():
    gap = length_gap(
        [pair(1, "a b c", "a", "a b c d e f g"), pair(2, "a", "a b"), pair(3, "a", "b")]
    )
    # Pair 1: 3 against a mean of 4; pair 2: 1 against 2; pair 3: equal.
    assert (gap.longer, gap.median) == (0.0, -1.0)
    assert gap.chosen == pytest.approx(5 / 3)
    assert gap.p == 0.5
    assert length_gap([pair(1, "a", "b")]).longer is None


def test_guesses_that_never_see_the_image():
    told = [pair(n, "indeed it is", "perhaps it was", question="is it") for n in range(20)]
    by_name = {guess.name: guess for guess in guesses(told)}
    assert by_name["words"].rate == 1.0
    assert by_name["words"].p == pytest.approx(2 / 2**20)
    assert by_name["length"].rate == 0.5
    assert by_name["length"].p is None
    assert by_name["question"].rate == 1.0  # "is" and "it" against "it"
    # Words that belong to one pair alone teach nothing about another.
    fresh = [pair(n, f"left{n}", f"right{n}") for n in range(20)]
    assert {guess.name: guess.rate for guess in guesses(fresh)}["words"] == 0.5


def test_a_pair_teaches_nothing_about_itself():
    alone = [pair(1, "yes", "no")]
    assert {guess.name: guess.rate for guess in guesses(alone)}["words"] == 0.5


def test_changes_are_gathered_by_corruption():
    metas = [{"changes": {"blur": 0.0, "pad": 0.5}}, {"changes": {"blur": 0.05}}, {}]
    blur, pad = changes(metas)
    assert (blur.name, blur.prompts, blur.equal, blur.near) == ("blur", 2, 0.5, 1.0)
    assert blur.distance == pytest.approx(0.025)
    assert (pad.name, pad.prompts, pad.distance) == ("pad", 1, 0.5)


def test_pairs_that_teach_length_are_called_that():
    longer = [pair(n, f"w{n} a long answer with words", f"v{n}") for n in range(30)]
    report = diagnose(longer)
    (warning,) = [text for text in report.warnings if "mostly teach length" in text]
    assert "longer in 100%" in warning
    assert not diagnose([pair(n, f"w{n}", f"v{n}") for n in range(30)]).warnings


def test_equal_answers_are_counted_among_all_prompts():
    drops = [Drop(Prompt(f"d{n}", Path("x"), "q"), "equal") for n in range(3)]
    report = diagnose([pair(1, "a", "b")], drops)
    assert (report.equal, report.dropped) == (0.75, {"equal": 3})
    assert any("too weak" in warning for warning in report.warnings)
    assert report.critic is None
    assert report.reference is None


def test_a_critic_that_only_says_first_is_told_also_where_the_p_value_is_zero():
    judged = [dataclasses.replace(pair(n, f"a{n}", f"b{n}"), meta=VERDICTS) for n in range(600)]
    report = diagnose(judged)
    assert report.critic.first_p == 0.0  # two to the power of -1200
    assert any("prefers whatever is shown first (100%" in told for told in report.warnings)


def test_ten_examples_are_drawn_by_seed():
    pairs = [pair(n, f"a{n}", f"b{n}") for n in range(40)]
    first = diagnose(pairs, seed=1).examples
    assert len({example.id for example in first}) == 10
    assert first == diagnose(pairs[::-1], seed=1).examples
    assert first != diagnose(pairs, seed=2).examples


def test_the_report_is_json_and_text():
    report = diagnose([pair(1, "a | b <img>\n# c", "b", changes={"blur": 0.5})])
    assert json.loads(json.dumps(to_json(report)))["pairs"] == 1
    shown = pair_report_text(report)
    assert "changed by blur: 50.0% of the words" in shown
    assert "chosen is closer" not in shown  # no reference, no figure


def test_a_run_folder_is_read_whole_or_refused(tmp_path):
    with pytest.raises(HarnessError, match=r"has no pairs\.jsonl"):
        diagnose_run(tmp_path)
    journal = Journal(tmp_path / "pairs.jsonl", "f", dict)
    journal.append(pair(1, "a", "b"), Drop(Prompt("d", Path("x"), "q"), "unparsable"))
    with pytest.raises(HarnessError, match="unfinished after its record 2"):
        diagnose_run(tmp_path)
    journal.finish()
    report = diagnose_run(tmp_path)
    assert (report.pairs, report.dropped) == (1, {"unparsable": 1})
    with pytest.raises(HarnessError, match="no pairs to examine"):
        diagnose([])
