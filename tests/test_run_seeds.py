"""Several training seeds: the mean over them and its error; their run folder is in test_run."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from harness.benchmark import f1_of, mean_of
from harness.compare import Unit, compare
from harness.compare.pooled import estimate
from harness.errors import HarnessError
from harness.records import Sample
from harness.stats.inference import error_of

MEAN = mean_of("right", name="accuracy", primary=True)
QUICK = {"seed": 0, "draws": 300, "alpha": 0.05}


def units(before, after, images):
    return [
        Unit(str(i), (i,), int(image), (float(b), 1.0), (float(a), 1.0))
        for i, (b, a, image) in enumerate(zip(before, after, images, strict=True))
    ]


def sample(row, score, image="a", answer="x"):
    return Sample(
        id=str(row),
        content=f"c{row}",
        cluster=image,
        prompt="?",
        target="x",
        answer=answer,
        tokens=1,
        finish="stop",
        scores={"right": score},
    )


def arm(scores, **more):
    return {"bench": [sample(i, s, f"im{i // 2}", **more) for i, s in enumerate(scores)]}


def test_equal_seeds_give_the_estimate_of_one():
    draw = np.random.default_rng(3)
    before, after = draw.integers(0, 2, 60), draw.integers(0, 2, 60)
    one = units(before, after, np.arange(60) // 3)
    alone, _ = estimate(MEAN, [one], **QUICK)
    three, differences = estimate(MEAN, [one, one, one], **QUICK)
    assert three.seed_error == 0.0
    assert differences == pytest.approx((alone.difference,) * 3)
    for name in ("before", "after", "difference", "interval", "error", "p"):
        assert getattr(three, name) == pytest.approx(getattr(alone, name)), name


def test_seeds_that_move_all_rows_alike_are_the_only_error_and_follow_student():
    """Every row gains 1, 2 or 6 points by seed: rows say nothing, three numbers say all.

    Rows differ a little, because rows that are all alike say less than nothing (see the bounds).
    """
    little = np.tile([1e-7, -1e-7], 10)
    trained = [units([0.5] * 20, 0.5 + gain + little, range(20)) for gain in (0.01, 0.02, 0.06)]
    found, differences = estimate(MEAN, trained, **QUICK)
    assert differences == pytest.approx((1.0, 2.0, 6.0))
    assert found.difference == pytest.approx(3.0)
    expected = stats.ttest_1samp([1.0, 2.0, 6.0], 0.0)
    ends = expected.confidence_interval(0.95)
    assert found.seed_error == pytest.approx(np.std([1, 2, 6], ddof=1) / 3**0.5)
    assert found.interval == pytest.approx((ends.low, ends.high), rel=1e-6)
    assert found.p == pytest.approx(expected.pvalue, rel=1e-6)


def test_the_whole_spread_of_seeds_counts():
    assert error_of([1.0, 2.0, 3.0]) == pytest.approx(3**-0.5)  # variance 1 over 3 seeds
    assert error_of([2.0, 2.0]) == 0.0
    assert error_of([5.0]) == 0.0


@pytest.mark.parametrize(("seeds", "apart"), [(3, 0.0), (3, 0.03), (3, 0.1), (5, 0.03)])
def test_the_interval_covers_the_truth_whatever_seeds_do(seeds, apart):
    """Rows that flip by chance, images that share a change, and seeds that share one."""
    covered, runs = 0, 200
    for number in range(runs):
        draw = np.random.default_rng((seeds, int(1000 * apart), number))
        images = np.arange(90) // 3
        before = draw.integers(0, 2, 90)
        shared = draw.normal(0, 0.1, 30)[images]
        trained = [
            units(before, before + shared + draw.normal(0, apart) + draw.normal(0, 0.2, 90), images)
            for _ in range(seeds)
        ]
        found, _ = estimate(MEAN, trained, seed=number, draws=200, alpha=0.05)
        covered += found.interval[0] <= 0.0 <= found.interval[1]
    # binomial: below 0.91 of 200 happens in one of 200 such tests when the truth is 0.95
    assert covered / runs >= 0.91


def test_a_ratio_is_averaged_as_a_ratio():
    """F1 of each seed, then the mean; not the F1 of everything thrown together."""
    column = f1_of("yes", "right", name="f1", primary=True)

    def arm_of(hits):
        rows = [sample(i, None) for i in range(4)]
        return {
            "bench": [
                Sample(
                    **{
                        **{f: getattr(row, f) for f in row.__slots__},
                        "scores": {"yes": float(y), "right": float(r)},
                    }
                )
                for row, (y, r) in zip(rows, hits, strict=True)
            ]
        }

    start = arm_of([(1, 1), (0, 1), (0, 1), (1, 0)])
    first, second = (
        arm_of([(1, 1), (0, 1), (0, 0), (1, 0)]),
        arm_of([(1, 1), (1, 1), (0, 1), (1, 1)]),
    )
    single = [
        compare(start, end, {"bench": (column,)}, draws=50).benchmarks[0].figures[0].after
        for end in (first, second)
    ]
    both = compare(start, first, {"bench": (column,)}, draws=50, more=[(start, second)])
    assert both.benchmarks[0].figures[0].after == pytest.approx(sum(single) / 2)


def test_an_answer_missing_in_one_seed_is_missing():
    start, end = arm([0, 1] * 10), arm([1, 1] * 10)
    hole = {"bench": [sample(0, None, "im0", answer=None), *end["bench"][1:]]}
    result = compare(start, end, {"bench": (MEAN,)}, draws=50, more=[(start, hole)])
    (figure,) = result.benchmarks[0].figures
    assert (figure.samples, figure.missing_after, result.missing) == (19, 1, 1)
    assert len(figure.seeds) == 2


def test_seeds_on_other_rows_are_refused():
    start, end = arm([0, 1] * 10), arm([1, 1] * 10)
    with pytest.raises(HarnessError, match="same rows"):
        compare(
            start,
            end,
            {"bench": (MEAN,)},
            draws=50,
            more=[(arm([0, 1] * 9), arm([1, 1] * 9))],
        )
