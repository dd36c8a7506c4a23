from __future__ import annotations

import pytest
from harness_simpo import Options, make_pairs

from harness.records import Pair
from harness.testing import Scripted


@pytest.mark.slow
def test_the_contract_is_kept(harness_check):
    harness_check("simpo")


def test_the_reference_is_preferred_to_the_answer(harness_prompts):
    (pair,) = make_pairs(harness_prompts, Scripted("a blue dog"), Options(), 0)
    assert isinstance(pair, Pair)
    assert (pair.chosen, pair.rejected, pair.sides) == ("a red square", ("a blue dog",), ())
