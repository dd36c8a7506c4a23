"""What a plan promises is what simulations and the data itself give."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from harness_tinyworld import DATA

from harness.analysis import estimate, throughputs_of
from harness.analysis.power import size_of
from harness.benchmark import benchmark, expand, mean_of
from harness.cli.plan_text import power_text
from harness.compare import compare
from harness.runs import bundle, open_run
from harness.stats import Design, images_for, power_at
from harness.stats.power import moves_of
from harness.storage import Throughput, note_throughput, read_throughputs
from tests.support.command import harness
from tests.support.finished import mmvet, pope, row, write_run

NAMES = ("pope", "mmvet", "scienceqa", "mmbench", "seedbench", "gqa", "amber", "shr", "pope_random")


@pytest.mark.parametrize("name", NAMES)
def test_rows_are_counted_as_lmms_eval_loads_them(name):
    from harness.benchmark import Task

    found = size_of(benchmark(name), DATA)
    task = Task(benchmark(name).task, DATA)
    assert found.rows is not None
    assert found.rows >= len(task)
    if found.rows == len(task):
        images = {row.image for row in task.rows()}
        # Gone by bytes: the same picture stored twice in two ways would count as two.
        assert found.images is None or found.images >= len(images) - 1
        assert found.images is None or found.images <= 1.1 * len(images) + 1


def test_the_hub_and_a_limit():
    assert size_of(benchmark("pope"), "hub").rows == 9000
    assert size_of(benchmark("pope"), "hub").images is None
    few = size_of(benchmark("pope"), DATA, limit=36)
    assert (few.rows, few.images) == (36, 6)  # six questions on each image at first
    assert size_of(benchmark("pope"), DATA, limit=10**6).rows == 2880


def test_the_assumed_figure_is_the_textbook_one():
    """McNemar's test: (z.975 + z.8) sqrt(d / n), here with d = 0.1 and 9000 rows."""
    (reach,) = estimate([benchmark("pope")], "hub").detectable
    assert reach.source == "assumed"
    assert reach.mdd == pytest.approx(100 * (1.959964 + 0.841621) * np.sqrt(0.1 / 9000), rel=0.05)
    assert reach.mdd_corrected == reach.mdd  # a family of one
    assert reach.mdd_conservative is None  # how many images the hub has is not known here
    two = estimate([benchmark("pope"), benchmark("mmvet")], "hub").detectable[0]
    assert two.mdd_corrected == pytest.approx(
        100 * (2.241403 + 0.841621) * np.sqrt(0.1 / 9000), rel=0.05
    )
    # (2.8 / 0.02)^2 x 0.1 rows tell two points.
    assert reach.rows_needed == pytest.approx((2.801586 / 0.02) ** 2 * 0.1, rel=0.2)


@pytest.mark.parametrize("where", [DATA, "hub"])
def test_every_column_of_both_suites_has_an_answer(where):
    names = expand(["sima14", "seva9"])
    found = estimate([benchmark(name) for name in names], where)
    assert {reach.benchmark for reach in found.detectable} == set(names)
    sizes = {cost.benchmark: cost.rows for cost in found.costs}
    for reach in found.detectable:
        assert reach.rows_needed or reach.images_needed  # two points need no size to be counted
        assert bool(reach.power) == (sizes[reach.benchmark] is not None)
        chances = [chance for _, chance in reach.power]
        assert all(later >= chance - 0.02 for chance, later in pairwise(chances))  # simulated
        if reach.mdd_corrected is not None:
            below, above = (
                [chance for effect, chance in reach.power if (effect > reach.mdd_corrected) == far]
                for far in (False, True)
            )
            assert max(below, default=0) <= 0.85
            assert min(above, default=1) >= 0.75
    rough = {reach.benchmark for reach in found.detectable if reach.source == "rough"}
    assert {"mme", "mmbench"} <= rough
    assert "scienceqa" not in rough


def test_where_nothing_could_ever_be_told_the_plan_says_so(monkeypatch):
    """Eighteen headline columns on eight images: no p value can be small enough."""
    monkeypatch.setenv("COLUMNS", "200")
    names = expand(["sima14", "seva9"])
    found = estimate([benchmark(name) for name in names], DATA, limit=6)
    reach = next(each for each in found.detectable if each.column == "CHAIR_i")
    assert (reach.mdd_corrected, reach.source) == (None, "rough")
    line = next(line for line in power_text(found).splitlines() if "CHAIR_i" in line)
    assert "none" in line.split()
    assert "no difference of any size is detectable" in power_text(found)


@pytest.mark.slow
def test_a_difference_of_the_promised_size_is_told_four_times_in_five(tmp_path):
    """Plan 400 rows from a run on 150; then simulate runs with just that true difference."""

    def arms(count: int, gain: float, seed: int):
        chance = random.Random(seed)
        before, after = [], []
        for n in range(count):
            first = chance.random() < 0.5
            # Sides are changed by a fifth of the rows, by more towards right where there is gain.
            up = chance.random() < (0.2 + 2 * gain)
            down = chance.random() < 0.2
            second = (True if up else first) if not first else (False if down else first)
            for arm, value in ((before, first), (after, second)):
                arm.append(row(n, "two", "two", {"score": float(value)}, n))
        return tuple(before), tuple(after)

    one, two = arms(150, 0.0, 999)
    run = write_run(tmp_path / "run", {"mmvet": one}, {"mmvet": two})
    (reach,) = estimate([benchmark("mmvet")], "hub", run=open_run(run), limit=200).detectable
    assert reach.source == "run"
    assert reach.mdd is not None
    found = 0
    for seed in range(250):
        before, after = arms(200, reach.mdd / 100, seed)
        result = compare(
            {"x": before}, {"x": after}, {"x": [mean_of("score")]}, draws=200, seed=seed
        )
        found += result.benchmarks[0].figures[0].p <= 0.05
    # Planned from 150 rows, the spread is known to about a tenth; hence the width.
    assert 0.66 < found / 250 < 0.92


def test_the_power_against_a_large_difference_is_not_zero():
    """Eighteen questions an image: no image moves by 100 points, and 10 can still be detected."""
    draw = np.random.default_rng(3)
    moves = moves_of(*np.unique(draw.normal(0, 6, 100).round(1), return_counts=True), 100.0)
    design = Design(images=100, span=100.0)
    powers = [power_at(moves, design, effect) for effect in (1.0, 3.0, 10.0, 60.0)]
    assert powers == sorted(powers)
    assert powers[-1] > 0.99
    assert images_for(10.0, moves, design) < 100


def test_a_run_replaces_assumptions_and_its_pace_gives_the_time(tmp_path):
    run = write_run(
        tmp_path / "run",
        {"pope": pope(right=0.6), "mmvet": mmvet()},
        {"pope": pope(right=0.7, seed=3), "mmvet": mmvet(right=0.6, seed=4)},
    )
    note_throughput(run, Throughput("before", "pope", 50, 99.0))
    note_throughput(
        run, Throughput("before", "pope", 90, 10.0)
    )  # a later call counts, the first is gone
    note_throughput(run, Throughput("after", "pope", 90, 20.0))
    assert len(read_throughputs(run)) == 2
    assert throughputs_of(run) == {"pope": 6.0}
    opened = open_run(run)
    found = estimate(
        [benchmark("pope"), benchmark("mmvet")],
        DATA,
        run=opened,
        throughputs=throughputs_of(run),
        name="run",
        judgings=3,
    )
    first, second = found.costs
    assert first.seconds == pytest.approx(2 * 2880 / 6)
    assert (first.judged, first.questions) == (False, None)
    assert second.seconds is None
    assert found.seconds is None
    assert "run recorded no throughput of mmvet: it asked no model about it." in power_text(found)
    assert (second.judged, second.questions) == (True, 2 * 3 * 690)
    letters = [len(r.prompt) + len(r.target) + len(r.answer) for r in opened.after["mmvet"]]
    assert second.tokens == round(4140 * sum(letters) / len(letters) / 4)
    figure = opened.report.comparison.benchmarks[0].figures[0]
    assert found.detectable[0].source == "run"
    same = estimate([benchmark("pope")], DATA, run=opened, limit=90).detectable[0]
    # Ninety rows of the miniature show fifteen images, as many as the run.
    assert same.mdd == pytest.approx(figure.detectable, rel=0.05)
    more = estimate([benchmark("pope")], DATA, run=opened, limit=None).detectable[0]
    ratio = (1.975 + 0.844) / (2.145 + 0.868)  # of t quantiles, 160 and 15 images
    assert more.mdd == pytest.approx(figure.detectable * np.sqrt(15 / 160) * ratio, rel=0.15)
    assert "needs --from" not in power_text(found)


def test_the_command_spends_nothing(tmp_path):
    run = write_run(tmp_path / "run", {"pope": pope()}, {"pope": pope(right=0.8, seed=5)})
    note_throughput(run, Throughput("before", "pope", 90, 9.0))
    packed = bundle(run, tmp_path / "run.zip").path
    code = (
        "import sys; from harness.cli import app\n"
        f"app(['plan', '--bench', 'pope', '--from', {str(packed)!r}], standalone_mode=False)\n"
        "print(sorted({'torch', 'lmms_eval', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert "Together at most 10 min at the throughput of run.zip" in done.stdout  # 5760 answers
    done = harness("plan", "--bench", "pope,mmvet", "--data", "hub", "--json", cwd=tmp_path)
    found = json.loads(done.stdout)
    assert [cost["rows"] for cost in found["costs"]] == [9000, 218]
    assert found["seconds"] is None
    assert not (Path(tmp_path) / "runs").exists()
