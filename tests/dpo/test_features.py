"""Image features kept from epoch to epoch: equal weights, within the limit of memory."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from safetensors.torch import load_file

from harness import dpo
from harness.dpo import Training
from harness.dpo.collator import pixel_key
from harness.dpo.forward import FeatureCache
from harness.errors import UsageError
from tests.dpo.test_training import folder, model, one_thread, pairs  # noqa: F401

CACHED = Training(
    loss="multi_mean", learning_rate=3e-3, lora_rank=4, lora_alpha=8, batch_size=2,
    accumulation=1, epochs=3, save_steps=0, feature_cache=1.0,
)  # fmt: skip
OF_ONE = 16 * 64 * 4  # image tokens, width of the language model, bytes of a float32


def test_the_weights_are_those_without_and_each_image_is_read_once(
    model, pairs, tmp_path, monkeypatch  # noqa: F811
):  # fmt: skip
    made: list[FeatureCache] = []
    begin = FeatureCache.__init__

    def note(self, limit):
        begin(self, limit)
        made.append(self)

    monkeypatch.setattr(FeatureCache, "__init__", note)
    few = [*pairs[:3], dataclasses.replace(pairs[3], prompt=pairs[0].prompt)]
    room = 2.5 * OF_ONE / 1e9  # for two images of three
    weights = []
    for name, cache in (("none", 0.0), ("all", 1.0), ("two", room)):
        how = dataclasses.replace(CACHED, feature_cache=cache)
        adapter = dpo.train(few, model, tmp_path / name, seed=1, training=how)
        weights.append(load_file(adapter / "adapter_model.safetensors"))
    whole, part = made
    assert (whole.computed, whole.held) == (3, 3 * OF_ONE)
    assert part.held == 2 * OF_ONE
    assert 3 < part.computed < 16  # four rows in three epochs and the measurement at the end
    for name, value in weights[1].items():
        assert torch.equal(value, weights[2][name])
        torch.testing.assert_close(value, weights[0][name], rtol=1e-4, atol=1e-6)


def test_another_view_of_an_image_is_another_key():
    pixels = torch.rand(1, 3, 4, 4)
    other = pixels.clone()
    other[0, 2, 3, 3] += 1e-3
    keys = {pixel_key({"pixel_values": one}) for one in (pixels, pixels.clone(), other)}
    assert len(keys) == 2
    assert len(keys | {pixel_key({"pixel_values": pixels.reshape(1, 3, 2, 8)})}) == 3


@pytest.mark.parametrize(
    ("knobs", "told"),
    [
        ({"train_projector": True}, "train_projector"),
        ({"tune": "full", "parts": ("vision",)}, "parts=vision"),
        ({"lora_dropout": 0.1}, "lora_dropout=0.1"),
        ({"packed": False}, "packed=false"),
        ({"feature_cache": -1}, "at least 0"),
    ],
)
def test_features_that_change_are_not_kept(knobs, told):
    with pytest.raises(UsageError, match=told):
        dataclasses.replace(CACHED, **knobs)
