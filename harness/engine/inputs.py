"""From a request to tensors: token ids with exactly one BOS, and processed pixels. Needs torch."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.engine.loading import Loaded
from harness.errors import brief
from harness.records import Request, View

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Pictures:
    """What the processor made of one request's images.

    Attributes:
        tensors: the image inputs of the network by name; ``pixel_values`` is float32 and carries
            the view already.
        key: hash of all these tensors.
        places: how many tokens of the prompt they fill; 0 when they fill all image tokens.
    """

    tensors: dict[str, torch.Tensor]
    key: str
    places: int = 0


@dataclass(frozen=True, eq=False)
class Prepared:
    """A request as the network will see it.

    Attributes:
        request: the request.
        ids: token ids, image placeholders included.
        pictures: the processed images in the order of their places; families whose images
            cannot be told apart after processing have one entry for all of them.
        extra: further inputs per token (such as token types), each ``(1, len(ids))``.
    """

    request: Request
    ids: tuple[int, ...]
    pictures: tuple[Pictures, ...]
    extra: dict[str, torch.Tensor]


def prepare(loaded: Loaded, request: Request, rendered: str) -> Prepared:
    """Run the processor on one request.

    A text model's template writes every special token itself, as ``apply_chat_template`` assumes.

    Raises:
        ValueError: if the view cannot be applied to this family's pixels.
        Exception: whatever the processor raises for an image or text it cannot take.
    """
    if not loaded.sees:
        return Prepared(request, _text_ids(loaded.tokenizer, rendered, request.prompt), (), {})
    processed = loaded.processor(
        text=[rendered],
        images=list(request.images) or None,
        add_special_tokens=wants_special(loaded, rendered),
        return_tensors="pt",
    )
    ids = tuple(processed.pop("input_ids")[0].tolist())
    processed.pop("attention_mask", None)
    extra: dict[str, torch.Tensor] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, value in processed.items():
        per_token = tuple(value.shape) == (1, len(ids))
        (extra if per_token else tensors)[name] = value
    pictures = (pictures_of(tensors, request.view),) if request.images else ()
    return Prepared(request, ids, pictures, extra)


def _text_ids(tokenizer: Any, rendered: str, prompt: str) -> tuple[int, ...]:
    """Read a text model's prompt; what the question quotes never ends the user's turn.

    A judge's question holds hostile answers. Where one spells a control token, the question is
    read apart from the template around it, letter by letter.
    """
    question = prompt.strip()
    spelled = _ids(tokenizer, question, split_special_tokens=True)
    if spelled == _ids(tokenizer, question):
        return _ids(tokenizer, rendered)
    head, found, tail = rendered.partition(question)
    if not found:
        raise ValueError("the question spells a control token, and the chat template rewrites it")
    return _ids(tokenizer, head) + spelled + _ids(tokenizer, tail)


def _ids(tokenizer: Any, text: str, **settings: bool) -> tuple[int, ...]:
    return tuple(tokenizer(text, add_special_tokens=False, **settings)["input_ids"])


def pictures_of(tensors: dict[str, torch.Tensor], view: View | None, places: int = 0) -> Pictures:
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
    return Pictures(tensors, total.hexdigest(), places)


def wants_special(loaded: Loaded, rendered: str) -> bool:
    """Let the tokeniser add its BOS unless the template has written it already."""
    bos = loaded.tokenizer.bos_token
    return not (bos and rendered.startswith(bos))


def network_inputs(loaded: Loaded, prepared: Prepared) -> dict[str, Any]:
    """Return the keyword arguments of the network for this request alone, on its device."""
    import torch

    ids = torch.tensor([prepared.ids], device=loaded.device)
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    merged = dict(prepared.extra)
    for name in prepared.pictures[0].tensors if prepared.pictures else ():
        merged[name] = torch.cat([pictures.tensors[name] for pictures in prepared.pictures])
    for name, value in merged.items():
        kind = loaded.dtype if value.is_floating_point() else None
        inputs[name] = value.to(loaded.device, kind)
    return inputs


def describe(error: BaseException) -> str:
    """Return an error as one short line for :attr:`harness.records.Answer.error`."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {brief(lines[0])}" if lines else type(error).__name__
