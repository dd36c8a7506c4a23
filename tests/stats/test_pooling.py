"""Partial pooling against a published example and against the posterior solved as a matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.stats import partial_pooling

SCHOOLS = (28, 8, -3, 7, -1, 1, 18, 12), (15, 10, 16, 11, 9, 11, 10, 18)


def test_the_eight_schools():
    """Gelman et al., Bayesian Data Analysis, section 5.5: pooled 7.7, standard error 4.1."""
    found = partial_pooling(*SCHOOLS)
    assert (found.mean, found.error) == (pytest.approx(7.7, abs=0.05), pytest.approx(4.1, abs=0.05))
    assert found.spread == 0  # the chi-squared statistic is below its degrees of freedom
    assert set(found.values) == {found.mean}


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(-20, 20), st.floats(0.5, 10)), min_size=2, max_size=8))
def test_given_the_spread_the_posterior_is_the_exact_one(each):
    """Solve the joint normal posterior of all differences and their mean by a matrix."""
    differences, errors = map(np.array, zip(*each, strict=True))
    found = partial_pooling(differences, errors)
    assert min(differences) - 1e-9 <= found.mean <= max(differences) + 1e-9
    if found.spread < 0.05:
        return
    count, between = len(differences), found.spread**2
    precision = np.zeros((count + 1, count + 1))  # of the differences, then the mean
    precision[range(count), range(count)] = 1 / errors**2 + 1 / between
    precision[count, :count] = precision[:count, count] = -1 / between
    precision[count, count] = count / between
    covariance = np.linalg.inv(precision)
    means = covariance @ np.append(differences / errors**2, 0)
    np.testing.assert_allclose([*found.values, found.mean], means, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        [*found.errors, found.error], np.sqrt(np.diag(covariance)), rtol=1e-5, atol=1e-5
    )


def test_one_difference_has_nothing_to_be_pooled_with():
    assert partial_pooling([1.0], [1.0]) is None
    assert partial_pooling([], []) is None
