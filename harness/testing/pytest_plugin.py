"""The pytest plugin: the fixture ``harness_check``, for the contract test of a method."""

from __future__ import annotations

from collections.abc import Callable

import pytest


@pytest.fixture
def harness_check() -> Callable[..., None]:
    """Return :func:`harness.testing.assert_method`; call it with the method's name."""
    from harness.testing.check import assert_method

    return assert_method
