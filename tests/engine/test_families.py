"""Every family gives the answers of ``generate`` on each request alone, shared or not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from harness.engine import ImageDigests, Source, load, read_outline
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


@pytest.mark.parametrize("without", ["", "generation_config.json"])
def test_the_small_files_say_what_the_loaded_network_says(
    family: Bench, without: str, tmp_path: Path
) -> None:
    folder = shutil.copytree(family.loaded.source.path, tmp_path / "copy")
    (folder / without).unlink() if without else None
    source = Source(folder, "cpu", "float32")
    processor, outline = read_outline(source)
    loaded = load(source)
    assert outline.generation_config.eos_token_id == loaded.network.generation_config.eos_token_id
    ours, theirs = outline.config, loaded.network.config
    for name in ("image_token_id", "model_type"):
        assert getattr(ours, name, None) == getattr(theirs, name, None)
    positions = [each.get_text_config().max_position_embeddings for each in (ours, theirs)]
    assert positions[0] == positions[1] > 0
    assert processor.to_dict() == loaded.processor.to_dict()
