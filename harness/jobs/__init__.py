"""Commands of the harness as jobs with needs, run by an executor: here, or on a cluster."""

from __future__ import annotations

from harness.jobs.driver import drive, worst
from harness.jobs.graph import walk
from harness.jobs.local import LocalExecutor
from harness.jobs.model import Ended, Executor, Job, open_executor
from harness.jobs.ray import RayExecutor
from harness.jobs.recipe import Wish, read_recipe, wishes_of
from harness.jobs.slurm import SlurmExecutor
from harness.jobs.status import Failure, RunStatus, SweepStatus, status_of
from harness.jobs.sweep import Entrant, Sweep, Wanted, resolved

__all__ = [
    "Ended",
    "Entrant",
    "Executor",
    "Failure",
    "Job",
    "LocalExecutor",
    "RayExecutor",
    "RunStatus",
    "SlurmExecutor",
    "Sweep",
    "SweepStatus",
    "Wanted",
    "Wish",
    "drive",
    "open_executor",
    "read_recipe",
    "resolved",
    "status_of",
    "walk",
    "wishes_of",
    "worst",
]
