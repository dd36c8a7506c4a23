"""The processor of a checkpoint of the original LLaVA code, from its tower and tokeniser files."""

from __future__ import annotations

import json

import numpy as np
import PIL.Image
import pytest

from harness.engine.llava_processor import build_processor, tower_folder
from harness.errors import UsageError
from tests.support.checkpoints import byte_tokenizer

SETTINGS = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 400,
    "mm_vision_tower": "openai/clip-vit-large-patch14-336",
    "mm_vision_select_layer": -2,
}
TOWER = {"image_size": 28, "patch_size": 14, "hidden_size": 32, "num_attention_heads": 4}
IMAGES = {"size": 28, "crop_size": 28, "do_resize": True, "image_mean": [0.5] * 3, "odd": 1}


@pytest.fixture
def folder(tmp_path):
    byte_tokenizer(400).backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    return tmp_path


@pytest.fixture
def tower(tmp_path):
    place = tmp_path / "tower"
    place.mkdir()
    (place / "config.json").write_text(json.dumps({"vision_config": TOWER}))
    return place


@pytest.mark.parametrize("images", [None, IMAGES, IMAGES | {"size": {"shortest_edge": 28}}])
def test_images_and_texts_are_read_as_the_files_say(folder, tower, images):
    if images is not None:
        (tower / "preprocessor_config.json").write_text(json.dumps(images))
    processor, config = build_processor(folder, None, tower, SETTINGS)
    said = processor(
        images=PIL.Image.new("RGB", (56, 28), "white"),
        text="<image> Is it white?",
        return_tensors="np",
    )
    assert said["pixel_values"].shape == (1, 3, 28, 28)
    if images is not None:
        std = processor.image_processor.image_std
        expected = 0.5 / np.array(std)  # white is 1.0, the mean is 0.5
        assert said["pixel_values"][0, :, 0, 0] == pytest.approx(expected, rel=1e-5)
    token = config.image_token_id
    assert (said["input_ids"] == token).sum() == config.image_seq_length == 4
    assert processor.tokenizer.convert_ids_to_tokens(token) == "<image>"
    assert config.text_config.vocab_size == 400


def test_files_that_are_absent_or_no_tokeniser_are_named(folder, tower):
    with pytest.raises(UsageError, match=r"hf download openai/clip.*--tower"):
        tower_folder(SETTINGS, None)
    assert tower_folder(SETTINGS, tower) == tower
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UsageError, match=r"no tokenizer.model and no tokenizer.json.*--base"):
        build_processor(folder, None, tower, SETTINGS)
    (folder / "tokenizer.model").write_bytes(b"no model")
    with pytest.raises(UsageError, match=r"tokenizer.model is no SentencePiece model"):
        build_processor(folder, None, tower, SETTINGS)
