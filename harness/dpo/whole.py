"""Write a model whose weights were trained as a checkpoint of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from harness import progress
from harness.dpo.forward import private_copy
from harness.dpo.merging import LEAST
from harness.model import Model


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
