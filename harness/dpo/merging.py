"""Trained weights as a checkpoint of their own, without losing the update to rounding.

Base and adapter are added in float32. A 16-bit checkpoint has steps of 2^-9 to 2^-12 of a weight,
and a small update falls between two of them, so the rounded weights are compared with the update.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from harness import progress
from harness.dpo.ablation import score
from harness.dpo.config import KEEP, Training
from harness.dpo.encoding import Encoder, encoder_for
from harness.dpo.forward import private_copy
from harness.dpo.unfit import check
from harness.errors import HarnessError
from harness.model import Model
from harness.records import Pair

LEAST = 0.95
"""Share of the margin gain that a merged checkpoint has to keep."""


def merge(base: Path, adapter: Path, out: Path, dtype: str, pairs: Sequence[Pair]) -> Path:
    """Do what :func:`harness.dpo.merge` promises."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    if not (adapter / "adapter_model.safetensors").is_file():
        raise HarnessError(
            f"{adapter} holds no adapter_model.safetensors. Give the folder that training printed."
        )
    reader: Any = AutoProcessor
    processor = reader.from_pretrained(base, local_files_only=True)
    network: Any = AutoModelForImageTextToText.from_pretrained(
        base, dtype="auto", local_files_only=True
    )
    formats = {name: weight.dtype for name, weight in network.named_parameters()}
    if dtype != "auto":
        formats = dict.fromkeys(formats, getattr(torch, dtype))
    adapted = PeftModel.from_pretrained(network.float(), str(adapter)).eval()
    wide, encoder = adapted.get_base_model(), encoder_for(processor, network, Training(cut=KEEP))
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

    Args:
        out: folder to make.
        model: the model before.
        network: a private copy of it, trained.
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
    """Return the mean margin of the pairs in nats; ``None`` without any."""
    if not pairs:
        return None
    with torch.no_grad():
        scores = [score(network, encoder, pair, None, packed=False) for pair in map(check, pairs)]
    return sum(chosen - rejected for chosen, rejected in scores) / len(scores)


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
