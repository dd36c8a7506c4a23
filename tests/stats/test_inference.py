"""The mathematics against scipy, hand-computed values, and properties that must hold exactly."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from itertools import pairwise, product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from harness import stats
from harness.benchmark import f1_of, mean_of
from harness.stats import canonical, jackknife_error, sums_of
from harness.stats.resampling import Clusters, swaps

MEAN = mean_of("score").value
F1 = f1_of("said", "label").value


def ones(scores):
    scores = np.asarray(scores, dtype=float)
    return np.c_[scores, np.ones(len(scores))]


def some_rows(seed, rows=240, graded=False):
    random = np.random.default_rng(seed)
    before = random.random(rows) if graded else random.integers(0, 2, rows).astype(float)
    changed = random.random(rows) < 0.3
    after = np.where(changed, random.random(rows) if graded else 1 - before, before)
    return ones(before), ones(after)


def pooled(before, after, clusters):
    return canonical(sums_of(before, clusters), sums_of(after, clusters))[0]


@pytest.mark.parametrize(("fixed", "broken"), [(0, 0), (1, 0), (5, 0), (3, 3), (12, 5), (40, 61)])
def test_mcnemar_is_the_binomial_test(fixed, broken):
    mid, exact = stats.mcnemar(fixed, broken)
    flips = fixed + broken
    expected = scipy_stats.binomtest(fixed, flips, 0.5).pvalue if flips else 1.0
    assert exact == pytest.approx(expected)
    if fixed != broken:
        assert mid == pytest.approx(expected - scipy_stats.binom.pmf(fixed, flips, 0.5))
    assert mid <= exact


def test_swapping_single_rows_is_mcnemar():
    before, after = ones([0] * 9 + [1] * 3 + [1] * 40), ones([1] * 9 + [0] * 3 + [1] * 40)
    clusters = pooled(before, after, np.arange(52))
    random = np.random.default_rng(0)
    found = stats.swap_test(clusters, MEAN, 10_000, random)
    assert found == pytest.approx(stats.mcnemar(9, 3))


def test_every_way_to_swap_is_tried_when_there_are_few():
    before, after = some_rows(1, rows=18)
    numbers = np.arange(18) // 3
    differences, complete = swaps(pooled(before, after, numbers), MEAN, 10_000, None)
    change = sums_of(after - before, numbers)[:, 0]
    change = change[change != 0]
    by_hand = [100 * np.dot(signs, change) / 18 for signs in product((-1, 1), repeat=len(change))]
    assert complete
    # A cluster whose changes cancel has no change in sum and is not swapped.
    assert np.sort(differences) == pytest.approx(np.sort(by_hand))


def test_sampled_swaps_agree_with_scipy():
    before, after = some_rows(2, rows=60, graded=True)
    found = stats.estimate(before, after, np.arange(60), MEAN, draws=20_000)
    change = after[:, 0] - before[:, 0]
    theirs = scipy_stats.permutation_test(
        (change,),
        np.mean,
        permutation_type="samples",
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    )
    assert found.p_exact == pytest.approx(theirs.pvalue, abs=0.015)


def test_jackknife_error_of_single_rows_is_the_standard_error_of_the_mean():
    before, after = some_rows(3, graded=True)
    found = stats.estimate(before, after, np.arange(len(before)), MEAN, draws=200)
    change = 100 * (after[:, 0] - before[:, 0])
    assert found.error == pytest.approx(scipy_stats.sem(change))
    assert found.effect == pytest.approx(change.mean() / change.std(ddof=1))
    assert found.design_effect == pytest.approx(1.0)


def test_interval_is_at_least_that_of_the_paired_t_test():
    before, after = some_rows(4, graded=True)
    found = stats.estimate(before, after, np.arange(len(before)), MEAN)
    theirs = scipy_stats.ttest_rel(100 * after[:, 0], 100 * before[:, 0]).confidence_interval()
    assert found.interval[0] <= theirs.low + 1e-9
    assert found.interval[1] >= theirs.high - 1e-9
    width = theirs.high - theirs.low
    assert found.interval[1] - found.interval[0] == pytest.approx(width, rel=0.05)


def test_bootstrap_agrees_with_scipy_on_a_ratio_of_sums():
    random = np.random.default_rng(5)
    before = np.c_[random.poisson(2, 60), random.poisson(6, 60) + 1].astype(float)
    after = np.c_[random.poisson(3, 60), before[:, 1]]
    clusters = pooled(before, after, np.arange(60))
    drawn = stats.bootstrap(clusters, MEAN, 20_000, np.random.default_rng(0))
    theirs = scipy_stats.bootstrap(
        (before[:, 0], before[:, 1], after[:, 0], after[:, 1]),
        lambda a, b, c, d, axis: 100 * (c.sum(axis) / d.sum(axis) - a.sum(axis) / b.sum(axis)),
        paired=True,
        vectorized=True,
        n_resamples=20_000,
        rng=np.random.default_rng(1),
    )
    assert np.std(drawn, ddof=1) == pytest.approx(theirs.standard_error, rel=0.03)


@pytest.mark.parametrize("few", [True, False])
def test_drawing_equal_clusters_together_changes_no_distribution(few):
    before, after = some_rows(6, rows=400 if few else 30)
    together = pooled(before, after, np.arange(len(before)))
    apart = Clusters(before, after, np.ones(len(before), dtype=int))
    one = stats.bootstrap(together, MEAN, 20_000, np.random.default_rng(0))
    two = stats.bootstrap(apart, MEAN, 20_000, np.random.default_rng(1))
    assert one.mean() == pytest.approx(two.mean(), abs=5 * two.std() / 20_000**0.5 + 1e-9)
    assert one.std() == pytest.approx(two.std(), rel=0.03)


def test_clustered_error_by_hand():
    # Two rows per image; image changes are +2, 0, -1, +1 over eight rows.
    before, after = ones([0, 0, 1, 1, 1, 1, 0, 1]), ones([1, 1, 1, 1, 0, 1, 1, 1])
    clusters = pooled(before, after, np.arange(8) // 2)
    left = [100 * total / 6 for total in (0, 2, 3, 1)]
    expected = (3 / 4 * sum((value - np.mean(left)) ** 2 for value in left)) ** 0.5
    assert jackknife_error(clusters, MEAN) == pytest.approx(expected)


def test_f1_by_hand():
    # tp 3, fp 1, fn 2: 6 / 9.
    assert F1(np.array([3.0, 1.0, 2.0])) == pytest.approx(200 / 3)
    assert np.isnan(F1(np.array([0.0, 0.0, 0.0])))


def test_holm_and_benjamini_hochberg_by_hand_and_by_scipy():
    values = [0.01, 0.04, 0.03, 0.005]
    assert stats.holm(values) == pytest.approx((0.03, 0.06, 0.06, 0.02))
    theirs = scipy_stats.false_discovery_control(values, method="bh")
    assert stats.benjamini_hochberg(values) == pytest.approx(tuple(theirs))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20))
def test_corrections_keep_their_order_and_bounds(values):
    strict, mild = stats.holm(values), stats.benjamini_hochberg(values)
    for plain, holm, hochberg in zip(values, strict, mild, strict=True):
        assert plain <= hochberg + 1e-12
        assert hochberg <= holm + 1e-12 <= 1 + 1e-9
    assert mild == pytest.approx(tuple(scipy_stats.false_discovery_control(values, method="bh")))
    assert strict == pytest.approx(_holm_by_closure(values))


def _holm_by_closure(values):
    """Return Holm by its definition: step down, running maximum."""
    pairs = sorted((value, index) for index, value in enumerate(values))
    steps = [(len(values) - rank) * value for rank, (value, _) in enumerate(pairs)]
    running = np.minimum(1, np.maximum.accumulate(steps))
    corrected = dict(zip((index for _, index in pairs), running, strict=True))
    return tuple(corrected[index] for index in range(len(values)))


def test_the_interval_and_p_are_one_inversion():
    before, after = some_rows(9, rows=300, graded=True)
    known = stats.estimate(before, after, np.arange(300), MEAN, draws=2_000).confidence
    level = known.p()
    low, high = known.interval(level)
    assert min(abs(low), abs(high)) == pytest.approx(0.0, abs=1e-6)
    worse = known.p_worse(3.0, higher_is_better=True)
    assert known.bounds(2 * worse)[0] == pytest.approx(-3.0, abs=1e-6)
    ends = [known.interval(alpha) for alpha in (0.2, 0.05, 0.01, 0.001)]
    assert all(wide[0] < tight[0] and wide[1] > tight[1] for tight, wide in pairwise(ends))


def test_one_image_more_of_the_worst_value_by_hand():
    """Forty images, none changed: the 41st lost everything, and t has 39 degrees of freedom."""
    scores = ones(np.ones(40))
    found = stats.estimate(scores, scores, np.arange(40), MEAN)
    moved = np.r_[np.zeros(40), -100.0]
    low = moved.mean() - scipy_stats.t.ppf(0.975, 39) * scipy_stats.sem(moved)
    assert found.interval == found.bounds == pytest.approx((low, -low))
    assert found.p == 1.0
    p = scipy_stats.t.sf((moved.mean() + 10) / scipy_stats.sem(moved), 39)
    assert found.confidence.p_worse(10.0, higher_is_better=True) == pytest.approx(p, rel=1e-6)


@pytest.mark.parametrize("rows", [1, 3])
def test_nothing_observed_is_certain(rows):
    """All fixed, none flipped, three images or three hundred: no interval without width."""
    for count in (3, 300):
        images = np.arange(count * rows) // rows
        zero, one = ones(np.zeros(count * rows)), ones(np.ones(count * rows))
        for before, after in ((zero, one), (one, one), (zero, zero)):
            low, high = stats.estimate(before, after, images, MEAN, draws=200).interval
            assert low < after[0, 0] * 100 - before[0, 0] * 100 - 0.5
            assert high >= after[0, 0] * 100 - before[0, 0] * 100


def test_seeds_enter_at_every_level_and_are_not_pretested_away():
    """Three seeds: at 5 % and at 0.36 % the reaches of images and seeds add up by hand."""
    before, after = some_rows(11, rows=200, graded=True)
    seeds = (-2.0, 1.0, 4.0)
    found = stats.estimate(before, after, np.arange(200), MEAN, draws=200, seeds=seeds)
    alone = stats.estimate(before, after, np.arange(200), MEAN, draws=200)
    assert found.seed_error == pytest.approx(3 / 3**0.5)
    for alpha in (0.05, 0.05 / 14):
        one = alone.confidence.reach(alpha / 2)[0]
        both = np.hypot(one, scipy_stats.t.ppf(1 - alpha / 2, 2) * found.seed_error)
        assert found.confidence.reach(alpha / 2)[0] == pytest.approx(both)
    assert found.interval[1] - found.interval[0] > alone.interval[1] - alone.interval[0]


def test_the_detectable_difference_is_told_four_times_in_five():
    """A tenth of 400 rows moves, in either direction: McNemar's test under a planted effect.

    Half-way between as many flips as a shifted logit makes and losses on top of the others.
    """
    moves = stats.Moves((0.0, 100.0), (0.9, 0.1))
    found = stats.detectable(moves, stats.Design(400, 100.0))
    random, told = np.random.default_rng(0), 0
    effect = found / 100
    moving = (np.hypot(0.1, effect) + 0.1 + effect) / 2
    for _ in range(2_000):
        ups = random.binomial(400, (moving + effect) / 2)
        downs = random.binomial(400 - ups, (moving - effect) / 2 / (1 - (moving + effect) / 2))
        told += stats.mcnemar(ups, downs)[0] <= 0.05
    assert told / 2_000 == pytest.approx(0.8, abs=0.05)


def test_where_nothing_can_be_told_there_is_no_number():
    moves = stats.Moves((0.0, 100.0), (0.9, 0.1))
    assert stats.detectable(moves, stats.Design(4, 100.0), alpha=0.05 / 14) is None
    assert stats.detectable(moves, stats.Design(1, 100.0)) is None
    assert stats.images_for(2.0, moves, stats.Design(40, 100.0, 3, 5.0)) is None
    assert stats.seeds_for(2.0, moves, stats.Design(9000, 100.0, 1, 1.0)) in range(4, 9)


@settings(max_examples=25, deadline=None)
@given(st.integers(12, 2000), st.floats(0.02, 0.6), st.integers(1, 14))
def test_power_detectable_difference_and_images_agree(images, share, family):
    """One simulation is read in three ways; each has its Monte-Carlo error."""
    moves, alpha = stats.Moves((0.0, 100.0), (1 - share, share)), 0.05 / family
    design = stats.Design(images, 100.0)
    least = stats.detectable(moves, design, alpha=alpha)
    if least is None:
        assert stats.power_at(moves, design, 99.9, alpha=alpha) < 0.8
        return
    assert stats.power_at(moves, design, least, alpha=alpha) == pytest.approx(0.8, abs=0.1)
    enough = stats.images_for(least, moves, design, alpha=alpha)
    assert images / 1.5 <= enough <= 1.5 * images + 2
    for effect, other in ((least, replace(design, images=1)), (0.0, design), (101.0, design)):
        assert stats.power_at(moves, other, effect, alpha=alpha) == 0


@st.composite
def tables(draw):
    rows = draw(st.integers(4, 40))
    scores = st.lists(st.sampled_from([0.0, 0.3, 1.0]), min_size=rows, max_size=rows)
    images = draw(st.lists(st.integers(0, 5), min_size=rows, max_size=rows))
    numbers = np.unique(images, return_inverse=True)[1]
    return ones(draw(scores)), ones(draw(scores)), numbers


@settings(max_examples=40, deadline=None)
@given(tables())
def test_exchanging_the_arms_exactly_negates(table):
    before, after, clusters = table
    one = stats.estimate(before, after, clusters, MEAN, draws=300)
    two = stats.estimate(after, before, clusters, MEAN, draws=300)
    assert two.difference == -one.difference
    assert (two.p, two.p_exact, two.error) == (one.p, one.p_exact, one.error)
    if one.interval is not None:
        assert two.interval == (-one.interval[1], -one.interval[0])


@settings(max_examples=40, deadline=None)
@given(tables(), st.randoms(use_true_random=False))
def test_order_of_rows_and_names_of_clusters_do_not_matter(table, random):
    before, after, clusters = table
    order = list(range(len(before)))
    random.shuffle(order)
    names = list(range(clusters.max() + 1))
    random.shuffle(names)
    one = stats.estimate(before, after, clusters, MEAN, draws=300)
    two = stats.estimate(
        before[order], after[order], np.array(names)[clusters][order], MEAN, draws=300
    )
    assert two.p == one.p
    assert two.difference == pytest.approx(one.difference, abs=1e-9)
    if one.interval is not None:
        assert two.interval == pytest.approx(one.interval, abs=1e-9)


@settings(max_examples=30, deadline=None)
@given(tables())
def test_equal_counters_are_no_difference_and_no_certainty(table):
    before, _, clusters = table
    found = stats.estimate(before, before.copy(), clusters, MEAN, draws=300)
    assert found.identical
    assert (found.difference, found.p) == (0.0, 1.0)
    if found.interval is not None:
        assert found.interval[0] == -found.interval[1] < 0


def test_doubling_every_image_shrinks_the_error_and_copying_rows_within_one_does_not():
    before, after = some_rows(7, rows=200)
    clusters = np.arange(200) // 5
    one = stats.estimate(before, after, clusters, MEAN, draws=500)
    rows = np.tile(np.arange(200), 2)
    within = stats.estimate(before[rows], after[rows], clusters[rows], MEAN, draws=500)
    more = np.r_[clusters, clusters + 40]
    doubled = stats.estimate(before[rows], after[rows], more, MEAN, draws=500)
    assert within.error == pytest.approx(one.error)
    assert doubled.error == pytest.approx(one.error / 2**0.5, rel=0.02)


def test_what_cannot_be_known_is_none():
    before, after = some_rows(8, rows=6)
    alone = stats.estimate(before, after, np.zeros(6, dtype=int), MEAN)
    assert (alone.interval, alone.p) == (None, None)
    empty = stats.estimate(before[:0], after[:0], np.zeros(0, dtype=int), MEAN)
    assert (empty.before, empty.difference, empty.p) == (None, None, None)
    nothing = np.zeros((6, 3))
    undefined = stats.estimate(nothing, nothing + np.eye(3)[1], np.arange(6), F1)
    assert (undefined.before, undefined.difference) == (None, None)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([0.0, 1.0, 0.5, np.nan, np.inf, -np.inf]),
            st.sampled_from([0.0, 1.0, 0.5, np.nan, np.inf]),
            st.integers(0, 3),
        ),
        max_size=12,
    )
)
def test_bad_columns_give_no_number(rows):
    """NaN, infinity, constants, nothing at all, one image, one row."""
    before, after = (np.array([row[arm] for row in rows]).reshape(-1) for arm in (0, 1))
    images = np.unique([row[2] for row in rows], return_inverse=True)[1].ravel()
    if not rows:
        before, after, images = np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0, dtype=int)
    else:
        before, after = ones(before), ones(after)
    found = stats.estimate(before, after, images, MEAN, plain_mean=True, draws=50)
    whole = len(rows) > 0 and bool(np.isfinite(before).all() and np.isfinite(after).all())
    assert (found.difference is not None) == whole
    if not whole or found.clusters < 2:
        assert (found.interval, found.bounds, found.error, found.confidence) == (None,) * 4
        assert found.p is None or found.identical
    if whole and found.interval is not None:
        assert all(np.isfinite([*found.interval, *found.bounds, found.error, found.p]))
        assert found.bounds[0] < found.bounds[1]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"alpha": 0.0}, "alpha is 0.0"),
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"alpha": float("nan")}, "alpha is nan"),
        ({"draws": 0}, "draws is 0"),
        ({"after": ones([1, 0])}, "3 rows before and 2 after"),
        ({"clusters": np.zeros(2, dtype=int)}, "3 rows before and 3 after, but 2 cluster numbers"),
    ],
)
def test_what_cannot_be_computed_is_a_sentence(change, said):
    arms = {"before": ones([1, 0, 1]), "after": ones([1, 1, 1]), "clusters": np.arange(3)}
    with pytest.raises(ValueError, match=said):
        stats.estimate(**{**arms, "value": MEAN, "draws": 50, **change})


def test_changes_that_cancel_within_an_image_are_no_certainty():
    before, after = ones([0, 1, 1, 1, 0, 0]), ones([1, 0, 1, 1, 0, 0])
    found = stats.estimate(before, after, np.arange(6) // 2, MEAN)
    assert found.difference == 0.0
    assert found.error > 0
    assert found.interval[0] < 0 < found.interval[1]


def calibration():
    path = Path(__file__).parents[2] / "perf" / "calibration.py"
    spec = importlib.util.spec_from_file_location("calibration", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules["calibration"] = module
    spec.loader.exec_module(module)
    return module


def test_false_alarms_and_coverage_of_three_shapes():
    module = calibration()
    for shape in (1, 6, 8):  # accuracy and F1 on 40 images, graded on 120
        found = [module.one(shape, run, 0.0, 200) for run in range(200)]
        # 200 runs at 5 % have a standard error of 1.5 %: a coarse net for gross mistakes.
        assert 0.005 <= sum(one.alarm for one in found) / 200 <= 0.1
        assert sum(one.covered for one in found) / 200 >= 0.91


@pytest.mark.slow
def test_the_whole_suite_is_calibrated():
    result = calibration().calibrate(runs=600, draws=600)
    assert result.family <= 0.05 + 2 * (0.05 * 0.95 / 600) ** 0.5
    for row in result.rows:
        assert 0.02 <= row.alarms <= 0.08, row
        assert 0.92 <= row.coverage <= 0.985, row
        assert 0.92 <= row.planted_coverage <= 0.985, row
        assert abs(row.found - row.stated) <= 0.08, row
