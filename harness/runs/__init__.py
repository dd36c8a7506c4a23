"""Finished runs: read, bundled, verified, imported, published."""

from __future__ import annotations

from harness.runs.baseline import take_before, taken_in
from harness.runs.bundles import refuse_changed, unpacked
from harness.runs.finished import (
    SCORED,
    FinishedRun,
    columns_of,
    compare_runs,
    open_run,
    report_of,
    seed_folder,
)
from harness.runs.from_lmms_eval import read_lmms
from harness.runs.from_vlmevalkit import read_vlmevalkit
from harness.runs.imports import Imported, write_import
from harness.runs.likeness import in_words, run_name, unlike
from harness.runs.looks import compare_again, looked
from harness.runs.publish import hub_access, push
from harness.runs.recomputing import ALONE, OLDER
from harness.runs.redact import without_paths
from harness.runs.scoring import Scoring, score_given
from harness.runs.seeds import collect_seeds
from harness.runs.verification import Verification, bundle, open_evidence, verify

__all__ = [
    "ALONE",
    "OLDER",
    "SCORED",
    "FinishedRun",
    "Imported",
    "Scoring",
    "Verification",
    "bundle",
    "collect_seeds",
    "columns_of",
    "compare_again",
    "compare_runs",
    "hub_access",
    "in_words",
    "looked",
    "open_evidence",
    "open_run",
    "push",
    "read_lmms",
    "read_vlmevalkit",
    "refuse_changed",
    "report_of",
    "run_name",
    "score_given",
    "seed_folder",
    "take_before",
    "taken_in",
    "unlike",
    "unpacked",
    "verify",
    "without_paths",
    "write_import",
]
