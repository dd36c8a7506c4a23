"""Shares of the variance, partial pooling and the choice of the cluster, on figures by hand."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from harness.benchmark import mean_of
from harness.compare import by_rows, compare, components, partially_pooled
from tests.support.finished import row
from tests.support.hostile import report


def figure_of(**fields):
    result = report(["plain"] * 6, name="pope").comparison
    return dataclasses.replace(result.benchmarks[0].figures[0], **fields)


def test_the_shares_by_hand():
    """Variance 25: 9 of the seeds, 16 of the images, a quarter of these as if rows were single."""
    found = components(figure_of(error=5.0, seed_error=3.0, design_effect=4.0, seeds=(1, 2, 3)))
    assert (found.rows, found.images, found.judge, found.seeds) == (4 / 25, 12 / 25, None, 9 / 25)
    # The judge's variance of one training is 6, of the mean over three 2: half of the rows' part.
    found = components(
        figure_of(error=5.0, seed_error=3.0, design_effect=4.0, seeds=(1, 2, 3)), 6**0.5
    )
    assert found.judge == pytest.approx(2 / 25)
    assert found.rows == pytest.approx(2 / 25)
    assert found.rows + found.images + found.judge + found.seeds == pytest.approx(1)


@pytest.mark.parametrize("judge", [0.0, 1.0, 4.5, 100.0])
def test_shares_add_up_whatever_the_judge(judge):
    found = components(figure_of(error=5.0, seed_error=None, design_effect=4.0), judge)
    assert min(found.rows, found.images, found.judge) >= 0
    assert found.rows + found.images + found.judge == pytest.approx(1)


def test_no_variance_has_no_shares():
    assert components(figure_of(error=None, design_effect=1.0)) is None
    assert components(figure_of(error=0.0, design_effect=None)) is None


def arms(shift: float):
    """Return 30 images of 20 rows; whole images move, half of them up by more than others down."""
    chance = np.random.default_rng(4)
    moves = np.repeat(np.where(np.arange(30) % 2 == 0, 0.3 + shift, -0.3), 20)
    first = chance.uniform(0.4, 0.6, 600)
    return [
        [row(n, "two", "two", {"score": float(v)}, n // 20) for n, v in enumerate(arm)]
        for arm in (first, np.clip(first + moves, 0, 1))
    ]


def test_a_verdict_that_rows_alone_would_give_is_named():
    one, two = arms(0.1)
    columns = {"b": [mean_of("score", primary=True)]}
    found = compare({"b": one}, {"b": two}, columns, draws=400)
    figure = found.benchmarks[0].figures[0]
    assert figure.p_holm > 0.05
    ((_, _, p),) = by_rows(found)
    changes = 100 * np.array(
        [b.scores["score"] - a.scores["score"] for a, b in zip(one, two, strict=True)]
    )
    from scipy import stats

    assert p == pytest.approx(stats.ttest_1samp(changes, 0).pvalue, rel=1e-6)
    assert components(figure).images > 0.5


def test_pooling_turns_columns_to_better_and_to_percent_of_their_scale():
    one, two = arms(0.1)
    columns = [
        mean_of("score", primary=True),
        mean_of("score", name="wrong", primary=True, higher_is_better=False),
    ]
    found = compare({"b": one}, {"b": two}, {"b": columns}, draws=200, margins={"b": 2.0})
    places, all_of_them = partially_pooled(found)
    assert [figure.column for _, figure in places] == [column.name for column in columns]
    assert all_of_them.mean == pytest.approx(0.0, abs=1e-9)  # the same change, once for each side
    first = found.benchmarks[0].figures[0]
    assert all_of_them.values[0] * first.difference >= 0
    alone = compare({"b": one}, {"b": two}, {"b": columns[:1]}, draws=200)
    assert partially_pooled(alone) is None


def test_the_power_curve_reads_as_words():
    from harness_reports import words

    one, two = arms(0.0)
    columns = {"b": [mean_of("score", primary=True)]}
    found = compare({"b": one}, {"b": two}, columns, draws=200)
    figure = found.benchmarks[0].figures[0]
    assert [effect for effect, _ in figure.power] == [0.5, 1.0, 2.0, 3.0, 5.0, 10.0]
    assert figure.wanted == 2.0
    (told,) = words.sensitivity(found)
    assert f"Power after correction: {100 * figure.power[0][1]:.0f} % at 0.5, " in told
    rows = 20 * figure.images_needed  # twenty rows an image
    assert f"Detecting 2.0 points takes about {figure.images_needed} images ({rows} rows)" in told
