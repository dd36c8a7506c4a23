from __future__ import annotations

import pytest
from harness_stic import Options, make_pairs

from harness.records import Pair
from harness.testing import Scripted


@pytest.mark.slow
def test_the_contract_is_kept(harness_check):
    harness_check("stic")


def test_what_is_trained_on_was_asked_neither_time(harness_prompts):
    both = {}
    for seed in range(8):
        model = Scripted("a red square", "a cat")
        (pair,) = make_pairs(harness_prompts, model, Options(), seed)
        assert isinstance(pair, Pair)
        assert (pair.asked, pair.prompt) == ("Describe the image.", harness_prompts[0])
        careful, other = model.seen
        assert careful.prompt == Options().careful
        (how,) = pair.meta["changes"]
        both[how.partition(":")[0]] = other
    assert both["misleading question"].prompt in Options().misleading
    assert both["jitter"].prompt == "Describe the image."


def test_equal_descriptions_are_dropped(harness_prompts):
    (drop,) = make_pairs(harness_prompts, Scripted("same", "same"), Options(), 0)
    assert drop.reason == "equal"
