from __future__ import annotations

import pytest
from harness_povid import Options, make_pairs

from harness.records import Pair
from harness.testing import Scripted


@pytest.mark.slow
def test_the_contract_is_kept(harness_check):
    harness_check("povid")


def test_the_rejected_answer_is_asked_and_read_under_the_same_noise(harness_prompts):
    model = Scripted("a blue dog")
    (pair,) = make_pairs(harness_prompts, model, Options(noise_step=300), 3)
    assert isinstance(pair, Pair)
    assert (pair.chosen, pair.rejected) == ("a red square", ("a blue dog",))
    clean, noised = pair.sides
    assert (clean.view, noised.view) == (None, "noise:step=300")
    assert (model.seen[0].view.step, model.seen[0].view.seed) == (300, noised.seed)
