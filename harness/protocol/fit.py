"""Whether a checkpoint can follow the protocol of LLaVA-1.5, told by its small files."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.protocol.llava import END

_ROLES = ("USER", "ASSISTANT")


@dataclass(frozen=True)
class Checkpoint:
    """The small files of a checkpoint that decide it.

    Attributes:
        config: ``config.json``.
        images: settings of the image processor.
        template: the checkpoint's own chat template; ``None`` where it has none.
        tokens: special tokens by name, such as ``eos_token``.
    """

    config: Mapping[str, Any]
    images: Mapping[str, Any]
    template: str | None
    tokens: Mapping[str, Any]


def misfit(checkpoint: Checkpoint) -> str | None:
    """Return why the protocol llava-1.5 cannot be followed; ``None`` where it can."""
    config, images = checkpoint.config, checkpoint.images
    kind = config.get("model_type")
    if kind != "llava":
        return f"its model type is {kind}, and the protocol is that of the type llava"
    text = _within(config, "text_config").get("model_type", "llama")
    if text != "llama":
        return f"its language model is of type {text}, and vicuna_v1 is a conversation of llama"
    sides = _sides(images.get("crop_size"))
    if len(set(sides)) != 1 or images.get("do_center_crop") is False:
        told = "no crop_size" if not sides else " x ".join(map(str, sides))
        return f"its image processor makes no square of one size ({told})"
    if not all(_three(images.get(name)) for name in ("image_mean", "image_std")):
        return "its image processor has no mean and deviation of three colours"
    own = checkpoint.template
    if own is not None and not all(role in own for role in _ROLES):
        return (
            "its own chat template is not one of USER and ASSISTANT, so it was trained with another"
        )
    if checkpoint.tokens.get("eos_token") != END:
        return f"its end token is {checkpoint.tokens.get('eos_token')!r} and not {END!r}"
    return None


def _within(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}


def _sides(crop: Any) -> tuple[int, ...]:
    if isinstance(crop, Mapping):
        found = tuple(crop.get(name) for name in ("height", "width"))
        return tuple(side for side in found if isinstance(side, int))
    return (crop, crop) if isinstance(crop, int) else ()


def _three(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) == 3
