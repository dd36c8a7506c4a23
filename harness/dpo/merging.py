"""Adapters merged into a checkpoint, or joined into one.

The update of a LoRA adapter is ``s B A``, so that of several is ``[s1 B1, s2 B2] [A1; A2]``: one
adapter whose rank is the sum of theirs, exact, in float32, and on the base as it was.

A checkpoint is base plus adapter, added in float32. A 16-bit format has steps of 2^-9 to 2^-12 of a
weight, and a small update falls between two of them, so the rounded weights are compared with the
update.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness import progress
from harness.dpo.ablation import score
from harness.dpo.adapters import with_adapter
from harness.dpo.config import KEEP, Training
from harness.dpo.encoding import Encoder, encoder_for
from harness.dpo.forward import private_copy
from harness.dpo.pair import Unfit, check
from harness.engine import Source, read_network
from harness.errors import HarnessError
from harness.model import Model
from harness.records import Pair

_WEIGHTS = "adapter_model.safetensors"
_DOWN, _UP = ".lora_A.weight", ".lora_B.weight"
_PLAIN: dict[str, Any] = {"bias": "none", "use_dora": False}
_EMPTY = ("rank_pattern", "alpha_pattern", "layers_to_transform", "target_parameters")


def join(adapters: Sequence[Path], out: Path) -> bool:
    """Do what :func:`harness.dpo.join` promises; what adapters saved whole is the last one's."""
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


LEAST = 0.95
"""Share of the margin gain that a merged checkpoint has to keep."""


def merge(
    base: Path, adapter: Path, out: Path, dtype: str, pairs: Sequence[Pair], protocol: str
) -> Path:
    """Do what :func:`harness.dpo.merge` promises."""
    from transformers import AutoProcessor

    if not (adapter / "adapter_model.safetensors").is_file():
        raise HarnessError(
            f"{adapter} holds no adapter_model.safetensors. Give the folder that training printed."
        )
    reader: Any = AutoProcessor
    processor = reader.from_pretrained(base, local_files_only=True)
    network = read_network(Source(base, device="cpu", dtype="auto"))
    formats = {name: weight.dtype for name, weight in network.named_parameters()}
    if dtype != "auto":
        formats = dict.fromkeys(formats, getattr(torch, dtype))
    adapted = with_adapter(network.float(), adapter).eval()
    wide = adapted.get_base_model()
    encoder = encoder_for(processor, network, Training(cut=KEEP), protocol)
    with adapted.disable_adapter():
        before = _margin(wide, encoder, pairs)
    after = _margin(wide, encoder, pairs)
    kept = _weights_kept(adapted, formats)
    merged: Any = adapted.merge_and_unload()
    for name, weight in merged.named_parameters():
        weight.data = weight.data.to(formats.get(name, weight.dtype)).float()
    share, what = kept, "of the update of the weights"
    if before is not None and after is not None and abs(after - before) > 1e-4:
        narrow = _margin(merged, encoder, pairs)
        assert narrow is not None
        share, what = (narrow - before) / (after - before), "of the margin gain"
    _refuse_loss(share, what, sorted({str(kind)[6:] for kind in formats.values()}))
    for name, weight in merged.named_parameters():
        weight.data = weight.data.to(formats.get(name, weight.dtype))
    merged.save_pretrained(out, safe_serialization=True)
    processor.save_pretrained(out)
    return out


def write_whole_model(out: Path, model: Model, network: Any) -> None:
    """Write weights and processor, in the format of the model before if that keeps the update.

    A 16-bit format that would keep less than 95 % of it is left for float32.
    """
    made: Any = private_copy(model.network)
    trained = dict(network.named_parameters())
    kept, update = 0.0, 0.0
    for name, weight in made.named_parameters():
        old, new = weight.double(), trained[name].detach()
        change = new.double() - old
        kept += float(((new.to(weight.dtype).double() - old) * change).sum())
        update += float(change.square().sum())
    narrow = not update or kept / update >= LEAST
    if not narrow:
        progress.say(
            f"The trained model is written in float32: {str(made.dtype)[6:]} would keep "
            f"{kept / update:.1%} of the update of the weights."
        )
    for name, weight in made.named_parameters():
        weight.data = trained[name].detach().to(weight.dtype if narrow else torch.float32)
    made.save_pretrained(out, safe_serialization=True)
    model.processor.save_pretrained(out)


def _refuse_loss(share: float, what: str, formats: Sequence[str]) -> None:
    told = f"The merged checkpoint ({', '.join(formats)}) keeps {share:.1%} {what}"
    if not share >= LEAST:
        raise HarnessError(
            f"{told}, and at least {LEAST:.0%} are asked for: the update is smaller than the "
            "steps of that format. Write it in float32 (--merge-dtype float32, in Python "
            'dpo.merge(..., dtype="float32")), or use the adapter as it is; it loses nothing.'
        )
    progress.say(f"{told}.")


def _margin(network: Any, encoder: Encoder, pairs: Sequence[Pair]) -> float | None:
    """Return the mean margin in nats of the pairs that have one; ``None`` without any."""
    scores = []
    with torch.no_grad():
        for pair in pairs:
            with suppress(Unfit):  # SFT takes pairs whose rejected answers cannot be read
                scores.append(score(network, encoder, check(pair), None, packed=False))
    return sum(chosen - rejected for chosen, rejected in scores) / len(scores) if scores else None


def _weights_kept(adapted: Any, formats: dict[str, torch.dtype]) -> float:
    """Return the part of an adapter's update that lies in the weights once they are rounded."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    kept, whole = 0.0, 0.0
    for name, module in adapted.get_base_model().named_modules():
        if not isinstance(module, BaseTunerLayer):
            continue
        layer: Any = module
        weight = layer.get_base_layer().weight.detach()
        kind = formats.get(f"{name}.weight", weight.dtype)
        for active in module.active_adapters:
            update = layer.get_delta_weight(active).detach()
            written = (weight + update).to(kind).float() - weight
            kept += float((written.double() * update.double()).sum())
            whole += float(update.double().square().sum())
    return kept / whole if whole else 1.0
