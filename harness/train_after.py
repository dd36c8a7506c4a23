"""What may follow a training: the canary that asks for the image, and a merged checkpoint.

Both are kept beside the checkpoint with its hash, so a finished run does neither again.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import dpo, progress
from harness.errors import UsageError
from harness.folder import write_json
from harness.records import Pair, fingerprint
from harness.train import Checkpoint

CANARY, MERGED = "canary.json", "merged"
_PAIRS = 64


def canary_note(
    checkpoint: Checkpoint, pairs: Sequence[Pair], model: Any, folder: Path, *, limit: int = _PAIRS
) -> str:
    """Blank the images of some pairs, before and after training, and say what that does.

    Args:
        checkpoint: what was trained.
        pairs: what it was trained on; the first ``limit`` are scored.
        model: the model before.
        folder: the run folder; ``canary.json`` in it keeps the figures.
        limit: how many pairs.

    Returns:
        A sentence for the report.

    Raises:
        UsageError: if the method trains a full model, which has no adapter to take off.
    """
    if not checkpoint.adapter:
        raise UsageError(
            "--canary scores the pairs with and without the trained adapter, but this method "
            f"leaves a full model in {checkpoint.path}. Leave --canary out."
        )
    chosen = tuple(pairs[:limit])
    stamp = fingerprint(checkpoint.digest, [(p.prompt.id, p.chosen, p.rejected) for p in chosen])
    known = _read(folder / CANARY)
    if known.get("fingerprint") != stamp:
        with progress.bar("canary", total=2, unit="passes") as bar:
            before = dpo.canary(chosen, model, limit=limit)
            bar.advance(1, "the trained model")
            after = dpo.canary(chosen, model, checkpoint.path, limit=limit)
            bar.advance(1)
        known = {
            "fingerprint": stamp,
            "before": dataclasses.asdict(before),
            "after": dataclasses.asdict(after),
        }
        write_json(folder / CANARY, known)
    return _sentence(known["before"], known["after"])


def merged(checkpoint: Checkpoint, model: Any, folder: Path) -> Path:
    """Write base and adapter as one checkpoint into ``merged``, unless it is there.

    Returns:
        Its folder; the checkpoint itself where the method trains a full model.
    """
    if not checkpoint.adapter:
        return checkpoint.path
    out, note = folder / MERGED, folder / f"{MERGED}.json"
    if out.is_dir() and _read(note).get("adapter") == checkpoint.digest:
        return out
    part = out.with_name(f".{MERGED}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    dpo.merge(model.path, checkpoint.path, part)
    part.rename(out)
    write_json(note, {"adapter": checkpoint.digest})
    return out


def _sentence(before: dict[str, float], after: dict[str, float]) -> str:
    falls = [each["chosen"] - each["chosen_blank"] for each in (before, after)]
    told = (
        f"Canary: blanking the images of {after['pairs']} pairs lowers the log-probability of the "
        f"chosen answers by {falls[1]:.2f} nats on average ({falls[0]:.2f} before training), and "
        f"does so for {after['drops']:.0%} of them ({before['drops']:.0%} before)."
    )
    if falls[1] <= 0 or after["drops"] <= 0.5:
        return f"{told} The trained model does not need the image to give these answers."
    if falls[1] < falls[0] / 2:
        return f"{told} It depends on the image less than half as much as before training."
    return told


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
