"""The language model in 4 bits while an adapter is trained on it (QLoRA, arXiv:2305.14314)."""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from harness.dpo.config import FOUR_BIT, LANGUAGE
from harness.dpo.parts import HEADS, part_names
from harness.errors import UsageError


def quantize(network: Any) -> None:
    """Hold the linear layers of a private copy's language model in 4 bits (NF4), never its head.

    Each is computed in the number format that it had. PEFT puts its usual adapter on them.

    Raises:
        UsageError: if bitsandbytes is not installed, or does not work here.
    """
    made, part = _maker(), part_names(network)
    modules = dict(network.named_modules())
    for name, module in modules.items():
        place, _, last = name.rpartition(".")
        if isinstance(module, nn.Linear) and part(name) == LANGUAGE and last not in HEADS:
            setattr(modules[place], last, made(module))


def _maker() -> Any:
    try:
        bnb: Any = importlib.import_module("bitsandbytes")
    except Exception as error:  # a build for another device fails in many ways
        raise UsageError(
            f"quantize={FOUR_BIT} needs the package bitsandbytes, which cannot be used here "
            f"({type(error).__name__}: {error}). Install it with pip install "
            "'vlm-harness[qlora]', or leave quantize out."
        ) from error

    def quantized(layer: nn.Linear) -> nn.Module:
        made = bnb.nn.Linear4bit(
            layer.in_features,
            layer.out_features,
            bias=layer.bias is not None,
            compute_dtype=layer.weight.dtype,
            quant_type="nf4",
            device="meta",
        )
        weight = layer.weight.detach()
        made.weight = bnb.nn.Params4bit(weight.clone(), requires_grad=False, quant_type="nf4")
        if layer.bias is not None:
            made.bias = layer.bias
        # On some CPUs a pass without gradients lays the weights out anew, and who reads them later
        # (the norm of the update) takes them for other weights.
        made.support_avx512bf16_for_cpu = False
        placed: nn.Module = made.to(weight.device)
        return placed

    return quantized
