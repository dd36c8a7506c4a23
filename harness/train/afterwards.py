"""What may follow a training: the image ablation, and a merged checkpoint.

Both are kept with the checkpoint's hash, so a finished run does neither again.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import dpo, progress
from harness.errors import UsageError
from harness.records import Pair, fingerprint
from harness.storage import Memo
from harness.train.checkpoint import Checkpoint

IMAGE_ABLATION, MERGED = "image_ablation.json", "merged"
_NAME_BEFORE = "canary.json"  # of the version before
_PAIRS, _MERGED_ON = 64, 16


@dataclass(frozen=True)
class Ablation:
    """What blanking the images of the pairs does to their answers, before and after training.

    Attributes:
        before: figures of the model before; names as in :class:`harness.dpo.ImageAblation`.
        after: the same with the trained adapter.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def note(self) -> str:
        """One to two sentences for a reader."""
        before, after = self.before, self.after
        falls = [each["chosen"] - each["chosen_blank"] for each in (before, after)]
        told = (
            f"Image ablation: blanking the images of {after['pairs']:.0f} pairs lowers the "
            f"log-probability of the chosen answers by {falls[1]:.2f} nats on average "
            f"({falls[0]:.2f} before training), and does so for {after['drops']:.0%} of them "
            f"({before['drops']:.0%} before)."
        )
        if falls[1] <= 0 or after["drops"] <= 0.5:
            return f"{told} The trained model does not need the image to give these answers."
        if falls[1] < falls[0] / 2:
            return f"{told} It depends on the image less than half as much as before training."
        return told


def ablation(
    checkpoint: Checkpoint, pairs: Sequence[Pair], model: Any, folder: Path, *, limit: int = _PAIRS
) -> Ablation:
    """Blank the images of some pairs, before and after training, and see what that does.

    Args:
        checkpoint: what was trained.
        pairs: what it was trained on; the first ``limit`` are scored.
        model: the model before.
        folder: the run folder; ``image_ablation.json`` in it keeps the figures.
        limit: how many pairs.

    Raises:
        UsageError: if the method trains a full model, which has no adapter to take off.
    """
    if not checkpoint.adapter:
        raise UsageError(
            "--image-ablation scores the pairs with and without the trained adapter, but this "
            f"method leaves a full model in {checkpoint.path}. Leave --image-ablation out."
        )
    chosen = tuple(pairs[:limit])
    stamp = fingerprint(checkpoint.digest, [(p.prompt.id, p.chosen, p.rejected) for p in chosen])
    found = _ablation(folder, stamp)
    if found is None:
        with progress.bar("image ablation", total=2, unit="passes") as bar:
            before = dpo.image_ablation(chosen, model, limit=limit)
            bar.advance(1, "the trained model")
            after = dpo.image_ablation(chosen, model, checkpoint.path, limit=limit)
            bar.advance(1)
        found = Ablation(dataclasses.asdict(before), dataclasses.asdict(after))
        memo = Memo(folder / IMAGE_ABLATION)
        memo.write(stamp, before=found.before, after=found.after)
    return found


def kept_ablation(folder: Path) -> Ablation | None:
    """Return what :func:`ablation` kept in a run folder, or ``None``."""
    return _ablation(folder)


def _ablation(folder: Path, stamp: str | None = None) -> Ablation | None:
    for name in (IMAGE_ABLATION, _NAME_BEFORE):
        content = Memo(folder / name).read(stamp) or {}
        before, after = content.get("before"), content.get("after")
        if isinstance(before, dict) and isinstance(after, dict):
            return Ablation(before, after)
    return None


def merged(
    checkpoint: Checkpoint,
    model: Any,
    folder: Path,
    pairs: Sequence[Pair] = (),
    dtype: str = "auto",
) -> Path:
    """Write base and adapter as one checkpoint into ``merged``, unless it is there.

    Args:
        checkpoint: what was trained.
        model: the model before.
        folder: the run folder.
        pairs: what it was trained on; the margin gain of some of them has to be kept.
        dtype: number format of what is written; see :func:`harness.dpo.merge`.

    Returns:
        Its folder; the checkpoint itself where the method trains a full model.
    """
    if not checkpoint.adapter:
        return checkpoint.path
    out, memo = folder / MERGED, Memo(folder / f"{MERGED}.json", key="adapter")
    stamp = checkpoint.digest + (f" {dtype}" if dtype != "auto" else "")
    if out.is_dir() and memo.read(stamp) is not None:
        return out
    part = out.with_name(f".{MERGED}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    dpo.merge(model.path, checkpoint.path, part, dtype=dtype, pairs=pairs[:_MERGED_ON])
    part.rename(out)
    memo.write(stamp)
    return out
