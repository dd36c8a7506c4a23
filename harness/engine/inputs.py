"""From a request to tensors: token ids with exactly one BOS, and processed pixels. Needs torch."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from harness.engine.loading import Loaded
from harness.errors import brief
from harness.protocol import HF, pixels, token_ids
from harness.records import MOST_PIXELS, Request, View

if TYPE_CHECKING:
    import PIL.Image
    import torch


ANSWER_TYPES: Mapping[str, Mapping[str, int]] = {"paligemma": {"token_type_ids": 1}}
"""By family, what answer tokens are called where it is not 0: tokens of type 0 see PaliGemma's
whole prompt, and so an answer of that type would see its own future."""


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
            cannot be distinguished after processing have one entry for all of them.
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
    processed = processed_through(
        request.view,
        loaded.source.protocol,
        loaded.processor,
        rendered,
        request.images,
        add_special_tokens=wants_special(loaded, rendered),
    )
    ids = tuple(processed.pop("input_ids")[0].tolist())
    for name in ("attention_mask", "labels"):
        processed.pop(name, None)
    extra: dict[str, torch.Tensor] = {}
    tensors: dict[str, torch.Tensor] = {}
    for name, value in processed.items():
        per_token = tuple(value.shape) == (1, len(ids))
        (extra if per_token else tensors)[name] = value
    pictures = (pictures_of(tensors, None),) if request.images else ()
    return Prepared(request, ids, pictures, extra)


def processed_through(
    view: View | None,
    protocol: str,
    processor: Any,
    text: str,
    images: Sequence[PIL.Image.Image],
    **settings: bool,
) -> dict[str, Any]:
    """Return what :func:`processed_as` does, the images seen through a view.

    Raises:
        ValueError: if the view cannot be applied to this family's pixels.
    """
    process = partial(processed_as, protocol, processor, text, images, **settings)
    processed = dict(process())
    if view is None or not images:
        return processed
    if _laid_out(processed["pixel_values"]):
        return {**processed, "pixel_values": view(processed["pixel_values"].float())}
    with _through(view, processor.image_processor):
        return dict(process())


def _laid_out(pixels: torch.Tensor) -> bool:
    return pixels.ndim >= 4 and pixels.shape[-3] == 3


@contextlib.contextmanager
def _through(view: View, processor: Any) -> Iterator[None]:
    """Let an image processor that cuts images into patches see them through a view before.

    Raises:
        ValueError: if the processor has no step that gives normalised images.
    """
    normalise, seen = getattr(processor, "rescale_and_normalize", None), []

    def noised(images: torch.Tensor, *how: Any, **settings: Any) -> torch.Tensor:
        assert normalise is not None
        pixels = normalise(images, *how, **settings)
        seen.append(pixels.shape)
        return view(pixels.float()).to(pixels.dtype)

    if normalise is not None:
        processor.rescale_and_normalize = noised
    try:
        yield
    finally:
        if normalise is not None:
            del processor.rescale_and_normalize
    if not seen:
        raise ValueError(
            f"the view {view!r} needs images before they are cut into patches, and the processor "
            f"{type(processor).__name__} does not show them"
        )


def processed_as(
    protocol: str, processor: Any, text: str, images: Sequence[PIL.Image.Image], **settings: bool
) -> Any:
    """Return what the processor makes of one conversation, by the protocol: ids, mask, pixels.

    Raises:
        ValueError: if the text marks another number of images.
    """
    check_resized(protocol, processor, images)
    if protocol == HF:
        return processor(text=[text], images=list(images) or None, return_tensors="pt", **settings)
    import torch

    made = [llava_image(processor, image) for image in images]
    places = [places_of(processor, each) for each in made]
    ids = torch.tensor([token_ids(processor.tokenizer, text, places)])
    tensors = {"pixel_values": torch.cat([each["pixel_values"] for each in made])} if made else {}
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **tensors}


def check_resized(protocol: str, processor: Any, images: Sequence[PIL.Image.Image]) -> None:
    """Refuse a narrow image that would fill the memory once it is resized or padded.

    Where the shortest edge is given a length, 30,000 x 10 pixels become a million times 336.

    Raises:
        ValueError: says what it would become.
    """
    edge = dict(getattr(processor.image_processor, "size", None) or {}).get("shortest_edge")
    for image in images:
        short, long = sorted(image.size)
        if protocol != HF:
            pixels, most, how = long**2, 4 * MOST_PIXELS, "padded to a square"
        else:
            pixels, most, how = round(edge**2 * long / short) if edge else 0, MOST_PIXELS, "resized"
        if pixels > most:
            raise ValueError(
                f"an image of {image.width} x {image.height} pixels would have {pixels:,} when it "
                f"is {how}, and {most:,} are the most; crop it"
            )


def llava_image(processor: Any, image: PIL.Image.Image) -> dict[str, torch.Tensor]:
    """Return the padded and normalised pixels of one image."""
    import torch

    return {"pixel_values": torch.from_numpy(pixels(image, processor.image_processor))}


def places_of(processor: Any, made: Any) -> int:
    """Return how many tokens of the prompt a processed image fills."""
    return int(processor.replace_image_token(made, 0).count(processor.image_token))


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
        if not _laid_out(pixels):
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
