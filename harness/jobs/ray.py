"""Jobs on a Ray cluster, by Ray's own client."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from harness.errors import HarnessError, brief, plain
from harness.jobs.graph import walk
from harness.jobs.model import Ended, Job
from harness.jobs.process import require, run_here
from harness.progress import say
from harness.records import Bounds


@dataclass(frozen=True, kw_only=True)
class RayExecutor:
    """Runs jobs as tasks of a Ray cluster, each with the GPUs that it asks for.

    Ray places a job where its GPUs and cores are free, and runs it again where its node or worker
    dies. When the driving process ends, so do its jobs.

    Attributes:
        address: of the cluster, such as ``auto`` for the one that this machine is part of; ``None``
            takes what RAY_ADDRESS names, or starts one of this machine alone.
        gpus: GPUs of a job, instead of what the job asks for.
        cpus: processor cores of a job.
        retries: how often a job is run again whose node or worker dies.
    """

    address: str | None = None
    gpus: Annotated[float | None, Bounds(least=0)] = None
    cpus: Annotated[float, Bounds(least=0)] = 1
    retries: Annotated[int, Bounds(least=0)] = 3

    def __post_init__(self) -> None:
        """Refuse to be made where it could not run."""
        require("ray", "ray")

    def run(self, jobs: Sequence[Job]) -> Iterator[Ended]:
        """See :class:`harness.jobs.Executor`."""
        return walk(jobs, _Tasks(self))


@dataclass
class _Tasks:
    options: RayExecutor
    running: dict[Any, Job] = field(default_factory=dict)
    opened: bool = False

    def start(self, jobs: Sequence[Job]) -> None:
        ray = _ray()
        self._open()
        offered = ray.cluster_resources().get("GPU", 0)
        for job in jobs:
            gpus = job.gpus if self.options.gpus is None else self.options.gpus
            if gpus > offered:
                say(f"{job.name}: waits for {gpus:g} GPUs; Ray's nodes have {offered:g} in all")
            task = ray.remote(run_here).options(
                name=job.name,
                num_cpus=self.options.cpus,
                num_gpus=gpus,
                max_retries=self.options.retries,
            )
            self.running[task.remote(job, Path.cwd())] = job

    def _open(self) -> None:
        ray = _ray()
        if ray.is_initialized():
            return
        try:
            _reach(self.options.address)
            ray.init(address=self.options.address, log_to_driver=False, include_dashboard=False)
        except Exception as error:  # Ray raises that itself where a node does not start in time
            where = self.options.address or os.environ.get("RAY_ADDRESS")
            failed = f"cannot be reached at {where}" if where else "does not start on this machine"
            raise HarnessError(
                f"Ray {failed}: {brief(plain(str(error)))}. Start it with ray start --head, or "
                "name another cluster with --executor ray:address=HOST:PORT, and run the same "
                "command again; finished jobs are kept."
            ) from error
        self.opened = True

    def ended(self) -> list[Ended]:
        ray = _ray()
        ready, _ = ray.wait(list(self.running), num_returns=1)
        return [_outcome(self.running.pop(task), task) for task in ready]

    def stop(self) -> None:
        if not (self.running or self.opened):
            return
        ray = _ray()
        for task in self.running:
            ray.cancel(task)
        with contextlib.suppress(Exception):
            ray.wait(list(self.running), num_returns=len(self.running), timeout=20)
        self.running.clear()
        if self.opened:
            ray.shutdown()
            self.opened = False


def _ray() -> Any:
    """Return Ray's client, which takes a node's own environment for its jobs, as SLURM does.

    Under ``uv run`` it would send the working directory, run folders and all, to every node and
    build an environment there.
    """
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # read when Ray is imported
    import ray

    return ray


def _reach(address: str | None) -> None:
    """Raise ``OSError`` at once where nobody listens: Ray itself tries for minutes."""
    host, _, port = (address or os.environ.get("RAY_ADDRESS", "")).rpartition(":")
    if host and "/" not in host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=20).close()


def _outcome(job: Job, task: Any) -> Ended:
    ray = _ray()
    try:
        return Ended(job.name, int(ray.get(task)))
    except ray.exceptions.RayTaskError as error:
        return Ended(job.name, None, f"it could not be run: {brief(plain(str(error.cause)))}")
    except ray.exceptions.RayError as error:
        return Ended(job.name, None, f"Ray gave no result: {brief(plain(str(error)))}")
