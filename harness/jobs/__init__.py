"""Commands of the harness as jobs with needs, run by an executor: here, or on a cluster."""

from __future__ import annotations

from harness.jobs.graph import Workers, walk
from harness.jobs.local import LocalExecutor
from harness.jobs.model import MINUTES, Ended, Executor, Job
from harness.jobs.open import open_executor

__all__ = [
    "MINUTES",
    "Ended",
    "Executor",
    "Job",
    "LocalExecutor",
    "Workers",
    "open_executor",
    "walk",
]
