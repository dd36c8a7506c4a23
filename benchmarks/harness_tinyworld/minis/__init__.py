"""Miniature benchmarks: one module each, named as the benchmark, exposing `MINI`.

To add one, write a module with a `MINI` like the others' and name it in `NAMES`.
"""

from __future__ import annotations

from importlib import import_module

from harness_tinyworld.minis.table import Mini

SMALL = (
    *("amber_all", "hallusion_all", "mmmu", "cvbench", "realworldqa", "crpe", "ocrbench"),
    *("mathvista", "mmvet_v2", "blink"),
)
"""Miniatures of few rows: with them the suites `hallucination` and `general` take minutes."""
NAMES = (
    *("amber", "chair", "gqa", "hallusion", "llavabench", "mementos", "mmbench", "mme", "mmhal"),
    *("mmstar", "mmvp", "naturalbench"),
    *SMALL,
    *("mmvet", "pope", "scienceqa", "seedbench", "shr", "textvqa", "vizwiz", "vqav2"),
)


def load(name: str) -> Mini:
    """Return the miniature of a name in `NAMES`."""
    mini: Mini = import_module(f"{__name__}.{name}").MINI
    return mini


__all__ = ["NAMES", "SMALL", "load"]
