"""Every family gives the answers of ``generate`` on each request alone, shared or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness.engine import ImageDigests, outline
from harness.records import Request
from tests.engine.test_engine import IMAGES, LONG, Bench, bench_of
from tests.support.families import idefics, intern, llava_next, qwen, smol

torch.set_num_threads(1)


@pytest.fixture(scope="module", params=[llava_next, qwen, idefics, smol, intern])
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    write: Callable[[Path], Path] = request.param
    return bench_of(write(tmp_path_factory.mktemp(write.__name__)))


def test_answers_are_those_of_each_request_alone(family: Bench) -> None:
    window = [
        Request(question, images, max_new_tokens=length)
        for images in [(), IMAGES[:1], IMAGES[1:2], IMAGES[:2]]
        for question, length in [("is there a dog?", 9), ("yes", 4), (LONG + "left", 9)]
        for images in [tuple(images)]
    ]
    engine = family.engine()
    assert family.shared(window, engine) == [family.alone(request) for request in window]
    assert engine.passes is not None, "the decoder of this family is driven directly"
    assert all(engine._trusted.values()), engine._trusted
    assert engine.features.encoded == 3


def test_the_prompt_is_the_processors_own(family: Bench) -> None:
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "yes"}]}]
    theirs = family.loaded.processor.apply_chat_template(
        turn, add_generation_prompt=True, tokenize=False
    )
    request = Request("yes", (IMAGES[0],))
    assert family.model.render(request) == theirs
    assert len(ImageDigests().of(IMAGES[0])) == 64


def test_a_checkpoint_tells_without_its_weights_what_the_network_does(family: Bench) -> None:
    told, network = outline(family.model.base.source), family.loaded.network
    assert formatless(told.config.to_dict()) == formatless(network.config.to_dict())
    assert told.generation_config.to_dict() == network.generation_config.to_dict()
    assert told.processor.tokenizer.get_vocab() == family.loaded.tokenizer.get_vocab()


def formatless(config: Any) -> Any:
    """Leave the number format out, which is chosen when weights are loaded."""
    if not isinstance(config, dict):
        return config
    return {key: formatless(value) for key, value in config.items() if key != "dtype"}
