"""The protocol llava-1.5 against a reimplementation from the original code's facts.

The reference pads with NumPy, preprocesses with transformers' PIL port of CLIP's processor, and
tokenises with SentencePiece itself, as the original's slow LLaMA tokeniser does.
"""

from __future__ import annotations

import io
import json
import random

import numpy as np
import PIL.Image
import pytest
import torch
from harness_seva.noise import Noise

from harness.dpo.encoding import Encoder
from harness.engine import EngineRequest, ImageDigests
from harness.engine.vision import Preparer
from harness.errors import UsageError
from harness.model import Model
from harness.protocol import HF, LLAVA, Checkpoint, misfit, padded, pixels
from harness.records import Pair, Prompt, Request
from tests.support.checkpoints import Sizes, llava_processor, write_llava

MEAN = (122, 116, 104)  # int(255 * 0.48145466), int(255 * 0.4578275), int(255 * 0.40821073)
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
QUESTIONS = (
    "Is there a dog in the image?\nAnswer the question using a single word or phrase.",
    "What is it?",
    "Describe  the picture,\n\nplease: é 漢字 12.",
    "A. red\nB. blue\nAnswer with the option's letter from the given choices directly.",
    "  spaces around  ",
)


@pytest.fixture(scope="module")
def pieces():
    """A SentencePiece model like LLaMA's: BPE, bytes for the rest, no clean-up of spaces."""
    import sentencepiece

    words = (SYSTEM + " USER: ASSISTANT: is there a dog in the image? what").split()
    draw = random.Random(0)
    lines = [" ".join(draw.choices(words, k=12)) + draw.choice(".?!:\n") for _ in range(1000)]
    made = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=made,
        vocab_size=399,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        pad_id=-1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=made.getvalue())


@pytest.fixture(scope="module")
def folder(pieces, tmp_path_factory):
    """A LLaVA of random weights whose tokeniser is that one, as transformers builds it."""
    from transformers import LlamaTokenizer, LlavaProcessor
    from transformers.convert_slow_tokenizer import generate_merges

    sizes = Sizes(image=28, patch=7, vocabulary=400)
    path = write_llava(tmp_path_factory.mktemp("llava"), sizes)
    names = [pieces.id_to_piece(number) for number in range(pieces.get_piece_size())]
    scores = {name: pieces.get_score(at) for at, name in enumerate(names) if at >= 259}
    vocabulary = {name: at for at, name in enumerate(names)}
    tokenizer = LlamaTokenizer(
        vocab=vocabulary,
        merges=generate_merges(vocabulary, scores),
        extra_special_tokens={"image_token": "<image>"},
    )
    old = llava_processor(sizes)
    LlavaProcessor(
        image_processor=old.image_processor,
        tokenizer=tokenizer,
        patch_size=sizes.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=old.chat_template,
    ).save_pretrained(path)
    config = json.loads((path / "config.json").read_text())
    config["image_token_index"] = 399
    (path / "config.json").write_text(json.dumps(config))
    return path


def images() -> list[PIL.Image.Image]:
    """Fifty images: wide, tall, square, one pixel thin, larger and smaller than the tower."""
    draw = np.random.default_rng(0)
    sides = [(1, 1), (1, 9), (9, 1), (28, 28), (3, 2), (2, 3), (64, 48), (48, 65)]
    sides += [tuple(draw.integers(1, 90, 2)) for _ in range(42)]
    return [
        PIL.Image.fromarray(draw.integers(0, 256, (height, width, 3), dtype=np.uint8))
        for height, width in sides
    ]


def reference_pixels(image: PIL.Image.Image) -> torch.Tensor:
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    array = np.asarray(image)
    height, width, _ = array.shape
    side = max(height, width)
    square = np.empty((side, side, 3), np.uint8)
    square[:] = MEAN
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = array
    clip = CLIPImageProcessorPil(size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28})
    return clip(PIL.Image.fromarray(square), return_tensors="pt")["pixel_values"]


def reference_ids(pieces, question: str, answer: str | None = None) -> list[int]:
    """``tokenizer_image_token`` of the original, 16 places for an image of 28 by 28."""
    text = f"{SYSTEM} USER: <image>\n{question} ASSISTANT:"
    before, after = text.split("<image>")
    said = [] if answer is None else [2]
    after += "" if answer is None else f" {answer}"
    return [1, *pieces.encode(before), *[399] * 16, *pieces.encode(after), *said]


@pytest.mark.parametrize(
    ("size", "top", "left"),
    [((4, 2), 1, 0), ((2, 4), 0, 1), ((3, 2), 0, 0), ((2, 5), 0, 1), ((3, 3), 0, 0)],
)
def test_an_image_lies_in_the_middle_of_a_square_of_the_mean_colour(size, top, left):
    """Half of an odd rest is rounded towards the upper left."""
    width, height = size
    square = np.asarray(padded(PIL.Image.new("RGB", size, (255, 0, 0)), MEAN))
    assert square.shape == (max(size), max(size), 3)
    red = (square == (255, 0, 0)).all(-1)
    assert red.sum() == width * height
    assert red[top : top + height, left : left + width].all()
    assert (square[~red] == MEAN).all()


def test_a_wide_black_image_is_black_between_bands_of_nearly_zero():
    """By hand: black is (0 - mean) / std; the bands' 122 / 255 is 0.0037 below the mean."""

    class Clip:
        image_mean = (0.48145466, 0.4578275, 0.40821073)
        image_std = (0.26862954, 0.26130258, 0.27577711)
        crop_size = 4

    made = pixels(PIL.Image.new("RGB", (4, 2)), Clip)
    assert made.shape == (1, 3, 4, 4)
    assert made[0, :, 1:3] == pytest.approx(
        np.broadcast_to([[[-1.79226]], [[-1.75210]], [[-1.48022]]], (3, 2, 4)), abs=1e-4
    )
    assert made[0, 0, 0] == pytest.approx([(122 / 255 - 0.48145466) / 0.26862954] * 4, abs=1e-6)


def test_pixels_and_ids_are_the_originals_in_both_stages(folder, pieces, tmp_path):
    """50 images x 5 questions: pixels to 1e-6, ids exactly, in evaluation and in training."""
    model = Model.open(folder, device="cpu", protocol=LLAVA)
    prepare = Preparer(model.base.loaded(), 0).prepare
    encoder = Encoder(model.processor, 399, protocol=LLAVA)
    for number, image in enumerate(images()):
        wanted, file = reference_pixels(image), tmp_path / f"{number}.png"
        image.convert("RGB").save(file)
        for question in QUESTIONS:
            request = Request(question, (image,))
            digest = ImageDigests().of(image)
            made = prepare(EngineRequest(request, model.render(request), (digest,)))
            assert list(made.ids) == reference_ids(pieces, question)
            assert (made.pictures[0].tensors["pixel_values"] - wanted).abs().max() < 1e-6
            pair = Pair(Prompt(str(number), file, question, None), "It is red.", ("A dog 12",))
            row = encoder.encode(0, pair)
            assert list(row.prompt) == reference_ids(pieces, question)
            assert torch.equal(row.vision["pixel_values"], made.pictures[0].tensors["pixel_values"])
            for ids, text in zip(row.answers, ("It is red.", "A dog 12"), strict=True):
                assert [*row.prompt, *ids] == reference_ids(pieces, question, text)


def test_the_noise_falls_on_the_padded_and_normalised_image(folder):
    """SeVa's code noises what ``process_images`` returns, so the bands get noise too."""
    model = Model.open(folder, device="cpu", protocol=LLAVA)
    image, noise = images()[6], Noise(500, 7)
    request = Request("What is it?", (image,), view=noise)
    item = EngineRequest(request, model.render(request), (ImageDigests().of(image),))
    made = Preparer(model.base.loaded(), 0).prepare(item).pictures[0].tensors["pixel_values"]
    clean = reference_pixels(image)
    assert (made - noise(clean)).abs().max() < 1e-6
    scale = 0.863017  # sqrt(abar) at step 500
    band = (made - scale * clean)[0, :, :3]  # 64 x 48: the upper bands are padding
    assert band.std() == pytest.approx(0.505175, rel=0.1)


def test_the_protocol_is_part_of_the_fingerprint_and_hf_leaves_it_as_it_was(folder):
    import hashlib

    own, papers = (Model.open(folder, device="cpu", protocol=name) for name in (HF, LLAVA))
    parts = [own.base.fingerprint, "float32"]
    assert own.fingerprint == hashlib.sha256("\n".join(parts).encode()).hexdigest()
    assert papers.fingerprint != own.fingerprint
    assert Model.of(papers.spec()).protocol == LLAVA, "another process asks in the same way"


def test_a_question_that_spells_the_image_mark_is_missing_and_says_why(folder):
    model = Model.open(folder, device="cpu", protocol=LLAVA)
    request = Request("What is <image> here?", (images()[0],), max_new_tokens=2)
    (answer,) = model.answer([request])
    assert answer.text is None
    assert "2 marks for 1 images" in str(answer.error)


def fitting() -> dict:
    return {
        "config": {"model_type": "llava", "text_config": {"model_type": "llama"}},
        "images": {
            "crop_size": {"height": 336, "width": 336},
            "image_mean": [0.5, 0.5, 0.5],
            "image_std": [0.5, 0.5, 0.5],
        },
        "template": "USER: ... ASSISTANT:",
        "tokens": {"eos_token": "</s>"},
    }


@pytest.mark.parametrize(
    ("part", "value", "told"),
    [
        ("config", {"model_type": "qwen2_vl"}, "model type is qwen2_vl"),
        ("config", {"model_type": "llava_next"}, "model type is llava_next"),
        ("config", {"model_type": "llava", "text_config": {"model_type": "qwen2"}}, "qwen2"),
        ("images", {}, "no square"),
        ("images", {"crop_size": {"height": 336, "width": 224}}, "336 x 224"),
        ("images", {"crop_size": 336}, "no mean and deviation"),
        ("template", "<|im_start|>user", "trained with another"),
        ("tokens", {"eos_token": "<|im_end|>"}, "end token"),
    ],
)
def test_a_model_that_cannot_follow_is_refused_with_the_reason(part, value, told):
    assert misfit(Checkpoint(**fitting())) is None
    assert told in str(misfit(Checkpoint(**{**fitting(), part: value})))


def test_a_misfit_is_refused_before_anything_is_loaded(folder, tmp_path):
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "chat_template.jinja").write_text("<|user|>{{ messages }}")
    with pytest.raises(UsageError, match=r"cannot follow the protocol llava-1\.5: .*--protocol hf"):
        Model.open(tmp_path, protocol=LLAVA)
    assert Model.open(tmp_path).protocol == HF
