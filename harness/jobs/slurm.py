"""Jobs on a SLURM cluster, submitted by submitit."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
import uuid
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from harness.errors import HarnessError, UsageError, brief, plain
from harness.jobs.graph import walk
from harness.jobs.model import Ended, Job
from harness.jobs.process import begin, end, exit_code, last_words, require
from harness.progress import say
from harness.records import Bounds, fingerprint
from harness.storage import read_json, write_json

if TYPE_CHECKING:
    from submitit import SlurmJob
    from submitit.helpers import DelayedSubmission

_LARGEST_ARRAY = 1000  # SLURM's MaxArraySize is 1001 where nobody has set it
_OVER = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"}
_OVER |= {"PREEMPTED", "REVOKED", "TIMEOUT"}
_USUAL = ("None", "Priority", "Resources", "Dependency", "BeginTime", "")
"""Reasons to wait that pass by themselves."""
_LOOKS = 3  # a result may reach this machine that many looks after the end of its job
_STOPPED = 128 + signal.SIGUSR2


@dataclass(frozen=True, kw_only=True)
class SlurmExecutor:
    """Runs jobs on the SLURM cluster that this machine submits to.

    Alike jobs that may start together are one array. A job that reaches its time limit or is
    preempted is submitted again and goes on. Ctrl-C cancels the jobs; where the driving process is
    killed they go on, and the same command finds them again.

    Attributes:
        partition: where the jobs run; ``None`` leaves it to SLURM, as for all that follow.
        account: whom they are charged to.
        qos: quality of service.
        constraint: features that their nodes must have.
        minutes: time limit of a job, instead of what the job asks for.
        gpus: GPUs of a job, instead of what the job asks for.
        cpus: processor cores of a job.
        memory: GB of memory of a job.
        at_once: most jobs of an array under way at the same time.
        resubmits: how often a job that reaches its time limit is submitted again.
        poll: seconds between two looks at the queue.
    """

    partition: str | None = None
    account: str | None = None
    qos: str | None = None
    constraint: str | None = None
    minutes: Annotated[int | None, Bounds(least=5)] = None
    gpus: Annotated[int | None, Bounds(least=0)] = None
    cpus: Annotated[int | None, Bounds(least=1)] = None
    memory: Annotated[float | None, Bounds(above=0)] = None
    at_once: Annotated[int, Bounds(least=1)] = 256
    resubmits: Annotated[int, Bounds(least=0)] = 20
    poll: Annotated[float, Bounds(above=0)] = 10.0

    def __post_init__(self) -> None:
        """Refuse to be made where it could not run."""
        require("slurm", "submitit")
        if shutil.which("sbatch") is None:
            raise UsageError(
                "The executor 'slurm' needs the command sbatch, which is not on this machine's "
                "PATH. Run the same command on a login node of the cluster, or use: --executor "
                "local"
            )

    def run(self, jobs: Sequence[Job]) -> Iterator[Ended]:
        """See :class:`harness.jobs.Executor`."""
        return walk(jobs, _Queue(self))


@dataclass
class Work:
    """What submitit runs on a node."""

    job: Job
    cwd: Path
    _process: Any = None

    def __call__(self) -> int:
        """Run the job to its end and return its exit code."""
        self._process = begin(self.job, self.cwd)
        try:
            code = exit_code(self._process.wait())
        finally:
            end([self._process])
        if code == _STOPPED:  # the time is over: SLURM tells the job and this process, in any order
            time.sleep(60)
        return code

    def checkpoint(self) -> DelayedSubmission:
        """Stop the job before the node is taken away; submitit submits what is returned."""
        from submitit.helpers import DelayedSubmission

        if self._process is not None:
            end([self._process])
        return DelayedSubmission(Work(self.job, self.cwd))


@dataclass
class _Submitted:
    job: Job
    slurm: SlurmJob[int]
    missed: int = 0


@dataclass
class _Queue:
    """The jobs that SLURM has, as ``squeue`` shows them: ``sacct`` is not everywhere."""

    options: SlurmExecutor
    running: dict[str, _Submitted] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    silent: bool = False

    def start(self, jobs: Sequence[Job]) -> None:
        alike: dict[tuple[Path, int, int], list[Job]] = defaultdict(list)
        states = _states() if any(_record(job).exists() for job in jobs) else {}
        for job in jobs:
            if (found := _found_again(job, states)) is not None:
                say(f"{job.name}: it is SLURM's job {found.job_id} already")
                self.running[job.name] = _Submitted(job, found)
            else:
                alike[_folder(job), job.gpus, job.minutes].append(job)
        for group in alike.values():
            for place in range(0, len(group), _LARGEST_ARRAY):
                self._submit(group[place : place + _LARGEST_ARRAY])

    def _submit(self, jobs: Sequence[Job]) -> None:
        import submitit

        asked, name = self.options, f"harness-{uuid.uuid4().hex[:8]}"
        wanted = {
            "slurm_job_name": name,
            "slurm_partition": asked.partition,
            "slurm_account": asked.account,
            "slurm_qos": asked.qos,
            "slurm_constraint": asked.constraint,
            "slurm_stderr_to_stdout": True,
            "slurm_array_parallelism": asked.at_once,
            "timeout_min": asked.minutes or max(jobs[0].minutes, 5),
            "gpus_per_node": (jobs[0].gpus if asked.gpus is None else asked.gpus) or None,
            "cpus_per_task": asked.cpus,
            "mem_gb": asked.memory,
        }
        given = {key: value for key, value in wanted.items() if value is not None}
        try:
            executor = submitit.AutoExecutor(
                _folder(jobs[0]), cluster="slurm", slurm_max_num_timeout=asked.resubmits
            )
            executor.update_parameters(**given)
            with executor.batch():
                made = [executor.submit(Work(job, Path.cwd())) for job in jobs]
        except (OSError, RuntimeError) as error:
            raise HarnessError(
                f"SLURM does not take the job {jobs[0].name}: {brief(plain(str(error)))}. Change "
                "what is asked for, as in --executor slurm:partition=NAME,minutes=60, then run the "
                "same command again; finished jobs are kept."
            ) from error
        for job, slurm in zip(jobs, made, strict=True):
            self.running[job.name] = _Submitted(job, slurm)  # type: ignore[arg-type]
            kept = {"id": slurm.job_id, "name": name, "command": fingerprint(job.command)}
            write_json(_record(job), kept)
            _link(job, slurm.paths.stdout)

    def ended(self) -> list[Ended]:
        while True:
            states = _states()
            if states is None and not self.silent:
                say("SLURM does not answer (squeue); asking again, the jobs go on meanwhile")
            self.silent = states is None
            found = [each for one in self.running.values() if (each := self._look(one, states))]
            for each in found:
                _record(self.running.pop(each.name).job).unlink(missing_ok=True)
            if found:
                return found
            time.sleep(self.options.poll)

    def _look(self, one: _Submitted, states: dict[str, _State] | None) -> Ended | None:
        slurm, job = one.slurm, one.job
        if slurm.paths.result_pickle.exists():
            return _result(job, slurm)
        if states is None:
            return None
        state = states.get(slurm.job_id)
        if state is not None and state.active:
            one.missed = 0
            if state.reason not in _USUAL and self.told.get(job.name) != state.reason:
                self.told[job.name] = state.reason
                say(f"{job.name}: SLURM's job {slurm.job_id} waits: {state.reason}")
            return None
        one.missed += 1
        if one.missed < _LOOKS:
            os.listdir(slurm.paths.folder)  # a network file system looks again
            return None
        why = state.state if state is not None else "it is not in the queue any more"
        said = last_words(slurm.paths.stdout)
        told = f"SLURM's job {slurm.job_id} gave no result: {why}"
        return Ended(job.name, None, f"{told} ({said})" if said else told)

    def stop(self) -> None:
        if self.running:
            ids = [one.slurm.job_id for one in self.running.values()]
            subprocess.run(["scancel", *ids], timeout=60, check=False, capture_output=True)
            for one in self.running.values():
                _record(one.job).unlink(missing_ok=True)
        self.running.clear()


@dataclass(frozen=True)
class _State:
    state: str
    name: str
    reason: str

    @property
    def active(self) -> bool:
        return self.state not in _OVER


def _states() -> dict[str, _State] | None:
    """Return what SLURM knows of this user's jobs, by id; ``None`` where it does not answer."""
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={os.getuid()}"]
    try:
        told = subprocess.run(
            [*command, "--format=%i|%T|%j|%r"],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    rows = [line.split("|", 3) for line in told.splitlines()]
    return {row[0]: _State(*row[1:]) for row in rows if len(row) == 4}


def _found_again(job: Job, states: dict[str, _State] | None) -> SlurmJob[int] | None:
    """Return the SLURM job that an earlier driver submitted for this job, if it is alive."""
    try:
        kept = read_json(_record(job))
        number, name, command = kept["id"], kept["name"], kept["command"]
    except (OSError, ValueError, LookupError, TypeError):
        return None
    if states is None:
        raise HarnessError(
            f"SLURM does not answer (squeue), and may still run the job {number} for {job.name}. "
            "Run the same command again when it does."
        )
    state = states.get(number)
    if (
        state is None
        or not state.active
        or (state.name, command) != (name, fingerprint(job.command))
    ):
        return None
    from submitit import SlurmJob

    return SlurmJob(folder=_folder(job), job_id=number, tasks=[0])


def _result(job: Job, slurm: SlurmJob[int]) -> Ended:
    error = slurm.exception()
    if error is None:
        return Ended(job.name, slurm.result())
    trace = str(error).split("----------------------")
    lines = [line for line in trace[min(1, len(trace) - 1)].splitlines() if line.strip()]
    told = brief(plain(lines[-1] if lines else str(error)))
    return Ended(job.name, None, f"SLURM's job {slurm.job_id} failed: {told}")


def _folder(job: Job) -> Path:
    return job.log.absolute().parent / "slurm"


def _record(job: Job) -> Path:
    """Name the file that says which SLURM job is at work."""
    return job.log.with_name(f"{job.log.name}.slurm.json")


def _link(job: Job, there: Path) -> None:
    """Put what SLURM and the node said beside the job's own log."""
    link = job.log.with_name(f"{job.log.name}.slurm")
    link.unlink(missing_ok=True)
    link.symlink_to(os.path.relpath(there, link.absolute().parent))
