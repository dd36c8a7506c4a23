"""Levels of planned looks against Jennison and Turnbull's tables and against simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from harness.stats import SPENDING, look_levels

POCOCK = {2: 2.178, 3: 2.289, 4: 2.361, 5: 2.413, 10: 2.555, 20: 2.672}
OBRIEN_FLEMING = {2: 1.977, 3: 2.004, 4: 2.024, 5: 2.040, 10: 2.087, 20: 2.126}
"""Jennison and Turnbull 2000, tables 2.1 and 2.3: two-sided 5 %."""


@pytest.mark.parametrize("looks", sorted(POCOCK))
def test_the_published_constants(looks):
    pocock = look_levels(looks, 0.05, "pocock")
    assert [norm.isf(level / 2) for level in pocock] == pytest.approx(
        [POCOCK[looks]] * looks, abs=6e-4
    )
    bounds = [norm.isf(level / 2) for level in look_levels(looks, 0.05, "obrien-fleming")]
    constant = OBRIEN_FLEMING[looks]
    assert bounds == pytest.approx(
        [constant * (looks / k) ** 0.5 for k in range(1, looks + 1)], rel=3e-4
    )


@pytest.mark.parametrize("spending", SPENDING)
def test_five_looks_at_growing_data_keep_the_level(spending):
    random = np.random.default_rng(5)
    steps = random.normal(size=(200_000, 5)).cumsum(axis=1) / np.arange(1, 6) ** 0.5
    bounds = [norm.isf(level / 2) for level in look_levels(5, 0.05, spending)]
    share = float((np.abs(steps) >= bounds).any(axis=1).mean())
    assert share <= 0.0515
    if spending != "even":
        assert share >= 0.0485


def test_only_the_even_plan_keeps_the_level_of_independent_looks():
    """Twenty models, each on rows of its own."""
    even, pocock = (look_levels(20, 0.05, spending)[0] for spending in ("even", "pocock"))
    assert 1 - (1 - even) ** 20 <= 0.05
    assert 1 - (1 - pocock) ** 20 > 0.05


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.floats(0.001, 0.3), st.sampled_from(SPENDING))
def test_levels_are_levels(looks, alpha, spending):
    levels = look_levels(looks, alpha, spending)
    assert len(levels) == looks
    assert all(0 <= level <= alpha * (1 + 1e-9) for level in levels)
    assert list(levels) == sorted(levels)  # no plan spends more at first
    assert sum(levels) >= alpha * (1 - 1e-6)
