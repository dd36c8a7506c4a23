"""From a request to tensors: token ids with exactly one BOS, and processed pixels. Needs torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.model_load import Loaded
from harness.records import Request, View

if TYPE_CHECKING:
    import PIL.Image
    import torch


@dataclass(frozen=True, eq=False)
class Pictures:
    """What the processor made of one request's images.

    Attributes:
        tensors: the image inputs of the network by name; ``pixel_values`` is float32 and carries
            the view already.
        key: hash of all these tensors.
        expansions: the text that stands for each image in the prompt, one per image.
    """

    tensors: dict[str, torch.Tensor]
    key: str
    expansions: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request as the network will see it.

    Attributes:
        request: the request.
        ids: token ids, image placeholders included.
        pictures: the processed images, ``None`` for a text-only request.
        extra: further inputs per token (such as token types), each ``(1, len(ids))``.
    """

    request: Request
    ids: tuple[int, ...]
    pictures: Pictures | None
    extra: dict[str, torch.Tensor]


def prepare(loaded: Loaded, request: Request, rendered: str) -> Prepared:
    """Run the processor on one request.

    Raises:
        ValueError: if the view cannot be applied to this family's pixels.
        Exception: whatever the processor raises for an image or text it cannot take.
    """
    processed = loaded.processor(
        text=[rendered],
        images=list(request.images) or None,
        add_special_tokens=_wants_special(loaded, rendered),
        return_tensors="pt",
    )
    ids = tuple(processed.pop("input_ids")[0].tolist())
    processed.pop("attention_mask", None)
    extra: dict[str, torch.Tensor] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, value in processed.items():
        per_token = tuple(value.shape) == (1, len(ids))
        (extra if per_token else tensors)[name] = value
    pictures = pictures_of(tensors, request.view) if request.images else None
    return Prepared(request, ids, pictures, extra)


def pictures_of(
    tensors: dict[str, torch.Tensor], view: View | None, expansions: tuple[str, ...] = ()
) -> Pictures:
    """Apply the view and hash the result.

    Raises:
        ValueError: if the pixels are not laid out as ``(..., 3, height, width)``.
    """
    if view is not None:
        pixels = tensors["pixel_values"]
        if pixels.ndim < 4 or pixels.shape[-3] != 3:
            raise ValueError(
                f"the view {view!r} needs pixels of shape (..., 3, height, width); this model's "
                f"processor makes {tuple(pixels.shape)}"
            )
        tensors = {**tensors, "pixel_values": view(pixels.float())}
    total = hashlib.sha256()
    for name in sorted(tensors):
        value = tensors[name].contiguous()
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.numpy().tobytes())
    return Pictures(tensors, total.hexdigest(), expansions)


def _wants_special(loaded: Loaded, rendered: str) -> bool:
    """Let the tokeniser add its BOS unless the template has written it already."""
    bos = loaded.tokenizer.bos_token
    return not (bos and rendered.startswith(bos))


def network_inputs(loaded: Loaded, prepared: Prepared) -> dict[str, Any]:
    """Return the keyword arguments of the network for this request alone, on its device."""
    import torch

    ids = torch.tensor([prepared.ids], device=loaded.device)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    pictures = prepared.pictures.tensors if prepared.pictures else {}
    for name, value in {**prepared.extra, **pictures}.items():
        kind = loaded.dtype if value.is_floating_point() else None
        inputs[name] = value.to(loaded.device, kind)
    return inputs


def describe(error: BaseException) -> str:
    """Return an error as one short line for :attr:`harness.records.Answer.error`."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:300]}" if lines else type(error).__name__


def image_ids(images: tuple[PIL.Image.Image, ...]) -> tuple[int, ...]:
    """Return the object ids of images, which tell identical objects apart within one window."""
    return tuple(id(image) for image in images)
