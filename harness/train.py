"""Room 3: let the method train, and know for certain whether a checkpoint is the one asked for.

``training.json`` beside the checkpoint names the inputs it was (or is being) trained from and, once
done, the hash of every file. Another fingerprint clears the folder; the same one lets the method's
trainer continue where it was killed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import progress
from harness.errors import HarnessError
from harness.folder import folder_digest, write_json
from harness.plugins import Method
from harness.records import Pair


@dataclass(frozen=True)
class Checkpoint:
    """A trained checkpoint: its folder, the hash of its files, and whether it was trained now.

    Attributes:
        path: the folder.
        digest: hash over the names and bytes of its files.
        adapter: whether it is a LoRA adapter for the base model or a model of its own.
        reused: whether an earlier call had trained it.
    """

    path: Path
    digest: str
    adapter: bool
    reused: bool


def train(
    method: Method,
    pairs: Sequence[Pair],
    model: Any,
    options: Any,
    *,
    seed: int,
    folder: Path,
    fingerprint: str,
) -> Checkpoint:
    """Return the run's checkpoint, trained now unless the same one is there, whole.

    Raises:
        HarnessError: if the method fails or leaves no checkpoint that could be loaded.
    """
    out = folder / "checkpoint"
    state = _state(folder)
    if state.get("fingerprint") != fingerprint:
        shutil.rmtree(out, ignore_errors=True)
    elif state.get("files") is not None:
        made = _existing(folder, state)
        if made is not None:
            return made
        progress.say("The checkpoint's files were changed since it was trained; training again.")
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    write_json(folder / "training.json", {"fingerprint": fingerprint, "files": None})
    path = method.train(pairs, model, options, out, seed)
    adapter = _check(method, path, out)
    digest = folder_digest(path)
    done = {
        "fingerprint": fingerprint,
        "files": digest,
        "path": path.relative_to(folder).as_posix(),
        "adapter": adapter,
    }
    write_json(folder / "training.json", done)
    return Checkpoint(path, digest, adapter, reused=False)


def _state(folder: Path) -> dict[str, Any]:
    try:
        state = json.loads((folder / "training.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return state if isinstance(state, dict) else {}


def _existing(folder: Path, state: dict[str, Any]) -> Checkpoint | None:
    path = folder / str(state.get("path"))
    if not path.is_dir() or folder_digest(path) != state["files"]:
        return None
    return Checkpoint(path, state["files"], bool(state.get("adapter")), reused=True)


def _check(method: Method, path: Path, out: Path) -> bool:
    who = f"The method '{method.name}' ({method.owner})"
    if not path.resolve().is_relative_to(out.resolve()):
        raise HarnessError(
            f"{who} wrote its checkpoint to {path}, outside of the folder it was given ({out}). "
            "A checkpoint must lie in the run folder, or later runs could not trust it."
        )
    adapter = (path / "adapter_config.json").is_file()
    if not list(path.glob("*.safetensors")) or not (adapter or (path / "config.json").is_file()):
        raise HarnessError(
            f"{who} left no checkpoint in {path}: expected *.safetensors with adapter_config.json "
            f"(LoRA) or config.json (a model). Test it with: harness check --method {method.name}"
        )
    return adapter
