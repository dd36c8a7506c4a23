"""QLoRA: an adapter on 4-bit weights trains as one on the same weights written out.

bitsandbytes computes on a CPU too; ``uv sync --extra qlora`` installs it.
"""

from __future__ import annotations

import dataclasses
import json
import sys

import pytest
import torch
from safetensors.torch import load_file

from harness import dpo
from harness.dpo import Training
from harness.dpo.config import LANGUAGE
from harness.dpo.effect import EFFECT, TrainingEffect
from harness.dpo.parts import HEADS, part_names
from harness.errors import UsageError
from harness.model import Model
from harness.records import from_json
from tests.dpo.test_training import folder, model, one_thread, pairs  # noqa: F401

QLORA = Training(
    loss="multi_mean", quantize="4bit", learning_rate=3e-2, lora_rank=4, lora_alpha=8,
    batch_size=2, accumulation=2, epochs=2, save_steps=0, optimizer="sgd",
)  # fmt: skip


def test_without_the_package_one_sentence_says_what_to_install(model, pairs, monkeypatch):  # noqa: F811
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(UsageError, match=r"quantize=4bit needs .* pip install 'vlm-harness\[qlora"):
        dpo.try_step(pairs[0], model, QLORA)


def test_an_adapter_on_4_bits_trains_as_on_the_same_weights_written_out(
    model, pairs, tmp_path  # noqa: F811
):  # fmt: skip
    bnb = pytest.importorskip("bitsandbytes")
    adapter = dpo.train(pairs[:4], model, tmp_path / "narrow", seed=1, training=QLORA)

    written = Model.open(model.path, device="cpu")
    part, changed = part_names(written.network), 0
    for name, layer in written.network.named_modules():
        inside = part(name) == LANGUAGE and name.rpartition(".")[2] not in HEADS
        if isinstance(layer, torch.nn.Linear) and inside:
            packed, state = bnb.functional.quantize_4bit(
                layer.weight.detach(), quant_type="nf4", compress_statistics=True
            )
            layer.weight.data = bnb.functional.dequantize_4bit(packed, state)
            changed += 1
    assert changed == 7 * 2
    plain = dataclasses.replace(QLORA, quantize=None)
    other = dpo.train(pairs[:4], written, tmp_path / "wide", seed=1, training=plain)
    one, two = (load_file(path / "adapter_model.safetensors") for path in (adapter, other))
    assert one.keys() == two.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, two[name], rtol=1e-4, atol=1e-6)
    effects = [
        from_json(TrainingEffect, json.loads((path.parent / EFFECT).read_text()))
        for path in (adapter, other)
    ]
    assert effects[0].weight_norm == pytest.approx(effects[1].weight_norm, rel=1e-6)
    assert effects[0].after.margin == pytest.approx(effects[1].after.margin, rel=1e-5)
    assert effects[0].moved

    # Four bits are another model; the preflight compares it with itself, not with the wide one.
    plainly, seen = (dpo.try_step(pairs[0], model, how) for how in (plain, QLORA))
    assert seen.difference < 2e-5
    assert seen.targets == plainly.targets
    assert seen.fixed < plainly.fixed
    assert seen.memory(2, 2, 50) < plainly.memory(2, 2, 50)
    made = dpo.merge(model.path, adapter, tmp_path / "merged", pairs=pairs[:4])
    worn = dpo.image_ablation(pairs[:4], model, adapter)
    merged = dpo.image_ablation(pairs[:4], Model.open(made, device="cpu"))
    assert merged.margin == pytest.approx(worn.margin, abs=1e-3)
