"""Measure what a training did: the change of the weights, and the order of pairs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from harness.dpo.effect import PairMargins


def update_norms(network: Any, before: Any = None) -> tuple[float, float]:
    """Return the L2 norm of the change of the trained weights, and that of these weights before.

    ``network`` is a PEFT model, or one whose own weights were trained from those of ``before``.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from peft.utils import ModulesToSaveWrapper
    from peft.utils.integrations import dequantize_module_weight

    change, weight = 0.0, 0.0
    with torch.no_grad():
        old = dict(before.named_parameters()) if before is not None else {}
        for key, value in network.named_parameters():
            if key in old and value.requires_grad:
                change += _square(value.double() - old[key].double())
                weight += _square(old[key])
        for module in network.modules():
            if isinstance(module, BaseTunerLayer):
                for name in module.active_adapters:
                    change += _lora_square(module, name)
                layer: Any = module.get_base_layer()
                weight += _square(dequantize_module_weight(layer))
            elif isinstance(module, ModulesToSaveWrapper):
                old = dict(module.original_module.named_parameters())
                for name in module.active_adapters:
                    for key, value in module.modules_to_save[name].named_parameters():
                        change += _square(value.double() - old[key].double())
                        weight += _square(old[key])
    return math.sqrt(change), math.sqrt(weight)


def _lora_square(module: Any, name: str) -> float:
    """Return the squared norm of ``scale * B A`` without making that matrix: tr(B'B AA')."""
    down, up = module.lora_A[name].weight.double(), module.lora_B[name].weight.double()
    square = float(((up.T @ up) * (down @ down.T)).sum())
    return float(module.scaling[name]) ** 2 * max(square, 0.0)


def _square(value: Tensor) -> float:
    return float(value.double().square().sum())


def margins(trainer: Any, rows: Sequence[int]) -> tuple[PairMargins, PairMargins] | None:
    """Order pairs by the model before and after; all processes of a training share the work.

    Returns:
        Before and after; ``None`` where the pairs have no rejected answers.
    """
    if trainer.loss.only_chosen or not rows:
        return None
    network = trainer.accelerator.unwrap_model(trainer.model)
    size = trainer.args.per_device_train_batch_size
    training = network.training
    network.eval()
    mine = rows[trainer.args.process_index :: trainer.args.world_size]
    total = torch.zeros(5, dtype=torch.float64)
    with torch.no_grad():
        for at in range(0, len(mine), size):
            batch = trainer.data_collator([{"row": row} for row in mine[at : at + size]])
            batch = trainer._prepare_inputs(batch)
            after, before = trainer.policy_and_reference(network, network, batch)
            total[0] += len(batch["rows"])
            for place, values in ((1, before), (3, after)):
                gaps = _gaps(values.cpu(), batch["counts"].cpu())
                total[place] += gaps.sum()
                total[place + 1] += (gaps > 0).sum()
    network.train(training)
    total = trainer.accelerator.reduce(total.to(trainer.args.device), reduction="sum").cpu()
    count, *sums = total.tolist()
    one, two, three, four = (value / count for value in sums)
    return PairMargins(one, two), PairMargins(three, four)


def _gaps(values: Tensor, counts: Tensor) -> Tensor:
    """Return chosen minus mean rejected, ``(B,)``, of flat values."""
    parts: Any = torch.split(values.double(), counts.tolist())
    return torch.stack([part[0] - part[1:].mean() for part in parts])


def checkpoint_moved(path: Path, base: Path) -> bool:
    """Whether a checkpoint of any trainer holds other weights than the model before."""
    if (path / "adapter_config.json").is_file():
        return any(
            bool(value.any()) or "lora_" not in name
            for name, value in _tensors(path)
            if "lora_A" not in name and "lora_embedding_A" not in name
        )
    known = {name: file for file in base.glob("*.safetensors") for name in _names(file)}
    for name, value in _tensors(path):
        if name not in known:
            return True  # laid out in another way: not comparable
        with safe_open(known[name], framework="pt") as old:
            before = old.get_tensor(name)
        if before.shape != value.shape or not torch.equal(before.float(), value.float()):
            return True
    return False


def _names(file: Path) -> list[str]:
    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())


def _tensors(path: Path) -> Any:
    for file in sorted(path.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118  (not a mapping)
                yield name, opened.get_tensor(name)
