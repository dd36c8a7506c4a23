"""What a training needs to continue, stored without pickle: safetensors for tensors, JSON beside.

``torch.load`` can run code that someone put into a file. Nothing here can: tensors are read by
safetensors, the rest is numbers in JSON, and both are checked while they are read.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from harness.errors import HarnessError
from harness.storage import file_digest, read_json, write_json

_WEIGHTS = "trained.safetensors"
MARKER = "complete.json"
"""Written last into a checkpoint: the SHA-256 of each of its files."""


def _read(path: Path) -> Any:
    try:
        return read_json(path)
    except (OSError, ValueError) as error:
        raise HarnessError(
            f"The training checkpoint cannot be continued: {path} is not readable ({error}). "
            f"Delete {path.parent} and run again; training restarts from the one before."
        ) from error


def _save_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    # A copy each: safetensors refuses tensors that share memory.
    save_file({name: value.detach().cpu().clone() for name, value in tensors.items()}, part)
    part.replace(path)


def _load_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except Exception as error:
        raise HarnessError(
            f"The training checkpoint cannot be continued: {path} is damaged ({error}). "
            f"Delete {path.parent} and run again; training restarts from the one before."
        ) from error


def save_state(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Store optimiser and learning-rate schedule as ``optimizer.*`` and ``scheduler.json``."""
    state = optimizer.state_dict()
    tensors: dict[str, Tensor] = {}
    numbers: dict[str, dict[str, Any]] = {}
    for key, entry in state["state"].items():
        numbers[str(key)] = {}
        for name, value in entry.items():
            if isinstance(value, Tensor):
                tensors[f"{key}/{name}"] = value
            else:
                numbers[str(key)][name] = value
    _save_tensors(folder / "optimizer.safetensors", tensors)
    write_json(folder / "optimizer.json", {"state": numbers, "param_groups": state["param_groups"]})
    write_json(folder / "scheduler.json", scheduler.state_dict())


def load_state(folder: Path, optimizer: Any, scheduler: Any) -> None:
    """Restore what :func:`save_state` stored.

    Raises:
        HarnessError: if a file is missing or damaged.
    """
    stored = _read(folder / "optimizer.json")
    state: dict[int, dict[str, Any]] = {int(key): dict(e) for key, e in stored["state"].items()}
    for name, value in _load_tensors(folder / "optimizer.safetensors").items():
        key, _, field = name.partition("/")
        state.setdefault(int(key), {})[field] = value
    optimizer.load_state_dict({"state": state, "param_groups": stored["param_groups"]})
    scheduler.load_state_dict(_read(folder / "scheduler.json"))


def save_weights(folder: Path, network: Any) -> None:
    """Store the trained weights of a network, not its frozen ones."""
    _save_tensors(
        folder / _WEIGHTS,
        {name: weight for name, weight in network.named_parameters() if weight.requires_grad},
    )


def load_weights(folder: Path, network: Any) -> None:
    """Restore what :func:`save_weights` stored.

    Raises:
        HarnessError: if the file is missing, damaged, or of another network.
    """
    stored = _load_tensors(folder / _WEIGHTS)
    own = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
    if own.keys() != stored.keys():
        raise HarnessError(
            f"The training checkpoint cannot be continued: {folder / _WEIGHTS} holds other "
            f"weights than are trained. Delete {folder} and run again."
        )
    with torch.no_grad():
        for name, weight in own.items():
            weight.copy_(stored[name])


def save_random(folder: Path, process: int) -> None:
    """Store the states of Python's, NumPy's and torch's random generators of one process."""
    kind, keys, *rest = np.random.get_state()
    version, internal, gauss = random.getstate()
    tensors = {"torch": torch.get_rng_state(), "numpy": torch.from_numpy(np.array(keys, "int64"))}
    if torch.cuda.is_available():
        tensors["cuda"] = torch.cuda.get_rng_state()
    _save_tensors(folder / f"random-{process}.safetensors", tensors)
    content = {"numpy": [kind, *rest], "python": [version, list(internal), gauss]}
    write_json(folder / f"random-{process}.json", content)


def load_random(folder: Path, process: int) -> None:
    """Restore what :func:`save_random` stored; a process that was not there keeps its own."""
    if not (folder / f"random-{process}.json").is_file():
        return
    content = _read(folder / f"random-{process}.json")
    tensors = _load_tensors(folder / f"random-{process}.safetensors")
    kind, *rest = content["numpy"]
    np.random.set_state((kind, tensors["numpy"].numpy().astype("uint32"), *rest))
    version, internal, gauss = content["python"]
    random.setstate((version, tuple(internal), gauss))
    torch.set_rng_state(tensors["torch"])
    if "cuda" in tensors and torch.cuda.is_available():
        torch.cuda.set_rng_state(tensors["cuda"])


def seal(folder: Path) -> None:
    """Declare a checkpoint complete: the hash of each file, written last and at once."""
    files = {
        path.relative_to(folder).as_posix(): file_digest(path)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MARKER
    }
    write_json(folder / MARKER, files)


def is_complete(folder: Path) -> bool:
    """Whether a checkpoint was sealed and still has all its files as they were."""
    try:
        files = read_json(folder / MARKER)
        return all(file_digest(folder / name) == digest for name, digest in files.items())
    except (OSError, ValueError, AttributeError):
        return False


def latest(folder: Path) -> Path | None:
    """Return the newest complete ``checkpoint-N`` in a folder."""
    found = [path for path in folder.glob("checkpoint-*") if path.name[11:].isdigit()]
    for path in sorted(found, key=lambda path: int(path.name[11:]), reverse=True):
        if is_complete(path):
            return path
    return None


class References:
    """Reference log-probabilities of the answers seen so far, by row of the training set.

    They are computed at a row's first visit, in the pass that needs them, and looked up at later
    ones. They travel with each checkpoint, because recomputing them in another batch could differ
    in the last bit.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._kept: dict[int, Tensor] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, row: int) -> bool:
        return row in self._kept

    def get(self, rows: Sequence[int]) -> Tensor:
        """Return the values of all answers of these rows, flat ``(N,)``."""
        return torch.cat([self._kept[row] for row in rows])

    def put(self, rows: Sequence[int], counts: Sequence[int], values: Tensor) -> None:
        """Keep ``values`` ``(N,)`` of rows with ``counts`` answers each; the first value stays."""
        flat, at = values.detach().cpu(), 0
        for row, count in zip(rows, counts, strict=True):
            self._kept.setdefault(row, flat[at : at + count].clone())
            at += count

    def save(self, folder: Path, process: int) -> None:
        """Store everything kept as ``reference-<process>.safetensors``."""
        if self._kept:
            tensors = {str(row): value for row, value in self._kept.items()}
            _save_tensors(folder / f"reference-{process}.safetensors", tensors)

    def load(self, folder: Path, process: int) -> None:
        """Add what :meth:`save` stored, if anything."""
        path = folder / f"reference-{process}.safetensors"
        if path.is_file():
            self._kept.update((int(row), value) for row, value in _load_tensors(path).items())
