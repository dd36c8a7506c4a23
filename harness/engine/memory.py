"""How much a batch may take: a byte budget, by default a part of the free memory. Needs torch."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.engine.loading import Loaded
from harness.engine.prefixes import Job

_CPU_SHARE, _GPU_SHARE = 0.25, 0.8
_CPU_ROWS, _GPU_ROWS = 64, 256
_CPU_TOKENS, _GPU_TOKENS = 4096, 16384


@dataclass
class Budget:
    """Limits of one batch. Shrinks when memory ran out all the same.

    Attributes:
        features: bytes for kept image features.
        segments: bytes for kept shared beginnings.
        working: bytes for the keys and values of a batch.
        token_bytes: keys and values of one token, in bytes.
        rows: most answers in one batch.
        tokens: most prompt tokens in one pass.
    """

    features: int
    segments: int
    working: int
    token_bytes: int
    rows: int
    tokens: int

    @classmethod
    def of(cls, loaded: Loaded, memory: int | None) -> Budget:
        """Divide ``memory`` bytes, or a part of what is free on the device."""
        on_gpu = loaded.device.type == "cuda"
        total = memory if memory is not None else _free(loaded.device)
        return cls(
            features=total // 10,
            segments=total * 3 // 10,
            working=total // 2,
            token_bytes=token_bytes(loaded),
            rows=_GPU_ROWS if on_gpu else _CPU_ROWS,
            tokens=_GPU_TOKENS if on_gpu else _CPU_TOKENS,
        )

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


def token_bytes(loaded: Loaded) -> int:
    """Return the bytes of keys and values that the decoder keeps per token."""
    config: Any = loaded.network.config.get_text_config()
    heads = int(config.num_attention_heads)
    kept = int(getattr(config, "num_key_value_heads", None) or heads)
    width = int(getattr(config, "head_dim", None) or config.hidden_size // heads)
    return 2 * int(config.num_hidden_layers) * kept * width * int(loaded.dtype.itemsize)


def _free(device: Any) -> int:
    if device.type == "cuda":
        import torch

        return int(torch.cuda.mem_get_info(device)[0] * _GPU_SHARE)
    pages = os.sysconf("SC_AVPHYS_PAGES") if hasattr(os, "sysconf") else 1 << 19
    return int(pages * os.sysconf("SC_PAGE_SIZE") * _CPU_SHARE)
