from __future__ import annotations

import PIL.Image
import pytest
from harness_stic import Options, make_pairs

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
    harness_check("stic")


def test_what_is_trained_on_was_asked_neither_time(prompts):
    both = {}
    for seed in range(8):
        model = Script("a red square", "a cat")
        (pair,) = make_pairs(prompts, model, Options(), seed)
        assert isinstance(pair, Pair)
        assert (pair.asked, pair.prompt) == ("Describe the image.", prompts[0])
        careful, other = model.seen
        assert careful.prompt == Options().careful
        (how,) = pair.meta["changes"]
        both[how.partition(":")[0]] = other
    assert both["misleading question"].prompt in Options().misleading
    assert both["jitter"].prompt == "Describe the image."


def test_equal_descriptions_are_dropped(prompts):
    (drop,) = make_pairs(prompts, Script("same", "same"), Options(), 0)
    assert drop.reason == "equal"
