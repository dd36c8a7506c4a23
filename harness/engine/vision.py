"""Images through processor and vision tower, each distinct content once. Needs torch."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from harness.engine.inputs import (
    Pictures,
    Prepared,
    check_resized,
    llava_image,
    pictures_of,
    places_of,
    prepare,
    wants_special,
)
from harness.engine.keys import EngineRequest
from harness.engine.loading import Loaded
from harness.protocol import HF, token_ids

if TYPE_CHECKING:
    import torch

T = TypeVar("T")


class Recent(Generic[T]):
    """A map that forgets what was not used for longest when it outgrows its bytes."""

    def __init__(self, budget: int) -> None:
        """Hold at most ``budget`` bytes, and always the newest entry."""
        self.budget = budget
        self.held = 0
        self._entries: OrderedDict[Any, tuple[T, int]] = OrderedDict()

    def get(self, key: Any) -> T | None:
        """Return an entry and count it as used now."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[0]

    def put(self, key: Any, value: T, size: int) -> None:
        """Add an entry of ``size`` bytes."""
        self.drop(key)
        self._entries[key] = (value, size)
        self.held += size
        self.shrink(self.budget)

    def drop(self, key: Any) -> None:
        """Forget one entry, if it is there."""
        entry = self._entries.pop(key, None)
        self.held -= entry[1] if entry else 0

    def shrink(self, budget: int) -> None:
        """Forget the oldest entries until the rest fits; the newest stays."""
        while self.held > budget and len(self._entries) > 1:
            _, (_, size) = self._entries.popitem(last=False)
            self.held -= size

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.held = 0


class Preparer:
    """Runs the processor; the pixels of an image that was seen lately are not made again."""

    def __init__(self, loaded: Loaded, budget: int) -> None:
        """Keep at most ``budget`` bytes of pixels."""
        self._loaded = loaded
        self._single = type(loaded.processor).__name__ == "LlavaProcessor"
        self._seen: Recent[Pictures] = Recent(budget)

    def prepare(self, item: EngineRequest) -> Prepared:
        """Return the inputs of one request; see :func:`harness.engine.inputs.prepare`.

        Several images under one view stay together: the view sees them as one tensor.
        """
        joint = item.request.view is not None and len(item.images) > 1
        if not self._single or not item.images or joint:
            return prepare(self._loaded, item.request, item.rendered)
        pictures = tuple(self._picture(item, place) for place in range(len(item.images)))
        processor = self._loaded.processor
        if self._loaded.source.protocol == HF:
            ids = self._loaded.tokenizer(
                item.rendered, add_special_tokens=wants_special(self._loaded, item.rendered)
            )["input_ids"]
        else:
            places = [1] * len(pictures)
            ids = token_ids(self._loaded.tokenizer, item.rendered, places)
        image_token = processor.image_token_id
        if ids.count(image_token) != len(pictures):
            raise ValueError(
                f"the prompt has {ids.count(image_token)} places for images and the request "
                f"{len(pictures)} images; check that the chat template is this model's own, and "
                "not one for text"
            )
        waiting = iter(pictures)
        grown: list[int] = []
        for token in ids:
            grown.extend([token] * next(waiting).places if token == image_token else [token])
        return Prepared(item.request, tuple(grown), pictures, {})

    def clear(self) -> None:
        """Forget the pixels."""
        self._seen.clear()

    def _picture(self, item: EngineRequest, place: int) -> Pictures:
        view = item.request.view
        key = (item.images[place], repr(view))
        known = self._seen.get(key)
        if known is None:
            processor = self._loaded.processor
            image = item.request.images[place]
            check_resized(self._loaded.source.protocol, processor, [image])
            if self._loaded.source.protocol == HF:
                made = processor.image_processor(images=[image], return_tensors="pt")
            else:
                made = llava_image(processor, image)
            if processor.patch_size is None:
                raise ValueError(
                    "the processor knows no patch_size; write it into processor_config.json, as "
                    f"config.json has it: {_patch_size(self._loaded)}"
                )
            places = places_of(processor, made)
            known = pictures_of(dict(made), view, places)
            size = sum(value.nbytes for value in known.tensors.values())
            self._seen.put(key, known, size)
        return known


class Features:
    """Projected image features by content; the vision tower sees each content once."""

    def __init__(self, loaded: Loaded, budget: int) -> None:
        """Keep at most ``budget`` bytes of features."""
        self._loaded = loaded
        self._known: Recent[torch.Tensor] = Recent(budget)
        self.encoded = 0

    def of(self, wanted: Sequence[Pictures]) -> dict[str, torch.Tensor]:
        """Return ``(tokens, width)`` features by key, encoding what is not known."""
        distinct = {pictures.key: pictures for pictures in wanted}
        found: dict[str, torch.Tensor] = {}
        missing: dict[tuple[object, ...], list[Pictures]] = {}
        for key, pictures in distinct.items():
            known = self._known.get(key)
            if known is not None:
                found[key] = known
            else:
                missing.setdefault(_stackable(pictures), []).append(pictures)
        for shape, group in missing.items():
            step = 8 if shape else 1
            for at in range(0, len(group), step):
                found.update(self._encode(group[at : at + step]))
        return found

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()

    def _encode(self, group: Sequence[Pictures]) -> dict[str, torch.Tensor]:
        import torch

        loaded = self._loaded
        names = group[0].tensors
        inputs = {}
        for name in names:
            value = torch.cat([pictures.tensors[name] for pictures in group])
            kind = loaded.dtype if value.is_floating_point() else None
            inputs[name] = value.to(loaded.device, kind)
        encode: Callable[..., Any] = loaded.network.base_model.get_image_features
        accepted = inspect.signature(encode).parameters
        output = encode(**{k: v for k, v in inputs.items() if k in accepted}, return_dict=True)
        parts = [part.reshape(-1, part.shape[-1]) for part in output.pooler_output]
        if len(group) == 1:
            parts = [torch.cat(parts)]
        self.encoded += len(group)
        made = {}
        for pictures, part in zip(group, parts, strict=True):
            made[pictures.key] = part
            self._known.put(pictures.key, part, part.nbytes)
        return made


def _patch_size(loaded: Loaded) -> Any:
    return getattr(getattr(loaded.network.config, "vision_config", None), "patch_size", "unknown")


def _stackable(pictures: Pictures) -> tuple[object, ...]:
    """Return what images must have in common to go through the tower together.

    Only the plain case of one image with pixels alone is stacked; everything else goes alone,
    because families differ in how they lay out tiles, grids and masks.
    """
    pixels = pictures.tensors.get("pixel_values")
    alone = list(pictures.tensors) == ["pixel_values"] and pictures.places > 0
    return tuple(pixels.shape) if alone and pixels is not None and pixels.shape[0] == 1 else ()
