"""One model measured alone: its figures, their intervals, and what such a run is good for."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from harness.benchmark import f1_of, mean_of
from harness.compare import levels_of
from harness.errors import UsageError
from harness.eval import measure
from harness.records import Sample
from harness.resolve import resolve
from harness.settings import EvalSettings, Settings
from tests.model.test_server import Server
from tests.support.checkpoints import write_llava


def figures(rows, *columns):
    return levels_of({"bench": rows}, {"bench": columns})


def sample(row, answer="x", image=None, **scores):
    return Sample(
        id=str(row),
        content=f"c{row}",
        cluster=image or f"im{row}",
        prompt="?",
        target="x",
        answer=answer,
        tokens=1,
        finish="stop",
        scores=scores,
    )


def test_a_mean_has_students_interval():
    values = np.random.default_rng(0).normal(0.5, 0.1, 80)
    rows = [sample(i, x=float(v)) for i, v in enumerate(values)]
    (level,) = figures(rows, mean_of("x", primary=True))
    ends = stats.ttest_1samp(100 * values, 0).confidence_interval(0.95)
    assert level.figure == pytest.approx(100 * values.mean())
    assert level.interval == pytest.approx((ends.low, ends.high), rel=0.02)
    assert (level.samples, level.clusters, level.missing, level.primary) == (80, 80, 0, True)


def test_rows_that_share_an_image_count_once_in_the_interval():
    values = np.random.default_rng(1).integers(0, 2, 30)
    apart = [sample(i, x=float(v)) for i, v in enumerate(values)]
    copies = [
        sample(f"{i}-{n}", image=f"im{i}", x=float(v)) for i, v in enumerate(values) for n in (1, 2)
    ]
    column = mean_of("x", primary=True)
    (one,), (two,) = figures(apart, column), figures(copies, column)
    assert one.interval == pytest.approx(two.interval)
    assert two.clusters == 30


def test_a_ratio_and_a_perfect_figure():
    """F1 by hand: 2 hits, 1 false alarm, 1 miss gives 2 * 2 / (2 * 2 + 1 + 1)."""
    hits = [(1, 1), (1, 1), (1, 0), (0, 1)]  # said yes, truth is yes
    rows = [sample(i, yes=float(y), truth=float(t)) for i, (y, t) in enumerate(hits * 10)]
    (level,) = figures(rows, f1_of("yes", "truth", name="f1", primary=True))
    assert level.figure == pytest.approx(100 * 2 * 2 / 6)
    assert level.interval[0] < level.figure < level.interval[1]
    rows = [sample(i, x=1.0) for i in range(20)]
    (level,) = figures(rows, mean_of("x", primary=True))
    assert level.figure == 100.0
    # Twenty rights of twenty prove no certainty: one more image at the worst value bounds it.
    assert 80.0 < level.interval[0] < 95.0
    assert level.interval[1] == 100.0


def test_missing_answers_are_counted_and_no_row_gives_no_figure():
    rows = [sample(0, x=1.0), sample(1, x=0.0), sample(2, answer=None)]
    (level,) = figures(rows, mean_of("x", primary=True))
    assert (level.figure, level.samples, level.missing) == (50.0, 2, 1)
    (level,) = figures([sample(0, answer=None)], mean_of("x", primary=True))
    assert (level.figure, level.interval, level.missing) == (None, None, 1)


def test_a_servers_model_can_be_measured_and_is_refused_for_training(tmp_path):
    server = Server()
    model = server.source
    found = measure(EvalSettings(benches=("pope",), model=model, limit=4, out=tmp_path))
    assert found.calls == 4
    assert measure(EvalSettings(benches=("pope",), model=model, limit=4, out=tmp_path)).calls == 0
    with pytest.raises(UsageError, match="harness eval"):
        resolve(Settings(method="seva", benches=("pope",), model=model))


@pytest.mark.slow
def test_a_measured_model_serves_as_baseline_gate_and_side_of_a_comparison(tmp_path):
    def harness(*words, code=0):
        done = subprocess.run(
            [sys.executable, "-m", "harness", *map(str, words)],
            capture_output=True,
            text=True,
            timeout=500,
            cwd=tmp_path,
        )
        assert done.returncode == code, done.stderr + done.stdout
        return done.stdout, done.stderr

    few = ("--bench", "pope", "--limit", "36", "--quiet", "--json")
    base = json.loads(harness("eval", *few)[0].splitlines()[-1])
    other = write_llava(tmp_path / "other", seed=3)
    weak = json.loads(harness("eval", *few, "--model", other)[0].splitlines()[-1])
    assert base["levels"][0]["figure"] > weak["levels"][0]["figure"]
    harness("gate", base["folder"], "--baseline", base["folder"])
    harness("gate", weak["folder"], "--baseline", base["folder"], code=4)
    assert "loss" in harness("compare", base["folder"], weak["folder"])[0]
    assert "compare OTHER" in harness("gate", base["folder"], code=2)[1]
    assert "pope accuracy" in harness("report", base["folder"])[0]
    harness("bundle", base["folder"], "--out", "base.zip")
    words = ("--method", "seva", "--max-prompts", "12", "--baseline", "base.zip")
    out, _ = harness("run", *few, *words, "--out", "fresh")
    notes = json.loads(out.splitlines()[-1])["notes"]
    assert any("Before taken from base.zip" in note for note in notes)
