"""The gate: its rules on made figures, its command on real runs."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.gate import FOLDER
from harness.compare import VERDICTS, check_rules, exit_code
from harness.compare.gate import Rule, read_rule
from harness.errors import ExitCode, UsageError
from tests.support.command import harness
from tests.support.finished import pope, write_run
from tests.support.hostile import report


def comparison_of(**fields):
    """Return a comparison of ``pope`` with one headline figure and two beside it."""
    result = report(["plain"] * 6, name="pope").comparison
    (benchmark,) = result.benchmarks
    fields.setdefault("bounds", fields.get("interval", (-2.0, 0.5)))
    figure = dataclasses.replace(
        benchmark.figures[0],
        **{
            "column": "accuracy",
            "difference": -1.0,
            "interval": (-2.0, 0.5),
            "verdict": "cannot tell",
            "digits": 1,
            **fields,
        },
    )
    wrong = dataclasses.replace(
        figure, column="unparsed", primary=False, higher_is_better=False, difference=0.7
    )
    yes = dataclasses.replace(figure, column="says yes", primary=False, higher_is_better=None)
    benchmark = dataclasses.replace(benchmark, figures=(figure, wrong, yes))
    ad_hoc = dataclasses.replace(benchmark, name="lmms:ok_vqa", figures=(figure,))
    return dataclasses.replace(result, benchmarks=(benchmark, ad_hoc))


@pytest.mark.parametrize(
    ("rule", "outcome"),
    [
        ("pope<-0.5", "fails"),
        ("pope<-1", "passes"),  # equal is not below
        ("pope < -0.99", "fails"),
        ("pope.accuracy<-1.5", "passes"),
        ("pope.lower<-1.5", "fails"),
        ("pope.accuracy.lower<-2", "passes"),
        ("pope.upper<0", "passes"),
        ("pope.upper<0.6", "fails"),
        ("pope.unparsed>0.5", "fails"),
        ("pope.unparsed>0.7", "passes"),
        ("pope.says yes<-0.5", "fails"),
        ("pope.says yes>-0.5", "passes"),
        ("pope:loss", "passes"),
        ("pope:cannot tell", "fails"),
        ("lmms:ok_vqa<-0.5", "fails"),
        ("lmms:ok_vqa:loss", "passes"),
        ("pope.worst<-2.5", "fails"),  # a missing row at its worst makes -3 of -1
        ("pope.worst<-3", "passes"),
        ("pope.unparsed.worst>2.5", "fails"),
        ("pope.rows<7", "fails"),
        ("pope.rows<6", "passes"),
        ("pope.images<7", "fails"),
        ("pope.missing>0", "passes"),
        ("not pope:gain", "fails"),
        ("not pope:cannot tell", "passes"),
        ("not pope.lower>-1.9", "fails"),
        ("not pope.lower>-2.1", "passes"),
        ("not pope.worst>-2.5", "fails"),
        ("not pope.unparsed<0.6", "fails"),
        ("not pope.rows>5", "passes"),
    ],
)
def test_a_rule_by_hand(rule, outcome):
    (ruling,) = check_rules(comparison_of(samples=6, clusters=6, worst=(-3.0, 3.0)), rule)
    assert (ruling.rule, ruling.outcome) == (rule, outcome)


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("pop<-1", "Did you mean 'pope'"),
        ("pope.acuracy<-1", "Did you mean 'pope.accuracy'"),
        ("pope:los", "Did you mean 'loss'"),
        ("pope>1", "would fail when pope accuracy gets better"),
        ("pope.unparsed<-1", r"Write pope.unparsed>NUMBER"),
        ("any<-1", "goes with a verdict"),
        ("any.lower<-1", "goes with a verdict"),
        ("not pope<-1", "would fail when pope accuracy gets better. Write not pope>NUMBER"),
        ("pope.rows>10", "has more rows. Write pope.rows<NUMBER"),
        ("pope.missing<10", r"Write pope\.missing>NUMBER"),
        ("not not pope:gain", "has no 'not pope'"),
        ("not", "is not a rule"),
        ("pope.rows<many", "'many' in 'pope.rows<many' is not a number"),
        ("pope<much", "'much' in 'pope<much' is not a number"),
        ("pope<nan", "is not a number"),
        ("pope<-0_5", "'-0_5' in 'pope<-0_5' is not a number"),
        ("pope<-１", "is not a number"),
        ("pope<1<2", "has no 'pope<1'"),
        ("pope", "is not a rule"),
        (":loss", "is not a rule"),
        ("", "names no rule"),
        (" , ", "names no rule"),
    ],
)
def test_a_wrong_rule_says_what_to_write(rule, said):
    with pytest.raises(UsageError, match=said):
        check_rules(comparison_of(), rule)


@pytest.mark.parametrize(
    ("interval", "says"),
    [
        ((-4.0, -3.0), "the whole range of the bounds is beyond"),
        ((-4.0, 1.0), "chance alone could decide"),
        ((-1.0, 1.0), "good side"),
    ],
)
def test_a_threshold_says_what_the_interval_says(interval, says):
    (ruling,) = check_rules(comparison_of(interval=interval), "pope<-2")
    assert says in ruling.told


def test_any_asks_every_headline_figure():
    found = check_rules(comparison_of(verdict="loss"), "any:loss, pope.unparsed:loss")
    assert [(r.benchmark, r.column, r.outcome) for r in found] == [
        ("pope", "accuracy", "fails"),
        ("lmms:ok_vqa", "accuracy", "fails"),
        ("pope", "unparsed", "fails"),
    ]


def test_not_any_fails_where_none_of_them_did():
    two = comparison_of()
    assert {r.outcome for r in check_rules(two, "not any:gain")} == {"fails"}
    gained = dataclasses.replace(two.benchmarks[1].figures[0], verdict="gain")
    one = dataclasses.replace(two.benchmarks[1], figures=(gained,))
    found = check_rules(
        dataclasses.replace(two, benchmarks=(two.benchmarks[0], one)), "not any:gain"
    )
    assert [r.outcome for r in found] == ["passes", "passes"]
    lacking = comparison_of(difference=None, interval=None)
    assert {r.outcome for r in check_rules(lacking, "not pope:gain")} == {"unknown"}
    assert [r.outcome for r in check_rules(two, "any.rows<10000")] == ["fails", "fails"]


TARGETS = st.text(
    st.characters(blacklist_characters="<>,", blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp")),
    min_size=1,
).filter(lambda text: not text.startswith("not "))


@given(
    TARGETS,
    st.one_of(
        st.tuples(st.sampled_from("<>"), st.floats(allow_nan=False, allow_infinity=False)),
        st.tuples(st.just(":"), st.sampled_from([*VERDICTS, "not-worse"])),
    ),
    st.booleans(),
)
def test_every_rule_reads_as_what_it_prints(target, asked, negated):
    rule = Rule(target, *asked, negated)
    assert read_rule(str(rule)) == rule
    assert read_rule(f"  {rule} ") == rule


def test_exit_codes_regression_before_missing_before_fine():
    fine, lost = comparison_of(), comparison_of(verdict="loss")
    unknown = comparison_of(difference=None, interval=None)
    assert exit_code(fine, check_rules(fine, "any:loss")) == ExitCode.DONE
    assert exit_code(lost, check_rules(lost, "any:loss")) == ExitCode.REGRESSION
    for rule in ("any:loss", "pope<-1"):
        assert exit_code(unknown, check_rules(unknown, rule)) == ExitCode.UNSCORED
    gone = [dataclasses.replace(one, missing_after=("3",)) for one in fine.benchmarks]
    gone = dataclasses.replace(fine, benchmarks=tuple(gone))
    assert exit_code(gone, check_rules(gone, "any:loss")) == ExitCode.UNSCORED
    worse = dataclasses.replace(lost, benchmarks=(lost.benchmarks[0], gone.benchmarks[1]))
    assert exit_code(worse, check_rules(worse, "any:loss")) == ExitCode.REGRESSION


@given(st.text())
def test_no_text_breaks_the_reading_of_rules(text):
    try:
        found = check_rules(comparison_of(), text)
    except UsageError:
        return
    assert found
    assert {ruling.outcome for ruling in found} <= {"passes", "fails", "unknown"}


@given(
    st.floats(-50, 50).map(lambda value: round(value, 3)),
    st.floats(-50, 50).map(lambda value: round(value, 3)),
)
def test_a_threshold_is_a_plain_comparison(difference, limit):
    ends = (difference - 1, difference + 1)
    (ruling,) = check_rules(comparison_of(difference=difference, interval=ends), f"pope<{limit}")
    assert (ruling.outcome == "fails") == (difference < limit)


# ---- the command, on real runs of the embedded model


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The same job twice: gently, and with labels swapped at a rate that ruins the model."""
    out = tmp_path_factory.mktemp("runs")
    common = ["--bench", "pope", "--max-prompts", "48", "--limit", "360", "--quiet"]
    found = []
    for method, options in (
        ("seva", "learning_rate=1e-6"),
        ("swapped", "of_set=learning_rate=1e-2"),
    ):
        words = [sys.executable, "-m", "harness", "run", "--method", method, "--set", options]
        done = subprocess.run(
            [*words, "--out", out, "--json", *common], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found.append(Path(json.loads(done.stdout.splitlines()[-1])["folder"]))
    return found


@pytest.mark.slow
def test_no_change_passes(runs):
    gentle, _ = runs
    done = harness("gate", gentle, "--baseline", gentle, "--fail-on", "any:loss, pope<-0.01")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "PASS: no rule failed." in done.stdout
    assert "+0.000 [+0.000, +0.000] points, verdict: no change" in done.stdout


@pytest.mark.slow
def test_a_planted_regression_fails_against_its_own_before_and_against_a_baseline(runs):
    gentle, ruined = runs
    alone = harness("gate", ruined)
    assert alone.returncode == 4, alone.stdout + alone.stderr
    assert "verdict: loss" in alone.stdout
    beside = harness(
        "gate", ruined, "--baseline", gentle, "--fail-on", "pope.upper<-0.5", "--report", "junit"
    )
    assert beside.returncode == 4, beside.stdout + beside.stderr
    told = " ".join(beside.stdout.split())  # broken into lines where COLUMNS says so
    assert "the whole range of the bounds is beyond the threshold" in told
    assert 'type="gate"' in (ruined / FOLDER / "junit.xml").read_text()
    assert not (ruined / "junit.xml").exists()
    better = harness("gate", gentle, "--baseline", ruined)
    assert better.returncode == 0, better.stdout


@pytest.mark.slow
def test_a_bundle_is_a_baseline(runs, tmp_path):
    gentle, ruined = runs
    done = harness("bundle", gentle, "--out", tmp_path / "baseline.zip")
    assert done.returncode == 0, done.stderr
    gate = harness("gate", ruined, "--baseline", tmp_path / "baseline.zip", "--json")
    assert gate.returncode == 4, gate.stderr
    told = json.loads(gate.stdout)
    assert told["exit"] == 4
    assert [rule["outcome"] for rule in told["rules"]] == ["fails"]


@pytest.mark.slow
def test_missing_samples_are_exit_code_3(tmp_path):
    rows = pope(right=0.8, seed=5)
    whole = write_run(tmp_path / "whole", {"pope": pope()}, {"pope": rows})
    gone = dataclasses.replace(rows[5], answer=None, error="the server hung up", scores={})
    lacking = [*rows[:5], gone, *rows[6:]]
    done = harness(
        "gate",
        write_run(tmp_path / "lacking", {"pope": pope()}, {"pope": lacking}),
        "--baseline",
        whole,
    )
    assert done.returncode == 3, done.stdout + done.stderr
    assert "1 answers or scores are missing" in done.stdout
    told = f"{tmp_path / 'lacking'}: run the same harness run or harness judge command again."
    assert told in done.stdout


def test_a_pass_of_zero_against_zero_says_so(tmp_path):
    before, after = (
        [dataclasses.replace(row, scores={**row.scores, "strict": 0.0}) for row in arm]
        for arm in (pope(), pope(seed=5))
    )
    run = write_run(tmp_path / "zero", {"pope": before}, {"pope": after})
    for words in ((), ("--json",)):
        done = harness("gate", run, *words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "none of the 90 answers is right by it on either side" in done.stdout


def test_a_folder_without_a_run_is_exit_code_2(tmp_path):
    done = harness("gate", tmp_path)
    assert done.returncode == 2
    assert "There is no finished run" in done.stderr
