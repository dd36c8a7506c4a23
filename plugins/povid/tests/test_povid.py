from __future__ import annotations

import PIL.Image
import pytest
from harness_povid import Options, make_pairs

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
    harness_check("povid")


def test_the_rejected_answer_is_asked_and_read_under_the_same_noise(prompts):
    model = Script("a blue dog")
    (pair,) = make_pairs(prompts, model, Options(noise_step=300), 3)
    assert isinstance(pair, Pair)
    assert (pair.chosen, pair.rejected) == ("a red square", ("a blue dog",))
    clean, noised = pair.sides
    assert (clean.view, noised.view) == (None, "noise:step=300")
    assert (model.seen[0].view.step, model.seen[0].view.seed) == (300, noised.seed)
