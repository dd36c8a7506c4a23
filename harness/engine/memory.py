"""How much a batch may take: a byte budget, by default a part of the free memory. Needs torch.

A container or a batch job may have a limit far below what the machine has free. Linux names it in
the files of the control group (v2: ``memory.max``; v1: ``memory.limit_in_bytes``), and every group
above it may have a limit of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engine.loading import Loaded
from harness.engine.prefixes import Job

_MOUNT, _OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_V2 = ("memory.max", "memory.current", "inactive_file")
_UNKNOWN = 2 << 30
"""Bytes that are taken for free where the system does not say."""
_V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def available() -> int:
    """Return the bytes that a process may still take, what the system only caches included."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found = next(line for line in lines if line.startswith("MemAvailable:"))
        free = int(found.split()[1]) * 1024
    except (OSError, StopIteration, ValueError, IndexError):
        return unused()
    return _limited(free)


def unused() -> int:
    """Return the bytes that nothing holds, not even the system's cache."""
    try:
        free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # no such number on macOS, no call on Windows
        free = _UNKNOWN
    return _limited(free)


def group_left(mount: Path = _MOUNT, own: Path = _OWN) -> int | None:
    """Return the bytes that this process's control groups leave it, or ``None`` without a limit."""
    return min(_each_left(mount, own), default=None)


def _limited(free: int) -> int:
    left = group_left()
    return free if left is None else min(free, left)


def _each_left(mount: Path, own: Path) -> Iterator[int]:
    """Yield what is left under the limit of every group from a process's own to the root."""
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root, files = (mount / "memory", _V1) if controllers else (mount, _V2)
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            if (left := _left(folder, *files)) is not None:
                yield left
            if folder == root:
                break


def _left(folder: Path, limit: str, used: str, cached: str) -> int | None:
    """Return what a group may still take; its file cache gives way, so it counts as free."""
    try:
        most = int((folder / limit).read_text(encoding="ascii"))
        taken = int((folder / used).read_text(encoding="ascii"))
        stat = (folder / "memory.stat").read_text(encoding="ascii").split()
        return max(0, most - taken + int(stat[stat.index(cached) + 1]))
    except (OSError, ValueError, IndexError):  # "max": no limit; or no such file: no such group
        return None


def give_back() -> None:
    """Return heap pages that lie free between kept tensors; glibc keeps them by itself."""
    with contextlib.suppress(OSError, AttributeError, TypeError):  # only glibc has malloc_trim
        ctypes.CDLL(None).malloc_trim(0)


_CPU_SHARE, _GPU_SHARE = 0.25, 0.8
_CPU_ROWS, _GPU_ROWS = 64, 256
_CPU_TOKENS, _GPU_TOKENS = 4096, 16384
_CPU_KEPT = 256 << 20
"""Most bytes that all processes of a machine keep on CPUs, however much is free; or as many as the
weights have. With more, six benchmarks of the demo took the same processor time."""
_PIXELS = 256 << 20


@dataclass
class Budget:
    """Limits of one batch. Shrinks when memory ran out all the same.

    Attributes:
        pixels: bytes for kept inputs of the vision tower, on the host.
        features: bytes for kept image features.
        segments: bytes for kept shared beginnings.
        working: bytes for the keys and values of a batch.
        token_bytes: keys and values of one token, in bytes.
        rows: most answers in one batch.
        tokens: most prompt tokens in one pass.
        positions: longest sequence that the model knows; ``None`` where its config names none.
        free: bytes that one answer alone may take.
        scores: bytes of attention scores for each pair of a prompt's tokens, where they are all
            held at once; a GPU that runs out of memory is met when it does.
    """

    pixels: int
    features: int
    segments: int
    working: int
    token_bytes: int
    rows: int
    tokens: int
    positions: int | None
    free: int
    scores: int

    @classmethod
    def of(cls, loaded: Loaded, memory: int | None) -> Budget:
        """Divide ``memory`` bytes, or this process's share of a part of what is free."""
        on_gpu = loaded.device.type == "cuda"
        sharing = 1 if on_gpu else int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        free = _free(loaded.device)
        total = free // sharing if memory is None else memory
        kept = total * 4 // 10
        if memory is None and not on_gpu:
            weights = sum(value.nbytes for value in loaded.network.parameters())
            kept = min(kept, max(_CPU_KEPT, weights) // sharing)
        return cls(
            pixels=min(_PIXELS, kept // 4),
            features=kept // 4,
            segments=kept * 3 // 4,
            working=total // 2,
            token_bytes=token_bytes(loaded),
            rows=_GPU_ROWS if on_gpu else _CPU_ROWS,
            tokens=_GPU_TOKENS if on_gpu else _CPU_TOKENS,
            positions=positions_of(loaded.network.config.get_text_config()),
            free=free if on_gpu else available(),
            scores=0 if on_gpu else 2 * 4 * _heads(loaded),
        )

    def refuses(self, prompt: int, new: int) -> str | None:
        """Say why a prompt of this length is not computed, or ``None``."""
        if self.positions is not None and prompt >= self.positions:
            return (
                f"refused: prompt of {prompt:,} tokens, the model has {self.positions:,} positions"
            )
        needed = (prompt + new) * self.token_bytes + prompt**2 * self.scores
        if needed > self.free:
            return (
                f"refused: prompt of {prompt:,} tokens and answer of {new:,} need "
                f"{needed / 1e9:.1f} GB, and {self.free / 1e9:.1f} GB are free"
            )
        return None

    def fits(self, jobs: Sequence[Job]) -> bool:
        """Tell whether these jobs may be computed together."""
        rows = sum(len(job.members) for job in jobs)
        prompt = sum(job.rest for job in jobs)
        own = rows * max(job.rest + job.new for job in jobs) + sum(
            (job.rest + 8) * job.choices for job in jobs
        )
        nodes = {job.node for job in jobs}
        prefixes = len(nodes) * max(job.shared for job in jobs)
        needed = (own + prefixes) * self.token_bytes
        return rows <= self.rows and prompt <= self.tokens and needed <= self.working

    def shrink(self, rows: int) -> None:
        """Remember that a batch of ``rows`` answers was too large."""
        self.rows = max(1, min(self.rows, rows // 2))
        self.segments = self.segments // 2


def positions_of(config: Any) -> int | None:
    """Return the longest sequence that a decoder knows, stretched positions included."""
    known = getattr(config, "max_position_embeddings", None)
    if not isinstance(known, int) or known <= 0:
        return None
    rope = getattr(config, "rope_parameters", None) or getattr(config, "rope_scaling", None) or {}
    if not isinstance(rope, dict):
        return known
    factor = float(rope.get("factor") or 1.0)
    return max(known, int((rope.get("original_max_position_embeddings") or known) * factor))


def token_bytes(loaded: Loaded) -> int:
    """Return the bytes of keys and values that the decoder keeps per token."""
    config: Any = loaded.network.config.get_text_config()
    heads = _heads(loaded)
    kept = int(getattr(config, "num_key_value_heads", None) or heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return 2 * int(config.num_hidden_layers) * kept * width * int(loaded.dtype.itemsize)


def _heads(loaded: Loaded) -> int:
    return int(loaded.network.config.get_text_config().num_attention_heads)


def _free(device: Any) -> int:
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0] * _GPU_SHARE)
    return int(unused() * _CPU_SHARE)
