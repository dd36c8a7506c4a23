from __future__ import annotations

import PIL.Image
import pytest
from harness_csr import (
    Options,
    _clip,
    beginnings,
    clip_score,
    make_pairs,
    per_sentence,
    preferred,
)
from harness_tinyworld import DEMO
from safetensors.torch import load_file, save_file

from harness.errors import HarnessError
from harness.records import Answer, Drop, Pair, Prompt


@pytest.fixture
def prompt(tmp_path):
    image = PIL.Image.new("RGB", (8, 8), "white")
    image.putpixel((0, 0), (0, 0, 0))
    image.save(tmp_path / "i.png")
    return Prompt("p", tmp_path / "i.png", "what is there?")


class Script:
    """Samples from a list; choices are scored by a table of words, lower under a blank image."""

    def __init__(self, texts, words, unseen):
        self.texts, self.words, self.unseen = list(texts), words, unseen

    def answer(self, requests):
        for request in requests:
            if not request.choices:
                assert request.temperature > 0
                yield Answer(self.texts.pop(0))
                continue
            blank = len(set(request.images[0].getdata())) == 1
            table = {**self.words, **self.unseen} if blank else self.words
            scores = tuple(
                sum(table.get(w.strip(".!?"), -1.0) for w in c.split()) for c in request.choices
            )
            yield Answer("", choices=scores)


def test_beginnings_end_with_sentences():
    assert beginnings("A cat. It sleeps! Yes") == [
        "A cat.",
        "A cat. It sleeps!",
        "A cat. It sleeps! Yes",
    ]
    assert beginnings("3.5 cats") == ["3.5 cats"]


def test_a_sentence_has_what_its_beginning_adds_per_word():
    (row,) = per_sentence(["A cat. It sleeps there."], [-2.0, -8.0])
    assert row == [-1.0, -2.0]


def test_what_the_image_makes_likely_wins_and_the_rest_is_counted(prompt):
    words, unseen = {"cat": -1.0, "dog": -1.0}, {"cat": -9.0}
    model = Script(["a dog.", "a cat.", "a dog.", "a dog."], words, unseen)
    (pair,) = make_pairs([prompt], model, Options(candidates=4), 0)
    assert isinstance(pair, Pair)
    assert (pair.chosen, pair.rejected) == ("a cat.", ("a dog.",))
    assert pair.meta["fit"] == [4.0, 0.0]  # 8 nats over two words; the dog is as likely unseen
    assert pair.meta["likelihood"] == [-1.0, -1.0]
    for texts, reason in ((["x", "x"], "equal"), ([None, ""], "missing")):
        (drop,) = make_pairs([prompt], Script(texts, {}, {}), Options(candidates=2), 0)
        assert isinstance(drop, Drop)
        assert drop.reason == reason


def test_the_weight_decides_between_the_two_ranks(prompt):
    texts, own, fit = ["a", "b", "c"], [-3.0, -2.0, -1.0], [5.0, 2.0, 1.0]
    best = {w: preferred(prompt, texts, own, fit, Options(relevance=w)).chosen for w in (0.0, 0.9)}
    assert best == {0.0: "c", 0.9: "a"}


def write_clip(folder):
    """Write a CLIP checkpoint with random weights."""
    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    alphabet = [chr(n) for n in range(97, 123)]
    tokens = ["<|startoftext|>", "<|endoftext|>", ".", ".</w>", *alphabet]
    vocabulary = {token: n for n, token in enumerate([*tokens, *(f"{a}</w>" for a in alphabet)])}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=[])
    layers = {"num_hidden_layers": 1, "hidden_size": 16, "intermediate_size": 16}
    text = {**layers, "num_attention_heads": 2, "vocab_size": len(vocabulary)}
    text |= {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1}
    vision = {**layers, "num_attention_heads": 2, "image_size": 16, "patch_size": 8}
    torch.manual_seed(0)
    network = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=8))
    network.save_pretrained(folder)
    size = {"shortest_edge": 16}
    image = CLIPImageProcessor(size=size, crop_size={"height": 16, "width": 16})
    CLIPProcessor(image, tokenizer).save_pretrained(folder)
    return folder


def test_a_clip_checkpoint_scores_each_sentence_as_its_cosine(prompt, tmp_path):
    folder = write_clip(tmp_path / "clip")
    both = clip_score(str(folder), prompt.open_image(), "a cat. a dog.")
    each = [clip_score(str(folder), prompt.open_image(), text) for text in ("a cat.", "a dog.")]
    assert both == pytest.approx(sum(each) / 2, abs=1e-3)
    assert 0 <= both <= 100
    with pytest.raises(ValueError, match="neither 'self' nor the folder of a CLIP"):
        Options(scorer=str(tmp_path / "nothing"))
    with pytest.raises(ValueError, match="neither 'self' nor the folder of a CLIP"):
        Options(scorer=str(DEMO.model))  # a folder of another model
    weights = load_file(folder / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "text_projection" not in name}
    save_file(kept, folder / "model.safetensors", {"format": "pt"})
    _clip.cache_clear()
    with pytest.raises(HarnessError, match=r"lacks text_projection\.weight \(1 in all\), so its"):
        clip_score(str(folder), prompt.open_image(), "a cat.")
    more = weights | {"vision_model.encoder.layers.9.mlp.fc1.bias": weights["logit_scale"].clone()}
    save_file(more, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(HarnessError, match=r"no place for vision_model\.encoder\.layers\.9"):
        clip_score(str(folder), prompt.open_image(), "a cat.")


def test_failures_are_missing_and_not_equal(prompt):
    class Failing:
        def answer(self, requests):
            for place, _ in enumerate(requests):
                text = "a cat." if place % 5 == 0 else None
                yield Answer(text, error=None if text else "out of memory", tokens=1)

    (drop,) = make_pairs([prompt], Failing(), Options(), 0)
    assert (drop.reason, drop.meta["error"]) == ("missing", "out of memory")


@pytest.mark.slow
def test_the_contract_is_kept(harness_check):
    harness_check("csr")
