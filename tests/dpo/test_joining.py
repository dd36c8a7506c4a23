"""Adapters joined into one, and one that is trained on: against the weights they stand for."""

from __future__ import annotations

import json
import math

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

from harness.dpo.adapters import train_on
from harness.dpo.merging import join
from harness.errors import UsageError


class Net(nn.Module):
    """Two layers; PEFT takes any module."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Linear(5, 4, bias=False), nn.Linear(4, 3, bias=False)

    def forward(self, x):
        return self.two(self.one(x))


def made(folder, seed, *, base=None, rank=2, alpha=6, targets=("one", "two"), **more):
    """An adapter with random weights, saved; returns what it adds to each layer."""
    torch.manual_seed(seed)
    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(targets), **more)
    adapted = get_peft_model(base or Net(), config)
    for name, weight in adapted.named_parameters():
        if "lora_" in name:
            weight.data = torch.randn_like(weight)
    adapted.save_pretrained(str(folder))
    return adapted


def updates(folder):
    """``s B A`` of every layer, computed from the files alone."""
    config = json.loads((folder / "adapter_config.json").read_text())
    root = math.sqrt(config["r"]) if config["use_rslora"] else config["r"]
    weights = load_file(folder / "adapter_model.safetensors")
    found = {}
    for name, down in weights.items():
        if ".lora_A." in name:
            up = weights[name.replace("lora_A", "lora_B")]
            layer = name.split(".lora_A")[0].rpartition(".")[2]
            found[layer] = config["lora_alpha"] / root * up.double() @ down.double()
    return found


def test_the_joined_update_is_the_sum_of_the_updates(tmp_path):
    made(tmp_path / "a", 1)
    made(tmp_path / "b", 2, rank=3, alpha=3, targets=("one",))
    made(tmp_path / "c", 3, rank=4, alpha=8, use_rslora=True)
    parts = [updates(tmp_path / name) for name in "abc"]
    assert join([tmp_path / name for name in "abc"], tmp_path / "all")
    joined = updates(tmp_path / "all")
    for layer in ("one", "two"):
        wanted = sum(part[layer] for part in parts if layer in part)
        assert torch.allclose(joined[layer], wanted, atol=1e-5)
    x = torch.randn(7, 5)
    net = Net()
    for layer in ("one", "two"):
        getattr(net, layer).weight.data += joined[layer].float()
    loaded = PeftModel.from_pretrained(Net(), str(tmp_path / "all"))
    assert torch.allclose(loaded(x), net(x), atol=1e-4)


def test_what_was_saved_whole_is_the_last_ones(tmp_path):
    for number, name in enumerate("ab"):
        made(tmp_path / name, number, targets=("one",), modules_to_save=["two"])
        file = tmp_path / name / "adapter_model.safetensors"
        kept = {key: value + number for key, value in load_file(file).items()}
        save_file(kept, file)
    assert join([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    key = next(k for k in load_file(file) if "two" in k)
    joined = load_file(tmp_path / "all" / "adapter_model.safetensors")
    assert torch.equal(joined[key], load_file(file)[key])


@pytest.mark.parametrize("odd", [{"use_dora": True}, {"rank_pattern": {"one": 3}}])
def test_what_is_no_plain_lora_is_not_joined(tmp_path, odd):
    made(tmp_path / "a", 1)
    made(tmp_path / "b", 2, **odd)
    assert not join([tmp_path / "a", tmp_path / "b"], tmp_path / "all")
    assert not (tmp_path / "all").exists()


def test_training_goes_on_with_the_weights_of_an_adapter(tmp_path):
    made(tmp_path / "a", 1)
    fresh = get_peft_model(Net(), LoraConfig(r=2, lora_alpha=6, target_modules=["one", "two"]))
    train_on(fresh, tmp_path / "a")
    x = torch.randn(7, 5)
    with torch.no_grad():
        loaded = PeftModel.from_pretrained(Net(), str(tmp_path / "a"))
        assert torch.equal(fresh(x), loaded(x))
    for wrong in ({"r": 4, "lora_alpha": 6}, {"r": 2, "lora_alpha": 2}):
        other = get_peft_model(Net(), LoraConfig(target_modules=["one", "two"], **wrong))
        with pytest.raises(UsageError, match="carries the adapter"):
            train_on(other, tmp_path / "a")
    other = get_peft_model(Net(), LoraConfig(r=2, lora_alpha=6, target_modules=["one"]))
    with pytest.raises(UsageError, match="carries the adapter"):
        train_on(other, tmp_path / "a")
