"""One decision for headline, gate and JUnit; missing rows and answers that say nothing."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest
from harness_benchmarks import amber, chair
from harness_reports import junit, words

from harness.benchmark import headline, mean_of, ratio_of
from harness.compare import check_rules, compare, exit_code, summary
from harness.compare.details import worst_case
from harness.errors import ExitCode
from harness.records import Sample
from tests.support.hostile import report

HALLUCINATED = mean_of("bad", name="CHAIR", higher_is_better=False, primary=True)
RECALL = ratio_of("found", "there", name="recall")
SCORE = mean_of("score", primary=True)
SIDE = mean_of("side")


def row(index, answer="an answer", tokens=10, **scores):
    gone = answer is None
    return Sample(
        id=f"{index:04d}",
        content=f"{index}",
        cluster=f"{index}",
        prompt="?",
        target="!",
        answer=answer,
        tokens=0 if gone else tokens,
        finish="missing" if gone else "stop",
        scores={} if gone else scores,
    )


def compared(before, after, *metrics, **options):
    options.setdefault("draws", 400)
    return compare({"bench": before}, {"bench": after}, {"bench": metrics or (SCORE,)}, **options)


def said(result):
    """Return headline, exit code of the default gate, and outcomes of JUnit's test cases."""
    rulings = check_rules(result, "any:loss")
    made = dataclasses.replace(report(["x"]), comparison=result, gate=())
    return words.headline(result), exit_code(result, rulings), junit.render(made)


def captions(count, *, bad, found, answer="a dog and a cat", tokens=60):
    """Captions of which a share errs, with so many of ten objects found."""
    return [
        row(i, answer, tokens, bad=float(i < bad * count), found=float(found), there=10.0)
        for i in range(count)
    ]


def test_recall_and_cover_have_a_direction_and_stay_beside_the_headline():
    """They veto a gain without being one: who only says more has not become better."""
    for benchmark, name in ((chair.BENCHMARK, "recall"), (amber.BENCHMARK, "Cover")):
        (beside,) = [metric for metric in benchmark.columns if metric.name == name]
        assert beside.higher_is_better
        assert beside not in headline(benchmark.columns)


def test_a_model_that_says_nothing_never_wins():
    before = captions(60, bad=0.6, found=5)
    silent = captions(60, bad=0.0, found=0, answer=" ", tokens=1)
    result = compared(before, silent, HALLUCINATED, RECALL)
    text, code, tests = said(result)
    assert result.verdict == "loss"
    assert text.startswith("bench: 100 % of the answers after are empty or could not be read (0 %")
    assert "Yes" not in text
    assert "Answers became shorter: 98 % on bench." in text
    assert code == ExitCode.REGRESSION
    assert '<failure type="loss"' in tests
    # Without recall there is no loss to see, and still nothing is won.
    alone = compared(before, silent, HALLUCINATED)
    text, code, tests = said(alone)
    assert alone.verdict == "cannot tell"
    assert code == ExitCode.UNSCORED
    assert 'failures="0" errors="1"' in tests


def test_fewer_errors_and_less_recall_is_mixed_everywhere():
    before = captions(80, bad=0.6, found=7)
    after = captions(80, bad=0.1, found=4, tokens=36)
    text, code, tests = said(compared(before, after, HALLUCINATED, RECALL))
    assert text.startswith("Mixed: better on bench CHAIR")
    assert "worse on bench recall (-30.0 points)" in text
    assert "Answers became shorter: 40 % on bench." in text
    assert code == ExitCode.REGRESSION
    assert 'failures="1"' in tests


def scored(scores, **fields):
    return [row(i, score=float(s), side=float(fields.get("side", s))) for i, s in enumerate(scores)]


def test_a_lost_metric_beside_the_headline_takes_the_yes():
    before, after = scored([0] * 60 + [1] * 40, side=1), scored([1] * 100, side=0)
    result = compared(before, after, SCORE, SIDE)
    text, code, tests = said(result)
    assert result.verdict == "mixed"
    assert text.startswith("Mixed: better on bench score")
    assert "worse on bench side (-100.0 points)" in text
    assert code == ExitCode.REGRESSION
    assert 'failures="1"' in tests
    # Where nothing gained it is no part of the headline, the gate or JUnit.
    still = compared(scored([0, 1] * 50, side=1), scored([0, 1] * 50, side=0), SCORE, SIDE)
    text, code, tests = said(still)
    assert (still.verdict, code) == ("cannot tell", ExitCode.DONE)
    assert "every sample scored exactly the same" not in text
    assert 'failures="0"' in tests


def test_a_lost_format_is_said_first_and_opens_no_gate():
    """Accuracy falls for want of format while another figure rises."""
    before = [row(i, "yes", score=float(i % 9 > 0), side=0.8, unparsed=0.0) for i in range(90)]
    after = [row(i, "Sure!", score=0.0, side=1.0, unparsed=float(i % 30 > 0)) for i in range(90)]
    result = compared(before, after, SCORE, SIDE)
    text, code, _ = said(result)
    assert text.startswith("bench: 97 % of the answers after are empty or could not be read (0 %")
    assert code == ExitCode.REGRESSION
    (ruling,) = check_rules(result, "bench.side<-1")
    assert ruling.outcome == "unknown"
    assert "97 % of the answers" in ruling.told
    assert result.benchmarks[0].figures[1].verdict == "cannot tell"
    # Found again, nothing stands against the gain.
    found = compared(after, before, SCORE, SIDE)
    assert found.verdict == "gain", "of the few answers that were read before, no figure is known"
    assert [figure.verdict for figure in found.benchmarks[0].figures] == ["gain", "cannot tell"]


def test_the_same_answers_are_a_fact_and_no_inference():
    arm = scored([0, 1] * 100)
    other = [dataclasses.replace(each) for each in arm]
    fact = compared(arm, other)
    (figure,) = fact.benchmarks[0].figures
    assert words.headline(fact).startswith("No change: every answer is the same")
    assert figure.difference == 0.0
    assert figure.interval[0] < 0 < figure.interval[1]
    assert figure.verdict == "cannot tell"
    # The same scores of other answers are not even that fact.
    spoken = [dataclasses.replace(each, answer="another") for each in arm]
    assert words.headline(compared(arm, spoken)).startswith("Cannot tell:")
    # A run compared with itself is exactly nothing.
    itself = compared(arm, list(arm))
    (figure,) = itself.benchmarks[0].figures
    assert (itself.verdict, figure.interval, figure.bounds) == ("no change", (0, 0), (0, 0))


def test_worst_case_bounds_by_hand():
    units = compared_units([0.2, 0.4, 0.6, 1.0], [0.3, 0.5, None, None])
    # (10 + 10 + (0 - 60) + (0 - 100)) / 4 and (10 + 10 + (100 - 60) + (100 - 100)) / 4
    assert worst_case(SCORE, [units], 10.0) == pytest.approx((-35.0, 15.0))
    assert worst_case(SCORE, [units[:2]], 10.0) is None
    units = compared_units([None, 0.4], [None, 0.5])
    assert worst_case(SCORE, [units], 10.0) == pytest.approx((-45.0, 55.0))


def compared_units(before, after):
    from harness.compare import Unit

    def counters(value):
        return None if value is None else (value, 1.0)

    pairs = enumerate(zip(before, after, strict=True))
    return [Unit(str(i), (i,), i, counters(b), counters(a)) for i, (b, a) in pairs]


def test_rows_missing_for_a_reason_win_nothing_unless_accepted():
    """Nothing changed; the worst 30 % of the second arm have no score."""
    random = np.random.default_rng(1)
    base = random.random(200)
    arms = [np.clip(base + random.normal(0, 0.2, 200), 0, 1).round(1) for _ in range(2)]
    before, after = ([row(i, f"{v}", score=float(v)) for i, v in enumerate(arm)] for arm in arms)
    for index in np.argsort(arms[1])[:60]:
        after[index] = row(int(index), None)
    result = compared(before, after)
    (figure,) = result.benchmarks[0].figures
    assert figure.p_holm < 0.05
    assert figure.difference > 0 > figure.worst[0]
    assert result.verdict == "cannot tell"
    text = words.headline(result)
    assert "60 of 200 rows of bench were not measured" in text
    notes = " ".join(result.benchmarks[0].notes)
    lost, kept = (
        float(x) for x in re.search(r"had (\S+) points before, the others (\S+)\.", notes).groups()
    )
    assert lost < kept
    accepted = compared(before, after, accept_missing=["bench"])
    assert (accepted.verdict, accepted.accepted) == ("gain", ("bench",))
    assert "(accepted)" in words.headline(accepted)
    # A loss is not taken back by rows that might have been good.
    assert compared(after, before).verdict == "loss"


def test_few_missing_rows_leave_a_large_gain():
    before, after = scored([0] * 100), scored([1] * 100)
    after[3] = row(3, None)
    result = compared(before, after)
    assert result.benchmarks[0].figures[0].worst == (99.0, 100.0)
    assert result.verdict == "gain"


def test_not_worse_must_be_shown():
    many = [float(i % 2) for i in range(4000)]
    flips = [1 - s if i % 400 < 2 else s for i, s in enumerate(many)]
    fine = compared(scored(many), scored(flips))
    few = compared(scored(many[:100]), scored(flips[:100]))
    assert [check_rules(r, "bench:not-worse")[0].outcome for r in (fine, few)] == [
        "passes",
        "fails",
    ]
    gain = compared(scored([0] * 60 + [1] * 40), scored([1] * 100))
    assert check_rules(gain, "bench:not-worse")[0].outcome == "passes"


def test_a_gate_bound_rests_on_what_was_not_seen():
    """Forty images and no flip: a fall of a point cannot be ruled out."""
    arm = scored([1] * 40)
    result = compared(arm, [dataclasses.replace(each) for each in arm])
    (ruling,) = check_rules(result, "bench.lower<-1")
    assert ruling.outcome == "fails"
    assert summary(result).verdict == "cannot tell"
