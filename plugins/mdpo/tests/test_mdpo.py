from __future__ import annotations

from dataclasses import replace

import pytest
from harness_mdpo import Options, make_pairs, with_crop

from harness.dpo.pair import check
from harness.errors import HarnessError
from harness.records import Pair
from harness.testing import Scripted


@pytest.mark.slow
def test_the_contract_is_kept(harness_check):
    harness_check("mdpo")


def test_the_chosen_answer_is_rejected_under_a_crop(harness_prompts):
    (pair,) = make_pairs(harness_prompts, Scripted("a blue dog"), Options(keep=0.15), 3)
    assert isinstance(pair, Pair)
    assert (pair.chosen, pair.rejected) == ("a red square", ("a blue dog", "a red square"))
    assert [side.view for side in pair.sides] == [
        None, None, "resized_crop:size=224,scale=0.01..0.15"
    ]  # fmt: skip
    (again,) = make_pairs(harness_prompts, Scripted("a blue dog"), Options(keep=0.15), 3)
    (other,) = make_pairs(harness_prompts, Scripted("a blue dog"), Options(keep=0.15), 4)
    assert again == pair != other


def test_scores_of_texts_are_scores_under_the_crop_too(harness_prompts):
    """VLFeedback, which the paper trains on, has them: of two answers, where a pair has three."""
    rated = Pair(harness_prompts[0], "a dog", ("a cat",), {"scores": [4.0, 2.0]})
    assert check(with_crop(rated, Options(), 0)).meta["scores"] == [4.0, 2.0, 4.0]
    with pytest.raises(HarnessError, match="3 numbers"):
        check(with_crop(replace(rated, meta={"scores": [4.0]}), Options(), 0))
