"""Adapters of trainings that followed each other: joined into one, or trained on.

The update of a LoRA adapter is ``s B A``, so that of several is ``[s1 B1, s2 B2] [A1; A2]``: one
adapter whose rank is the sum of theirs, exact, in float32, and on the base as it was.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import load_peft_weights, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.errors import UsageError

_WEIGHTS = "adapter_model.safetensors"
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_PLAIN: dict[str, Any] = {"bias": "none", "use_dora": False}
_EMPTY = ("rank_pattern", "alpha_pattern", "layers_to_transform", "target_parameters")


def join(adapters: Sequence[Path], out: Path) -> bool:
    """Write one adapter that is all of them together; what they saved whole is the last one's.

    Args:
        adapters: in the order of their training, each trained on the base with those before it.
        out: folder for the adapter; it is whole or absent.

    Returns:
        Whether they could be joined; adapters that are not plain LoRA cannot.
    """
    configs = [LoraConfig.from_pretrained(str(adapter)) for adapter in adapters]
    if not all(map(_is_plain, configs)):
        return False
    parts = [load_file(adapter / _WEIGHTS) for adapter in adapters]
    ranks, scales = [config.r for config in configs], [_scale(config) for config in configs]
    names = dict.fromkeys(name for part in parts for name in part)
    joined: dict[str, Tensor] = {}
    for name in names:
        holders = [part.get(name) for part in parts]
        some = next(value for value in holders if value is not None)
        if name.endswith(_DOWN):
            shape = [(rank, some.shape[1]) for rank in ranks]
            joined[name] = torch.cat([_padded(*each) for each in zip(holders, shape, strict=True)])
        elif name.endswith(_UP):
            shape = [(some.shape[0], rank) for rank in ranks]
            ups = [_padded(*each) for each in zip(holders, shape, strict=True)]
            scaled = [scale * up for scale, up in zip(scales, ups, strict=True)]
            joined[name] = torch.cat(scaled, dim=1)
        else:
            joined[name] = next(value for value in holders[::-1] if value is not None).float()
    config = configs[-1]
    config.r = config.lora_alpha = sum(ranks)
    config.use_rslora = False
    config.target_modules = set().union(*(_listed(each.target_modules) for each in configs))
    saved = set().union(*(_listed(each.modules_to_save) for each in configs))
    config.modules_to_save = sorted(saved) or None
    part = out.with_name(f"{out.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    save_file({name: value.contiguous() for name, value in joined.items()}, part / _WEIGHTS)
    config.save_pretrained(str(part))
    shutil.rmtree(out, ignore_errors=True)
    part.rename(out)
    return True


def _is_plain(config: LoraConfig) -> bool:
    usual = all(getattr(config, name, value) == value for name, value in _PLAIN.items())
    lists = isinstance(config.target_modules, list | set | tuple)
    return usual and lists and not any(getattr(config, name, None) for name in _EMPTY)


def _scale(config: LoraConfig) -> float:
    return config.lora_alpha / (math.sqrt(config.r) if config.use_rslora else config.r)


def _listed(names: Any) -> set[str]:
    return set(names or ())


def _padded(value: Tensor | None, shape: tuple[int, int]) -> Tensor:
    return torch.zeros(shape) if value is None else value.float()


def train_on(network: Any, adapter: Path) -> None:
    """Give a fresh adapter the weights of an earlier one, so that training goes on from there.

    Args:
        network: a PEFT model over the base.
        adapter: trained on the same base, with the same layers and rank.

    Raises:
        UsageError: if its layers or rank are others.
    """
    earlier = load_peft_weights(str(adapter), device="cpu")
    mine = LoraConfig.from_pretrained(str(adapter))
    config = network.peft_config["default"]
    own = {name: getattr(config, name) for name in ("r", "lora_alpha", "use_rslora")}
    theirs = {name: getattr(mine, name) for name in own}
    fits = own == theirs
    if fits:
        try:
            found: Any = set_peft_model_state_dict(network, earlier)
            lacking = [name for name in found.missing_keys if "lora_" in name]
            fits = not lacking and not found.unexpected_keys
        except RuntimeError:
            fits = False
    if not fits:
        raise UsageError(
            f"The model carries the adapter {adapter} ({theirs}), and this training asks for "
            f"{own} on other layers. Train with the same lora_rank, lora_alpha and lora_targets, "
            "or merge the adapter first: harness.dpo.api.merge(base, adapter, out)."
        )
