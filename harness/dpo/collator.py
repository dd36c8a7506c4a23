"""From row numbers to a batch: images are opened when their batch is made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from harness.dpo.encoding import Encoder
from harness.dpo.forward import collate
from harness.records import Pair


class Collator:
    """Opens the images of a batch and packs its rows; called by the data loader."""

    def __init__(
        self,
        pairs: Sequence[Pair],
        encoder: Encoder,
        *,
        packed: bool,
        family: str = "",
        keyed: bool = False,
    ) -> None:
        """Remember the pairs; nothing is opened yet. ``keyed`` batches tell images apart."""
        self.pairs, self.encoder, self.packed = pairs, encoder, packed
        self.family, self.keyed = family, keyed
        self._cut: dict[int, tuple[int, int]] = {}

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Make the batch of the examples' ``row`` numbers."""
        numbers = [int(example["row"]) for example in examples]
        rows = [self.encoder.encode(number, self.pairs[number]) for number in numbers]
        self._cut.update((row.index, (row.cut, len(row.answers))) for row in rows)
        padding = self.encoder.tokenizer.pad_token_id or 0
        batch = collate(rows, packed=self.packed, padding=padding, family=self.family)
        if self.keyed:
            batch["keys"] = [pixel_key(vision) for vision in batch["vision"]]
        return batch

    @property
    def cut_share(self) -> float:
        """Share of the answers seen so far that end without an end token."""
        answers = sum(count for _, count in self._cut.values())
        return sum(cut for cut, _ in self._cut.values()) / answers if answers else 0.0


def pixel_key(vision: Mapping[str, Tensor]) -> str:
    """Hash what the tower reads of a row, so that another view of an image is another key."""
    made = hashlib.sha256()
    for name, value in sorted(vision.items()):
        made.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        made.update(value.contiguous().numpy().tobytes())
    return made.hexdigest()
