"""Suites: names that stand for several benchmarks, in the order of their papers' tables."""

from __future__ import annotations

SIMA14 = (
    "chair",  # CHAIR_s, CHAIR_i
    "mmhal",
    "mementos",  # objects, behaviours
    "llavabench",
    "scienceqa",
    "textvqa",
    "mme",  # perception, cognition
    "mmbench",
    "mmvet",
    "seedbench",
    "vizwiz",
)
"""SIMA's fourteen columns come from eleven data sets (arXiv 2405.15973, tables 1 and 2)."""

SEVA9 = (
    "mmvet",
    "llavabench",
    "mmbench",
    "mmbench_cn",
    "pope",
    "seedbench",  # the column "image"
    "shr",
    "scienceqa",
    "gqa",
)
"""SeVa's nine columns (arXiv 2404.10501, table 1)."""

POPE3 = ("pope_random", "pope_popular", "pope_adversarial")

HALLUCINATION = ("pope", "chair", "amber_all", "mmhal", "hallusion_all", "naturalbench", "crpe")
"""What a model says that an image does not show, asked in seven ways."""

GENERAL = (
    *("mmstar", "mmvp", "mmbench", "seedbench", "mme", "mmvet", "mmvet_v2"),
    *("mmmu", "mathvista", "realworldqa", "blink", "cvbench"),
)
"""Abilities at large: knowledge, mathematics, space, and questions that need the image."""

TEXT = ("textvqa", "scienceqa", "ocrbench")
"""Reading text in images, and questions with text around them."""
