from __future__ import annotations

import PIL.Image
import pytest
from harness_simpo import Options, make_pairs

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
    harness_check("simpo")


def test_the_reference_is_preferred_to_the_answer(prompts):
    (pair,) = make_pairs(prompts, Script("a blue dog"), Options(), 0)
    assert isinstance(pair, Pair)
    assert (pair.chosen, pair.rejected, pair.sides) == ("a red square", ("a blue dog",), ())
