"""Commands of the harness as jobs with needs, run by an executor: here, or on a cluster."""

from __future__ import annotations

from harness.jobs.driver import drive, worst
from harness.jobs.graph import Workers, walk
from harness.jobs.local import LocalExecutor
from harness.jobs.model import MINUTES, Ended, Executor, Job, open_executor
from harness.jobs.ray import RayExecutor
from harness.jobs.recipe import Recipe, Wish, read_recipe, wishes_of
from harness.jobs.slurm import SlurmExecutor
from harness.jobs.status import Failure, RunStatus, SweepStatus, status_of
from harness.jobs.sweep import Entrant, Sweep, SweepRun, Wanted, resolved

__all__ = [
    "MINUTES",
    "Ended",
    "Entrant",
    "Executor",
    "Failure",
    "Job",
    "LocalExecutor",
    "RayExecutor",
    "Recipe",
    "RunStatus",
    "SlurmExecutor",
    "Sweep",
    "SweepRun",
    "SweepStatus",
    "Wanted",
    "Wish",
    "Workers",
    "drive",
    "open_executor",
    "read_recipe",
    "resolved",
    "status_of",
    "walk",
    "wishes_of",
    "worst",
]
