from __future__ import annotations

import pytest
from harness_rlhfv import Options, make_pairs

from harness.records import Pair
from harness.testing import Scripted


@pytest.mark.slow
def test_the_contract_is_kept(harness_check):
    harness_check("rlhfv")


def test_the_words_that_were_corrected_weigh_more(harness_prompts):
    (pair,) = make_pairs(harness_prompts, Scripted("a blue square"), Options(gamma=3), 0)
    assert isinstance(pair, Pair)
    assert [side.weights for side in pair.sides] == [((2, 5, 3),), ((2, 6, 3),)]
