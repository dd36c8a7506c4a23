"""The parts of a model, and what of them is trained: adapters on their layers, or their weights.

With QLoRA (arXiv:2305.14314) the language model is in 4 bits while an adapter is trained on it.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from harness.dpo.config import ALL_LINEAR, FOUR_BIT, FULL, LANGUAGE, PROJECTOR, VISION, Training
from harness.dpo.forward import private_copy
from harness.errors import UsageError, pip
from harness.records import distinct

HEADS = ("lm_head", "embed_out", "head")
_SAVED_PROJECTORS = ("multi_modal_projector", "connector", "merger")
_PROJECTORS = (*_SAVED_PROJECTORS, "deepstack_merger_list", "image_newline")
_UNREACHED = nn.modules.linear.NonDynamicallyQuantizableLinear
"""A linear layer whose weight others use without calling it, so that an adapter would be idle."""


def part_names(network: Any) -> Callable[[str], str]:
    """Return what says to which part of the model a module or weight belongs, by its full name.

    The decoder and its head are the language model, a projector is known by its name, and all else
    is the vision tower.
    """
    decoder = network.get_decoder()
    place = next(name for name, module in network.named_modules() if module is decoder)

    def part(name: str) -> str:
        pieces = name.split(".")
        if f"{name}.".startswith(f"{place}.") or pieces[0] in HEADS:
            return LANGUAGE
        return PROJECTOR if any(piece in _PROJECTORS for piece in pieces) else VISION

    return part


def trains_vision(training: Training) -> bool:
    """Whether image features change while this training goes on."""
    return training.train_projector or any(part != LANGUAGE for part in training.parts)


def lora_targets(network: Any, wanted: str | None, parts: Sequence[str] = (LANGUAGE,)) -> list[str]:
    """Return the modules that get an adapter: linear layers of the parts, never the head.

    Args:
        network: the model before it is wrapped.
        wanted: names of layers such as ``q_proj,v_proj``, or a regular expression over full
            module names; ``None`` and ``all-linear`` take every linear layer of the parts.
        parts: of the model, as :attr:`harness.dpo.Training.parts`.

    Raises:
        UsageError: if nothing matches, or something that is no linear layer of these parts does,
            or a part has none.
    """
    part = part_names(network)
    inside = [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and not isinstance(module, _UNREACHED)
        and name.rpartition(".")[2] not in HEADS
        and part(name) in parts
    ]
    for one in parts:
        if not any(part(name) == one for name in inside):
            raise UsageError(
                f"parts={'+'.join(parts)}: this model has no linear layer in the part '{one}' "
                "that an adapter could be put on. Leave it out, or train its weights with "
                "tune=full."
            )
    if wanted is None or wanted == ALL_LINEAR:
        return inside
    if re.fullmatch(r"\w+([,+ ]+\w+)*", wanted):
        ends = set(re.split(r"[,+ ]+", wanted))
        found = [name for name in inside if name.rpartition(".")[2] in ends]
        unknown = ends - {name.rpartition(".")[2] for name in found}
        problem = f"names {min(unknown)}, which no linear layer there has" if unknown else None
    else:
        found = [name for name, _ in network.named_modules() if re.fullmatch(wanted, name)]
        wrong = [name for name in found if name not in set(inside)]
        problem = f"also matches {wrong[0]}" if wrong else None
    if problem or not found:
        where = " and ".join(_SPOKEN[one] for one in parts)
        raise UsageError(
            f"lora_targets={wanted!r} {problem or 'matches no module'}. An adapter can be put on "
            f"linear layers of {where} only; there are: "
            f"{', '.join(distinct(name.rpartition('.')[2] for name in inside))}. Use for example "
            r"q_proj,v_proj or '.*language_model.*\.(q_proj|v_proj)', leave it out, or name more "
            "parts with parts=language+projector+vision."
        )
    return found


_SPOKEN = {
    LANGUAGE: "the language model",
    PROJECTOR: "the projector",
    VISION: "the vision tower",
}


def saved_projectors(network: Any) -> list[str]:
    """Return the modules of ``train_projector``.

    Raises:
        UsageError: if the model has none that is known.
    """
    saved = [
        name for name, _ in network.named_modules() if name.rpartition(".")[2] in _SAVED_PROJECTORS
    ]
    if not saved:
        raise UsageError("train_projector=true, but the model has no known projector.")
    return saved


def widen(network: Any, training: Training) -> None:
    """Hold the weights that will be trained themselves in float32.

    A step of a usual learning rate is smaller than the steps of a 16-bit format. Where there is
    no autocast, weights of two formats do not meet, so all are widened.
    """
    if training.tune != FULL:
        return
    part = part_names(network)
    mixed = network.device.type == "cuda" and network.dtype == torch.bfloat16
    for name, weight in network.named_parameters():
        if not mixed or part(name) in training.parts:
            weight.data = weight.data.float()


def open_weights(network: Any, training: Training) -> Any:
    """Let the weights of some parts be trained; the others stay frozen.

    Returns:
        The model as it is now, which stays so: the reference.

    Raises:
        UsageError: if a part has no weights.
    """
    frozen = private_copy(network)
    part = part_names(network)
    known = {name: part(name) for name, _ in network.named_parameters()}
    for one in training.parts:
        if one not in known.values():
            raise UsageError(f"parts={'+'.join(training.parts)}: this model has no part '{one}'.")
    for name, weight in network.named_parameters():
        if known[name] in training.parts:
            weight.data = weight.data.clone()
            weight.requires_grad = True
    return frozen


def base_of(network: Any) -> Any:
    """Return the model inside of an adapter, or the model itself."""
    return network.get_base_model() if hasattr(network, "get_base_model") else network


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
            f"({type(error).__name__}: {error}). Install it with {pip('install')} "
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
