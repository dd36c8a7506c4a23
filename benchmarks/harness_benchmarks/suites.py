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

HALLUCINATION = ("pope", "chair", "amber_all", "mmhal", "hallusion", "naturalbench")
"""What a model says that an image does not show, asked in six ways."""

GENERAL = ("mmstar", "mmvp", "mmbench", "seedbench", "mme", "mmvet")
"""Abilities at large, two of them in questions that need the image."""

TEXT = ("textvqa", "scienceqa")
"""Reading text in images, and questions with text around them."""
