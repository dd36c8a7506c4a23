"""A merged checkpoint keeps what was trained, or is refused: 16-bit formats and small rates."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForImageTextToText

from harness import dpo, progress
from harness.dpo import Training
from harness.errors import HarnessError, UsageError
from harness.model import Model
from tests.dpo.test_training import folder, model, one_thread, pairs  # noqa: F401


@pytest.fixture(scope="module", params=["bfloat16", "float16"])
def narrow(request, model, folder):  # noqa: F811
    """The tiny model stored in a 16-bit format; opened in float32, as on a CPU."""
    path = folder / request.param
    network = AutoModelForImageTextToText.from_pretrained(model.path)
    network.to(getattr(torch, request.param)).save_pretrained(path)
    model.processor.save_pretrained(path)
    return Model.open(path, device="cpu", dtype="float32")


@pytest.mark.parametrize("rate", [2e-6, 5e-5])
def test_a_merge_keeps_95_percent_or_refuses(narrow, pairs, tmp_path, rate):  # noqa: F811
    few = [dataclasses.replace(pair, rejected=pair.rejected[:1]) for pair in pairs]
    training = Training(
        learning_rate=rate, scheduler="constant", lora_rank=8, lora_alpha=16, batch_size=2,
        accumulation=1, epochs=3, save_steps=0,
    )  # fmt: skip
    adapter = dpo.train(few, narrow, tmp_path / "out", seed=1, training=training)
    before = dpo.image_ablation(few, narrow).margin
    gain = dpo.image_ablation(few, narrow, adapter).margin - before
    assert gain > 0

    wide = dpo.merge(narrow.path, adapter, tmp_path / "wide", dtype="float32", pairs=few)
    opened = narrow.with_adapter(wide)
    assert opened.base.source.dtype == "float32"
    kept = (dpo.image_ablation(few, opened).margin - before) / gain
    assert kept == pytest.approx(1, abs=0.01)

    log = tmp_path / "log.txt"
    with progress.showing(progress.Reporter(quiet=True, log=log)):
        try:
            made = dpo.merge(narrow.path, adapter, tmp_path / "merged", pairs=few)
        except HarnessError as error:
            told = str(error)
            assert "--merge-dtype float32" in told
            assert float(re.search(r"keeps (-?[\d.]+)%", told)[1]) < 95
            assert not (tmp_path / "merged").exists()
            return
    said = float(re.search(r"keeps ([\d.]+)% of the margin gain", log.read_text())[1])
    stored = json.loads((made / "config.json").read_text())["dtype"]
    assert stored == narrow.path.name
    kinds = {value.dtype for value in load_file(made / "model.safetensors").values()}
    assert kinds == {getattr(torch, stored)}
    again = Model.open(made, device="cpu", dtype="float32")
    kept = (dpo.image_ablation(few, again).margin - before) / gain
    assert 100 * kept == pytest.approx(said, abs=0.5)
    assert kept >= 0.95


def test_without_pairs_the_update_itself_is_measured(narrow, pairs, tmp_path):  # noqa: F811
    few = [dataclasses.replace(pair, rejected=pair.rejected[:1]) for pair in pairs[:2]]
    training = Training(learning_rate=1e-7, lora_rank=4, lora_alpha=8, save_steps=0)
    adapter = dpo.train(few, narrow, tmp_path / "out", seed=1, training=training)
    with pytest.raises(HarnessError, match="of the update of the weights"):
        dpo.merge(narrow.path, adapter, tmp_path / "merged")


def test_pairs_of_sft_without_a_margin_are_left_out(model, pairs, tmp_path):  # noqa: F811
    training = Training(loss="sft", lora_rank=4, lora_alpha=8, learning_rate=3e-3, save_steps=0)
    few = [dataclasses.replace(pair, rejected=pair.rejected[:1]) for pair in pairs[:2]]
    odd = [dataclasses.replace(few[0], rejected=told) for told in ((), ("look <image> here",))]
    adapter = dpo.train([*odd, *few], model, tmp_path / "out", seed=1, training=training)
    assert dpo.image_ablation([*odd, *few], model) == dpo.image_ablation(few, model)
    assert dpo.image_ablation(odd, model) is None
    made = [
        dpo.merge(model.path, adapter, tmp_path / name, pairs=each)
        for name, each in (("a", [*odd, *few]), ("b", odd))
    ]
    files = [(path / "model.safetensors").read_bytes() for path in made]
    assert files[0] == files[1]


def test_an_adapter_that_saves_embeddings_is_scored_and_merged(model, pairs, tmp_path):  # noqa: F811
    from peft import LoraConfig, get_peft_model

    network = AutoModelForImageTextToText.from_pretrained(model.path)
    how = LoraConfig(
        r=2, target_modules=r".*language_model.*q_proj", modules_to_save=["lm_head", "embed_tokens"]
    )
    worn = get_peft_model(network, how)
    with torch.no_grad():
        for name, weight in worn.named_parameters():
            if weight.requires_grad and "lora_A" not in name:
                weight.add_(torch.randn(weight.shape, generator=torch.manual_seed(3)) / 10)
    worn.save_pretrained(tmp_path / "adapter")
    few = [dataclasses.replace(pair, rejected=pair.rejected[:1]) for pair in pairs[:2]]
    plain, seen = (dpo.image_ablation(few, model, one) for one in (None, tmp_path / "adapter"))
    assert abs(seen.chosen - plain.chosen) > 0.1
    made = dpo.merge(model.path, tmp_path / "adapter", tmp_path / "merged", pairs=few)
    stored = load_file(made / "model.safetensors")
    changed = worn.get_base_model().model.language_model.embed_tokens.modules_to_save["default"]
    (name,) = [name for name in stored if name.endswith("embed_tokens.weight")]
    assert torch.equal(stored[name], changed.weight)
    merged = dpo.image_ablation(few, Model.open(made, device="cpu"))
    assert merged.chosen == pytest.approx(seen.chosen, abs=1e-3)
    assert merged.margin == pytest.approx(seen.margin, abs=1e-3)


def test_a_merge_takes_only_a_base_and_an_adapter_that_fit(model, pairs, tmp_path):  # noqa: F811
    training = Training(lora_rank=4, lora_alpha=8, learning_rate=3e-3, save_steps=0)
    few = [dataclasses.replace(pair, rejected=pair.rejected[:1]) for pair in pairs[:2]]
    adapter = dpo.train(few, model, tmp_path / "out", seed=1, training=training)

    cut = Path(shutil.copytree(model.path, tmp_path / "cut"))
    config = json.loads((cut / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 1
    (cut / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="has no place for"):
        dpo.merge(cut, adapter, tmp_path / "merged")

    short = tmp_path / "short"
    network = AutoModelForImageTextToText.from_pretrained(model.path)
    del network.model.language_model.layers[1]
    network.config.text_config.num_hidden_layers = 1
    network.save_pretrained(short)
    model.processor.save_pretrained(short)
    with pytest.raises(UsageError, match=r"does not fit.*layers\.1\."):
        dpo.merge(short, adapter, tmp_path / "merged")
    assert not (tmp_path / "merged").exists()

    opened = Model.open(short, device="cpu")
    with pytest.raises(UsageError, match=r"does not fit.*layers\.1\."):
        dpo.image_ablation(few, opened, adapter)
