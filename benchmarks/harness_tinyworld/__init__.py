"""The embedded small world: drawn scenes, a small trained LLaVA, prompts and miniature benchmarks.

Everything in here is real but small, so that a whole run works without a hub, a key or a GPU. The
model was taught a defect on purpose (see `habits`), so that there is something to repair.
Importing the package loads nothing; it only says where things lie.
"""

from __future__ import annotations

from pathlib import Path

from harness.records import Demo

FOLDER = Path(__file__).resolve().parent
MODEL = FOLDER / "model"
PROMPTS = FOLDER / "prompts" / "prompts.jsonl"
DATA = FOLDER / "data"
CRITIC = FOLDER / "critic.txt"
NOTICE = "built-in miniature (tinyworld): not comparable with published numbers"
DEMO = Demo(model=MODEL, prompts=PROMPTS, data=DATA, preset="small", notice=NOTICE)

__all__ = ["CRITIC", "DATA", "DEMO", "FOLDER", "MODEL", "NOTICE", "PROMPTS"]
