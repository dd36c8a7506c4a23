from __future__ import annotations

import PIL.Image
import pytest
from harness_mdpo import Options, make_pairs

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
    harness_check("mdpo")


def test_the_chosen_answer_is_rejected_under_a_crop(prompts):
    (pair,) = make_pairs(prompts, Script("a blue dog"), Options(keep=0.15), 3)
    assert isinstance(pair, Pair)
    assert (pair.chosen, pair.rejected) == ("a red square", ("a blue dog", "a red square"))
    assert [side.view for side in pair.sides] == [
        None, None, "resized_crop:size=224,scale=0.01..0.15"
    ]  # fmt: skip
    (again,) = make_pairs(prompts, Script("a blue dog"), Options(keep=0.15), 3)
    (other,) = make_pairs(prompts, Script("a blue dog"), Options(keep=0.15), 4)
    assert again == pair != other
