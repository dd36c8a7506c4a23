"""Prompts, making pairs from them, and what training on those would teach."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.old_names import forward as _forward
from harness.pairs.diagnostics import diagnose, diagnose_run, facts, open_pairs, pair_report_text
from harness.pairs.export import export_pairs
from harness.pairs.gallery import (
    Augmentation,
    augmentations_of,
    contact_sheet,
    pair_diagnostics,
    read_pair_report,
)
from harness.pairs.generate import PairSet, Sieve, answer_prompts, make_pairs, time_limit
from harness.pairs.given import Given, bound, given_answers, given_text, read_given
from harness.pairs.measures import PairReport, differing, thoughts_of, word_distance
from harness.pairs.prompts import gather, prompts_fingerprint, read_prompts
from harness.pairs.tables import located

__all__ = [
    "Augmentation",
    "Given",
    "PairReport",
    "PairSet",
    "Sieve",
    "answer_prompts",
    "augmentations_of",
    "bound",
    "contact_sheet",
    "diagnose",
    "diagnose_run",
    "differing",
    "export_pairs",
    "facts",
    "gather",
    "given_answers",
    "given_text",
    "located",
    "make_pairs",
    "open_pairs",
    "pair_diagnostics",
    "pair_report_text",
    "prompts_fingerprint",
    "read_given",
    "read_pair_report",
    "read_prompts",
    "thoughts_of",
    "time_limit",
    "word_distance",
]

if not TYPE_CHECKING:
    __getattr__ = _forward(__name__)
