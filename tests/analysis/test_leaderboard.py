"""Many runs side by side: ranks only where differences are told apart."""

from __future__ import annotations

import dataclasses
import json
import random
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from scipy.stats import binomtest
from scipy.stats import t as student

from harness.analysis import rank
from harness.cli.leaderboard_text import leaderboard_markdown, leaderboard_text
from harness.compare import Terms
from harness.errors import HarnessError, UsageError
from harness.records import Sample
from harness.runs import FinishedRun, bundle, open_evidence, open_run
from tests.support.command import harness
from tests.support.finished import mmvet, pope, row, write_run


def judged(right: int, count: int = 200, seed: int = 0, shuffled: bool = False) -> list[Sample]:
    """Rows of MM-Vet of which the first ``right`` are right, each with an image of its own."""
    places = list(range(count))
    if shuffled:
        random.Random(seed).shuffle(places)
    scored = set(places[:right])
    return [row(n, "two", "two", {"score": float(n in scored)}, n) for n in range(count)]


def finished(folder: Path, name: str, after: list[Sample], **changes) -> FinishedRun:
    path = write_run(
        folder / name, {"mmvet": judged(100)}, {"mmvet": after}, method=name, **changes
    )
    return open_run(path)


@pytest.fixture
def three(tmp_path) -> list[FinishedRun]:
    """Make A, and B hardly better than it, and C far better than both."""
    return [
        finished(tmp_path, name, judged(right))
        for name, right in (("a", 100), ("b", 102), ("c", 150))
    ]


def test_ranks_are_ties_where_nothing_can_be_told(three):
    (board,) = rank(three, draws=500).rankings
    runs = {standing.run: standing for standing in board.runs}
    assert [standing.run for standing in board.runs] == ["c", "b", "a"]
    assert (runs["c"].best, runs["c"].worst) == (1, 1)
    assert [(runs[n].best, runs[n].worst) for n in "ab"] == [(2, 3), (2, 3)]
    assert runs["a"].verdict == ""
    assert runs["b"].verdict == "no worse"  # two of 200 rows changed, and for the better
    assert runs["c"].verdict == "gain"
    assert [runs[n].figure for n in "abc"] == [50.0, 51.0, 75.0]
    assert [runs[n].difference for n in "abc"] == [None, 1.0, 25.0]


def test_p_values_are_corrected_over_all_runs(three):
    """Mid-p McNemar by hand from scipy's exact binomial test, and Holm by hand over all pairs."""
    found = rank(three, draws=500)
    runs = {standing.run: standing for standing in found.rankings[0].runs}
    assert found.family == 3
    # c against a: 50 flips; against b 48, which has the larger p. Half of a tie: mid-p.
    own, other = (binomtest(flips, flips).pvalue - 0.5**flips for flips in (50, 48))
    assert own < other
    assert runs["c"].p_holm == pytest.approx(3 * own, abs=1e-9)
    # Two flips in two hundred images: what is not seen yet stands against the test's p.
    assert runs["b"].p_holm > binomtest(2, 2).pvalue - 0.5**2


def test_the_interval_of_the_best_allows_for_its_having_been_picked(three):
    runs = {standing.run: standing for standing in rank(three, draws=500).rankings[0].runs}
    (low, high), (wider, further) = runs["c"].interval, runs["c"].interval_corrected
    assert wider < low < high < further
    # Fifty of 200 rows gained: t at 199 degrees of freedom times the error, at 5 % over 3.
    error = 100 * (0.25 * 0.75 / 199) ** 0.5
    assert wider <= 25 - student.ppf(1 - 0.05 / 6, 199) * error + 1e-9
    # Of two runs, 1 and 25 points apart from the baseline, the better one is drawn downwards.
    assert 13 < runs["c"].pooled < 25
    text = leaderboard_text(rank(three, draws=500))
    assert "c has the best figure of 2; allowing for that choice" in text
    assert "partially pooled with the others it is +2" in text


def chair(invented: int, recall: float, words: int) -> list[Sample]:
    """Captions of 60 images, of which the first ``invented`` name an object that is not there."""
    return [
        dataclasses.replace(
            row(
                n,
                "",
                " ".join(["word"] * words),
                {
                    "hallucinated": float(n < invented),
                    "absent": float(n < invented),
                    "absent_words": float(n < invented),
                    "mentions": 4.0,
                    "recalled": 4 * recall,
                    "present": 4.0,
                },
                n,
            ),
            tokens=words,
        )
        for n in range(60)
    ]


def test_a_gain_that_the_report_of_a_run_vetoes_is_no_win_here(tmp_path):
    """CHAIR: half of the words gone, less invented, less recalled; the run itself says "mixed"."""
    before = chair(40, 0.8, 20)
    runs = [
        open_run(write_run(tmp_path / name, {"chair": before}, {"chair": after}, method=name))
        for name, after in (("same", before), ("mute", chair(5, 0.2, 8)))
    ]
    assert runs[1].report.comparison.verdict == "mixed"
    board = rank(runs, against="before", draws=300)
    (lost,) = board.beside
    assert (lost.second, lost.column, lost.verdict) == ("mute", "recall", "loss")
    text = leaderboard_text(board)
    assert "Better on some and worse on others: mute (" in text
    assert "; worse on chair recall)" in text
    assert "chair: mute is 60 % shorter in its answers than before." in text
    assert len(board.pairs) == board.family  # what stands beside the headline is no part of ranks


def test_runs_that_were_measured_otherwise_are_named(three):
    def otherwise(run, **changes):
        asked = {**run.record.asked, **changes.pop("asked", {})}
        inputs = {**run.record.inputs, **changes.pop("inputs", {})}
        record = dataclasses.replace(run.record, asked=asked, inputs=inputs)
        report = dataclasses.replace(run.report, **changes)
        return dataclasses.replace(run, record=record, report=report)

    assert not any("different" in note for note in rank(three, draws=200).notes)
    a, b, c = (otherwise(run, inputs={"bench:mmvet": "one"}) for run in three)
    cut = otherwise(b, asked={"max_new_tokens": 8}, protocol="llava-1.5")
    newer = otherwise(c, inputs={"bench:mmvet": "two"})
    notes = " ".join(rank([a, cut, newer], draws=200).notes)
    assert "(a, c) by hf and b by llava-1.5" in notes
    assert "those of (a, c) at each benchmark's own limit and those of b at 8 tokens" in notes
    assert "(a, b) and c were measured by different versions of the code of mmvet" in notes
    with pytest.raises(HarnessError, match="a was answered by the engine own, and c by vllm"):
        rank([a, b, otherwise(c, engine="vllm 0.11")], draws=200)
    short = dataclasses.replace(c, after={"mmvet": c.after["mmvet"][:50]})
    with pytest.raises(HarnessError, match=r"a was asked 200 rows and c 50 \(row 50 is only in a"):
        rank([a, b, short], draws=200)


def test_the_strictest_terms_that_runs_recorded_hold(three):
    def laid_down(run, method, **terms):
        comparison = dataclasses.replace(run.report.comparison, **terms)
        report = dataclasses.replace(run.report, comparison=comparison, method=method)
        return dataclasses.replace(run, report=report)

    loose = laid_down(three[0], "a", alpha=0.2, margins={"mmvet": 30.0})
    strict = laid_down(three[2], "c", alpha=0.01, margin=2.0, accepted=("mmvet",))
    terms = rank([loose, strict], draws=200).terms
    assert (terms.alpha, terms.margin, terms.margins) == (0.01, 1.0, {"mmvet": 2.0})
    assert terms.accept_missing == ()
    twice = [strict, laid_down(three[1], "b", accepted=("mmvet",))]
    assert rank(twice, draws=200).terms.accept_missing == ("mmvet",)


def test_missing_rows_veto_a_rank_unless_accepted(three):
    """c is better by 50 of 200 rows; without a score for 60 of them it may be worse."""
    rows = [
        dataclasses.replace(row, answer=None, error="gone", scores={}) if n < 60 else row
        for n, row in enumerate(three[2].after["mmvet"])
    ]
    lost = dataclasses.replace(three[2], after={"mmvet": tuple(rows)})
    for accepted, told, places in (((), "cannot tell", (1, 2)), (("mmvet",), "gain", (1, 1))):
        terms = Terms(accept_missing=accepted)
        (board,) = rank([three[0], lost], draws=200, terms=terms).rankings
        found = {standing.run: standing for standing in board.runs}["c"]
        assert (found.verdict, found.best, found.worst) == (told, *places)


def test_the_baseline_may_be_any_run(three):
    first, other = rank(three, draws=500), rank(three, against="c", draws=500)
    assert (first.baseline, other.baseline) == ("a", "c")
    one = {s.run: s for s in first.rankings[0].runs}
    two = {s.run: s for s in other.rankings[0].runs}
    assert two["a"].difference == -one["c"].difference
    assert two["a"].interval == (-one["c"].interval[1], -one["c"].interval[0])
    assert two["a"].verdict == "loss"
    assert [(s.best, s.worst) for s in two.values()] == [(s.best, s.worst) for s in one.values()]


def test_the_common_start_may_be_the_baseline(three, tmp_path):
    board = rank(three, against="before", draws=500).rankings[0]
    assert {standing.run for standing in board.runs} == {"before", "a", "b", "c"}
    assert {s.run: s.difference for s in board.runs}["a"] == 0
    # The same answers, and yet not the same model: nothing was told, which is not "no change".
    assert {s.run: s.verdict for s in board.runs}["a"] == "cannot tell"
    path = write_run(tmp_path / "d", {"mmvet": judged(99)}, {"mmvet": judged(100)}, method="d")
    with pytest.raises(
        UsageError,
        match=r"their scores on mmvet differ\. Judge both by one",
    ):
        rank([*three, open_run(path)], against="before", draws=500)
    said = [dataclasses.replace(row, answer="else") for row in three[0].before["mmvet"]]
    path = write_run(tmp_path / "e", {"mmvet": said}, {"mmvet": said}, method="e")
    with pytest.raises(UsageError, match="did not start from one model"):
        rank([*three, open_run(path)], against="before", draws=500)


def test_training_seeds_count_as_what_they_are(tmp_path):
    """Seeds that disagree make a difference harder to tell than the same rows of one seed."""
    before = {"mmvet": tuple(judged(100))}
    outcomes = {"steady": (150, 151, 149), "shaky": (190, 100, 160), "base": (100, 100, 100)}
    runs = []
    for name, rights in outcomes.items():
        first, *others = (tuple(judged(right)) for right in rights)
        run = finished(tmp_path, name, list(first))
        more = tuple((before, {"mmvet": other}) for other in others)
        runs.append(dataclasses.replace(run, more=more))
    found = rank(runs, against="base", draws=500).rankings[0]
    told = {standing.run: standing for standing in found.runs}
    assert told["steady"].figure == told["shaky"].figure == 75.0
    assert told["steady"].difference == told["shaky"].difference == 25.0
    assert told["steady"].verdict == "gain"
    assert told["shaky"].verdict == "cannot tell"
    again = rank(runs, against="before", draws=500).rankings[0]
    assert {s.run: s.verdict for s in again.runs}["steady"] == "gain"
    alone = dataclasses.replace(runs[2], more=())
    notes = rank([*runs[:2], alone], draws=500).notes
    assert "steady has 3 seeds and base has 1; the first 1 of each are compared." in notes


def test_missing_answers_are_counted_and_are_not_zero(three):
    lost = list(three[2].after["mmvet"])
    lost[0] = dataclasses.replace(lost[0], answer=None, error="gone", scores={"score": None})
    runs = [*three[:2], dataclasses.replace(three[2], after={"mmvet": tuple(lost)})]
    found = rank(runs, draws=500)
    standing = {s.run: s for s in found.rankings[0].runs}["c"]
    assert (standing.missing, found.missing) == (1, 1)
    assert standing.figure == pytest.approx(100 * 149 / 199)


def test_other_data_is_refused_by_row_and_an_unshared_benchmark_is_left_out(three, tmp_path):
    other = judged(100)
    other[7] = dataclasses.replace(other[7], content="another question")
    path = write_run(tmp_path / "d", {"mmvet": other}, {"mmvet": other}, method="d", data="5678")
    with pytest.raises(HarnessError, match="row 7 has changed"):
        rank([*three, open_run(path)], draws=500)
    both = {"mmvet": judged(100), "pope": pope()}
    path = write_run(tmp_path / "e", both, both, method="e")
    found = rank([three[0], open_run(path), three[1]], draws=500)
    assert [board.benchmark for board in found.rankings] == ["mmvet"]
    assert found.left_out == ("pope",)


def test_names_and_near_misses(three, tmp_path):
    twin = finished(tmp_path / "again", "a", judged(100))
    with pytest.raises(UsageError, match="Two runs are called a"):
        rank([three[0], twin], draws=500)
    elsewhere = dataclasses.replace(twin, folder=tmp_path / "a-second.zip")
    names = {s.run for s in rank([three[0], elsewhere], draws=500).rankings[0].runs}
    assert names == {"a", "a-second"}
    folders = [tmp_path / f"a-llava-1.5-7b-{code}" for code in ("1a2b", "5e6f")]
    alike = [dataclasses.replace(twin, folder=folder) for folder in folders]
    assert {s.run for s in rank(alike, draws=500).rankings[0].runs} == {f.name for f in folders}
    with pytest.raises(UsageError, match="Did you mean 'before'"):
        rank(three, against="befor", draws=500)


@pytest.mark.slow
def test_false_ranks_are_rare():
    """Equal runs: in at most about 5 % of leaderboards is any run told from another."""
    wrong = 0
    for seed in range(120):
        chance = random.Random(seed)
        arms = []
        for name in "abcd":
            rows = [
                row(n, "two", "two", {"score": float(chance.random() < 0.5)}, n) for n in range(60)
            ]
            arms.append((name, tuple(rows)))
        runs = [fake(name, rows) for name, rows in arms]
        (board,) = rank(runs, draws=200, seed=seed).rankings
        wrong += any((s.best, s.worst) != (1, 4) for s in board.runs)
    assert wrong <= 13, f"{wrong} of 120"  # 6 expected; P(more than 13) < 0.3 %


def fake(name: str, rows: tuple[Sample, ...]) -> FinishedRun:
    from harness.report import ReportInput

    report = ReportInput(None, name, "model")
    return FinishedRun(Path(name), report, {}, {"mmvet": rows}, {"mmvet": "1"})


def test_tables_hold_hostile_names(three):
    bad = dataclasses.replace(
        three[1], report=dataclasses.replace(three[1].report, method="b|<i>`\n#")
    )
    found = rank([three[0], bad], draws=500)
    text = leaderboard_markdown(found)
    rendered = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    inline = [child for token in rendered for child in token.children or []]
    assert not [child for child in inline if child.type == "html_inline"]
    assert "b¦<i>' #" in [child.content for child in inline if child.type == "code_inline"]
    rows = [token for token in rendered if token.type == "td_open"]
    assert len(rows) == 2 * (2 + 1) + 2 * 7  # the matrix, and the one figure
    assert "no worse" in leaderboard_text(found, every=True)


def test_the_command(tmp_path):
    paths = []
    for name, right in (("a", 0.5), ("b", 0.55), ("c", 0.9)):
        both = {"pope": pope(right=0.5), "mmvet": mmvet(right=0.5)}
        after = {"pope": pope(right=right, seed=7), "mmvet": mmvet(right=right, seed=7)}
        run = write_run(tmp_path / name, both, after, method=name)
        paths.append(str(bundle(run, tmp_path / f"{name}.zip").path if name == "b" else run))
    text = harness("compare", "--json", *paths)
    assert text.returncode == 0, text.stderr
    data = json.loads(text.stdout)
    assert [board["column"] for board in data["rankings"]] == ["accuracy", "score"]
    assert (data["baseline"], data["family"]) == ("before", 12)
    alone = harness("compare", "--json", *paths[:1])
    assert alone.returncode == 2
    assert "nothing to compare one run with" in alone.stderr
    board = rank([open_evidence(Path(path)) for path in paths], draws=200)
    text = leaderboard_text(board, every=True)
    assert "pope accuracy (90 rows, 15 images; higher is better)" in text
    assert "over the 6 differences" in text
    assert "<summary>pope accuracy (90 rows" in leaderboard_markdown(board)


def test_runs_by_figures_fit_the_terminal(three):
    """C is better than A, the baseline, and B like it: by hand from their 100, 102 and 150 rows."""
    board = rank(three, draws=500)
    assert leaderboard_text(board, width=80).splitlines()[:6] == [
        "Better on some figures and worse on none: c (1 of 1). "
        "Neither better nor worse on any figure: b.",
        "",
        "              better/  mmvet",
        "run           worse    score",
        "a (baseline)  –        50.0 (2–3)",
        "c             1/0      75.0 ▲ (1)",
    ]
    one = board.rankings[0]
    wide = dataclasses.replace(
        board, rankings=tuple(dataclasses.replace(one, column=f"score {n}") for n in range(18))
    )
    for width in (60, 80, 120):
        text = leaderboard_text(wide, width=width).split("\n\nDifferences")[0]
        table = [line for line in text.splitlines()[2:] if line]
        assert max(map(len, table)) <= width
        assert len(re.findall("75.0 ▲", text)) == 18


def test_states_of_rows_are_said_for_each_run(three, tmp_path):
    rows = judged(150)
    lost = [
        dataclasses.replace(each, answer=None, error="the server failed", scores={"score": None})
        for each in rows[:30]
    ]
    fourth = finished(tmp_path, "d", lost + rows[30:])
    board = rank([three[0], fourth], draws=200)
    said = "rows d: 170 answered, 30 missing (the server failed)"
    assert f"mmvet: {said}" in board.notes
    assert said in leaderboard_text(board)
    assert not any("rows a" in note for note in board.notes)
