"""From row numbers to a batch: images are opened when their batch is made."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from harness.dpo.encoding import Encoder
from harness.dpo.forward import collate
from harness.records import Pair
from harness.storage import read_json, write_json


class Collator:
    """Opens the images of a batch and packs its rows; called by the data loader.

    Attributes:
        cut: of each row seen so far, how many answers end without an end token, and of how many.
    """

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
        self.cut: dict[int, tuple[int, int]] = {}

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Make the batch of the examples' ``row`` numbers."""
        numbers = [int(example["row"]) for example in examples]
        rows = [self.encoder.encode(number, self.pairs[number]) for number in numbers]
        self.cut.update((row.index, (row.cut, len(row.answers))) for row in rows)
        padding = self.encoder.tokenizer.pad_token_id or 0
        batch = collate(rows, packed=self.packed, padding=padding, family=self.family)
        if self.keyed:
            batch["keys"] = [pixel_key(vision) for vision in batch["vision"]]
        return batch

    def save(self, folder: Path, process: int) -> None:
        """Store which answers were cut, so that a training that continues knows of all its rows."""
        write_json(folder / f"cut-{process}.json", [[row, *cut] for row, cut in self.cut.items()])

    def load(self, folder: Path, process: int) -> None:
        """Add what :meth:`save` stored, if anything."""
        path = folder / f"cut-{process}.json"
        if path.is_file():
            self.cut.update((row, (cut, count)) for row, cut, count in read_json(path))


def pixel_key(vision: Mapping[str, Tensor]) -> str:
    """Hash what the tower reads of a row, so that another view of an image is another key."""
    made = hashlib.sha256()
    for name, value in sorted(vision.items()):
        made.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        made.update(value.contiguous().numpy().tobytes())
    return made.hexdigest()
