from __future__ import annotations

import PIL.Image
import pytest
from harness_rlhfv import Options, make_pairs

from harness.records import Answer, Pair, Prompt


class Script:
    """Says what it was told to say."""

    def __init__(self, *texts):
        self.texts, self.seen = list(texts), []

    def answer(self, requests):
        for request in requests:
            self.seen.append(request)
            yield Answer(self.texts.pop(0))


@pytest.fixture
def prompts(tmp_path):
    PIL.Image.new("RGB", (32, 32), "red").save(tmp_path / "a.png")
    return [Prompt("p0", tmp_path / "a.png", "What is shown?", "a red square")]


@pytest.mark.slow
def test_the_contract_is_kept(harness_check):
    harness_check("rlhfv")


def test_the_words_that_were_corrected_weigh_more(prompts):
    (pair,) = make_pairs(prompts, Script("a blue square"), Options(gamma=3), 0)
    assert isinstance(pair, Pair)
    assert [side.weights for side in pair.sides] == [((2, 5, 3),), ((2, 6, 3),)]
