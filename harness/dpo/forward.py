"""The forward pass: packed where the family allows it, else one full row per answer.

Also what a family is asked before: whether the packed layout means the same to it as separate rows;
and image features that are kept from one visit of a row to the next.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from harness.dpo.packing import ATTENTION, attend, pack, trim_last_layer
from harness.dpo.rows import EncodedPair
from harness.engine import ANSWER_TYPES, why_not_shared
from harness.errors import HarnessError

PACKED_FAMILIES = ("idefics3", "internvl", "llava", "llava_next", "qwen2_5_vl", "smolvlm")
"""``model_type`` of the families whose packed results are tested against separate rows."""

MISFIT = (
    "Compare the sizes of patches and tiles in the checkpoint's processor_config.json with its "
    "config.json."
)


def why_plain(network: Any) -> str | None:
    """Say why this model cannot take packed rows, or ``None`` when it can."""
    text = network.config.get_text_config()
    rope = getattr(text, "rope_parameters", None) or getattr(text, "rope_scaling", None) or {}
    if network.config.model_type not in PACKED_FAMILIES:
        return f"the family '{network.config.model_type}' is not known to be safe to pack"
    if (reason := why_not_shared(network)) is not None:
        return reason
    if rope.get("rope_type", rope.get("type", "default")) in ("dynamic", "longrope"):
        return "its positions depend on the length of the whole sequence"
    if not getattr(network.get_decoder(), "_supports_attention_backend", False):
        return "its language model has an attention of its own"
    return None


def private_copy(network: nn.Module) -> nn.Module:
    """Copy the module tree but share the weights: training cannot leave a trace on the original.

    Adapters, hooks, flags and configuration land on the copy; the weights are the same memory,
    frozen.
    """
    shared: dict[int, Any] = {}
    for weight in network.parameters():
        shared[id(weight)] = nn.Parameter(weight.detach(), requires_grad=False)
    for buffer in network.buffers():
        shared[id(buffer)] = buffer
    made: nn.Module = copy.deepcopy(network, shared)
    return made


def use_packed_attention(network: Any) -> None:
    """Give the language model of a private copy the packed attention; the tower keeps its own."""
    from transformers import AttentionInterface

    AttentionInterface.register(ATTENTION, attend)
    network.set_attn_implementation({"text_config": ATTENTION})
    network.config.trimmed_last_layer = trim_last_layer(network)


def image_features(
    network: Any, vision: Sequence[Mapping[str, Tensor]], *, grad: bool
) -> list[Tensor]:
    """Run vision tower and projector once; one ``(tokens, hidden)`` tensor per prefix.

    ``grad`` says whether the projector or the tower is being trained.
    """
    encode = network.get_image_features
    with torch.set_grad_enabled(grad and torch.is_grad_enabled()):
        if {(*one, len(one.get("pixel_values", ()))) for one in vision} == {("pixel_values", 1)}:
            pixels = torch.cat([one["pixel_values"] for one in vision])
            return list(encode(pixels, return_dict=True).pooler_output)
        # Families differ in how they lay out tiles, grids and masks, so each row's go alone.
        none = torch.zeros(0, network.config.get_text_config().hidden_size, device=network.device)
        made = [encode(**one, return_dict=True).pooler_output if one else (none,) for one in vision]
        return [torch.cat(tuple(parts)) for parts in made]


def embed(
    network: Any, ids: Tensor, features: Sequence[Tensor], rows: Sequence[EncodedPair]
) -> Tensor:
    """Put the image features in the place of their tokens; ``(1, T, hidden)``.

    Raises:
        HarnessError: if an image has not as many tokens as features; it names the pair.
    """
    token = network.config.image_token_id
    prefixes = [(row.name, prefix.prompt) for row in rows for prefix in row.prefixes]
    for (name, prompt), feature in zip(prefixes, features, strict=True):
        count = sum(id_ == token for id_ in prompt)
        if count != len(feature):
            raise HarnessError(
                f"The image of {name} gives {len(feature)} features for {count} image tokens. "
                + MISFIT
            )
    words = network.get_input_embeddings()
    trained = any(weight.requires_grad for weight in words.parameters())
    with torch.set_grad_enabled(trained and torch.is_grad_enabled()):
        hidden = words(ids)
    if not trained:  # checkpointing with PEFT hooks the embedding to require a gradient
        hidden = hidden.detach()
    flat = torch.cat(list(features)).to(hidden.dtype)
    placed: Tensor = hidden.masked_scatter((ids == token)[..., None], flat)
    return placed


def packed_logits(
    model: Any, network: Any, batch: Mapping[str, Any], features: Sequence[Tensor]
) -> Tensor:
    """Return ``(A, V)`` logits of the scored tokens of a packed batch.

    ``model`` is what is called: the network in its adapter, and whatever wraps that.
    """
    hidden = embed(network, batch["input_ids"], features, batch["rows"])
    out = model(
        inputs_embeds=hidden,
        position_ids=_positions(network, batch),
        logits_to_keep=batch["keep_trimmed" if network.config.trimmed_last_layer else "keep"],
        layout=batch["layout"],
        use_cache=False,
    )
    logits: Tensor = out.logits[0]
    return logits


def _positions(network: Any, batch: Mapping[str, Any]) -> Tensor:
    """Return ``(1, T)`` positions, or ``(3, 1, T)`` where images have time, height and width.

    There the model itself places a prompt; answers continue behind it, shifted by what the image
    takes less than its tokens.
    """
    flat: Tensor = batch["position_ids"]
    place = getattr(network.base_model, "get_rope_index", None)
    if place is None:
        return flat
    placed = flat.repeat(3, 1, 1)
    prefixes = [prefix for row in batch["rows"] for prefix in row.prefixes]
    for prefix, block, vision in zip(
        prefixes, batch["layout"].blocks, batch["vision"], strict=True
    ):
        prompt = slice(block.start, block.start + block.prefix)
        # On the CPU: the function reads its numbers one by one, and a GPU would be waited for.
        types = {key: torch.tensor([values]) for key, values in prefix.extra.items()}
        grids = vision["image_grid_thw"].cpu() if vision else None
        found, shift = place(torch.tensor([prefix.prompt]), image_grid_thw=grids, **types)
        placed[..., prompt] = found.to(placed.device)
        placed[..., prompt.stop : block.end] += shift.to(placed.device)
    return placed


def plain_logits(model: Any, network: Any, batch: Mapping[str, Any]) -> Tensor:
    """Return ``(A, V)`` logits of the scored tokens of a batch with one row per answer.

    Raises:
        HarnessError: if the model refuses the batch, such as for a wrong number of image tokens.
    """
    ends: int = batch["ends"]
    able = "logits_to_keep" in inspect.signature(network.forward).parameters
    try:
        out = model(
            input_ids=batch["input_ids"],
            attention_mask=batch["attention_mask"],
            use_cache=False,
            **batch["vision"],
            **batch["extra"],
            **({"logits_to_keep": ends} if able else {}),
        )
    except ValueError as error:
        names = ", ".join(row.name for row in batch["rows"])
        raise HarnessError(f"The model refuses the batch of {names}: {error}. {MISFIT}") from error
    logits: Tensor = out.logits[:, -ends:][batch["at_row"], batch["keep"]]
    return logits


def collate(
    rows: Sequence[EncodedPair], *, packed: bool, padding: int = 0, family: str = ""
) -> dict[str, Any]:
    """Make a batch: token tensors for the chosen path, and what both paths share.

    Returns:
        See :func:`harness.dpo.packing.pack`; besides, ``rows`` the rows without their pixels,
        ``counts`` ``(B,)`` answers per row, ``lengths`` ``(N,)`` scored tokens per answer.
    """
    batch = pack(rows) if packed else _pad(rows, padding, ANSWER_TYPES.get(family, {}))
    batch["rows"] = tuple(row.without_pixels() for row in rows)
    batch["counts"] = torch.tensor([len(row.answers) for row in rows])
    batch["lengths"] = torch.tensor([len(answer) for row in rows for answer in row.answers])
    return batch


def _pad(rows: Sequence[EncodedPair], padding: int, types: Mapping[str, int]) -> dict[str, Any]:
    """One right-padded row per answer, each with its image."""
    whole = [
        (row.prefixes[at], answer)
        for row in rows
        for answer, at in zip(row.answers, row.prefix_of, strict=True)
    ]
    width = max(len(prefix.prompt) + len(answer) for prefix, answer in whole)
    first = min(len(prefix.prompt) for prefix, _ in whole) - 1
    ids = torch.full((len(whole), width), padding)
    mask = torch.zeros(len(whole), width, dtype=torch.long)
    at_row: list[int] = []
    keep: list[int] = []
    labels: list[int] = []
    for number, (prefix, answer) in enumerate(whole):
        begin, length = len(prefix.prompt), len(prefix.prompt) + len(answer)
        ids[number, :length] = torch.tensor([*prefix.prompt, *answer])
        mask[number, :length] = 1
        at_row += [number] * len(answer)
        keep += range(begin - 1 - first, length - 1 - first)
        labels += answer
    extra = {
        key: torch.stack([_grown(its.extra[key], width, types.get(key, 0)) for its, _ in whole])
        for key in rows[0].extra
    }
    return {
        "input_ids": ids,
        "attention_mask": mask,
        "at_row": torch.tensor(at_row),
        "keep": torch.tensor(keep),
        "ends": width - first,
        "labels": torch.tensor(labels),
        "owner": torch.tensor(at_row),
        "vision": {
            key: _joined([its.vision[key] for its, _ in whole if its.vision])
            for key in dict.fromkeys(key for its, _ in whole for key in its.vision)
        },
        "extra": extra,
    }


def _grown(values: Sequence[Any], width: int, answer: int) -> Tensor:
    """Say of an answer's tokens what generation says: a type, or the last row of a mask."""
    known = torch.tensor(values)
    fill = known[-1:] if known.ndim > 1 else known.new_tensor([answer])
    return torch.cat([known, fill.expand(width - len(known), *known.shape[1:])])


def _joined(parts: Sequence[Tensor]) -> Tensor:
    """Put the rows' tensors behind each other, smaller ones filled with zeros as processors do."""
    size = [max(sizes) for sizes in zip(*(part.shape[1:] for part in parts), strict=True)]
    joined = parts[0].new_zeros(sum(map(len, parts)), *size)
    at = 0
    for part in parts:
        joined[(slice(at, at + len(part)), *map(slice, part.shape[1:]))] = part
        at += len(part)
    return joined


class FeatureCache:
    """Features of frozen tower and projector, held in the host's memory up to a limit.

    Each image is read alone, so that its features are the same bytes whatever batch it is in and
    whether they were kept or not.

    Attributes:
        limit: bytes.
        held: bytes that are kept now.
        computed: how many images were read.
    """

    def __init__(self, limit: float) -> None:
        """Begin with nothing."""
        self.limit, self.held, self.computed = limit, 0, 0
        self._kept: dict[str, Tensor] = {}

    def of(
        self, network: Any, vision: Sequence[Mapping[str, Tensor]], keys: Sequence[str]
    ) -> list[Tensor]:
        """Return what :func:`~harness.dpo.forward.image_features` does, one tensor for each row."""
        return [self._one(network, one, key) for one, key in zip(vision, keys, strict=True)]

    def _one(self, network: Any, vision: Mapping[str, Tensor], key: str) -> Tensor:
        if vision and key in self._kept:
            return self._kept[key].to(vision["pixel_values"].device)
        (made,) = image_features(network, [vision], grad=False)
        self.computed += 1
        if self.held + made.nbytes <= self.limit:
            self.held += made.nbytes
            # A copy: what the tower returns may be a view of something larger.
            self._kept[key] = made.detach().clone().cpu()
        return made
