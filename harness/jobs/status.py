"""How far a run or a sweep is, and what failed: read from the files that they keep."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.jobs.driver import DRIVER, SWEEP, Driver, Record, driver_of, records_in
from harness.jobs.graph import NEEDS
from harness.settings import BUILTIN
from harness.stages import AFTER, BEFORE, REPORT, StageState, stages_of
from harness.storage import RunRecord, read_json, read_throughputs

DONE, AT_WORK, FAILED, WAITING = "done", "at work", "failed", "waiting"
_FRESH = 60.0  # seconds without a sign of life after which a driver is taken for gone


@dataclass(frozen=True)
class Failure:
    """A job that failed and is not done; the exit code is ``None`` if it was not run to its end."""

    job: str
    code: int | None
    reason: str
    log: Path


@dataclass(frozen=True)
class RunStatus:
    """How far a run is.

    ``seconds`` says by stage how long the rest will take, where a speed was noted; ``failures`` are
    those of its jobs in a sweep.
    """

    folder: Path
    stages: tuple[StageState, ...]
    seconds: Mapping[str, float]
    failures: tuple[Failure, ...] = ()


@dataclass(frozen=True)
class SweepStatus:
    """How far a sweep is, or the runs in one folder.

    ``jobs`` is empty where no sweep was made there; ``seconds`` is how long the rest will take at
    the speed so far, if that is known.
    """

    folder: Path
    runs: tuple[RunStatus, ...]
    jobs: Mapping[str, str]
    driver: Driver | None
    seconds: float | None
    failures: tuple[Failure, ...]


def status_of(folder: Path) -> RunStatus | SweepStatus:
    """Read how far a run, a sweep, or all runs of a folder are; nothing is changed.

    Raises:
        UsageError: if there is none of them.
        HarnessError: if a file that says so is damaged.
    """
    if (folder / SWEEP).is_file():
        return _sweep(folder)
    if (folder / "settings.json").is_file():
        return _run(folder, _paces([folder]), _failures_above(folder))
    places = sorted(path.parent for path in folder.glob("*/settings.json"))
    if not places:
        raise UsageError(
            f"There is no run and no sweep in {folder}. Name the folder of a run or a sweep, as in "
            "harness status runs/my-sweep"
        )
    paces = _paces(places)
    runs = tuple(_run(place, paces, ()) for place in places)
    return SweepStatus(folder, runs, {}, None, None, ())


def _run(folder: Path, paces: Mapping[str, float], failures: Iterable[Failure]) -> RunStatus:
    record = RunRecord.read(folder)
    asked, reported = record.asked, (folder / "comparison.json").is_file()
    judge = (asked.get("judging") or {}).get("judge", BUILTIN)
    states = stages_of(
        folder,
        list(record.data),
        trained=bool(asked.get("method")),
        judged=judge != BUILTIN and ((folder / "judged").is_dir() or not reported),
        limit=asked.get("limit"),
    )
    if record.seeds:  # it holds the rows of several runs, and trained nothing itself
        states = tuple(each for each in states if each.stage in (BEFORE, AFTER, REPORT))
    seconds = {each.stage: left for each in states if (left := _left(each, paces)) is not None}
    return RunStatus(folder, states, seconds, tuple(failures))


def _left(state: StageState, paces: Mapping[str, float]) -> float | None:
    """Return how long the rest of a stage will take, at the speeds that runs here noted."""
    if state.complete:
        return 0.0
    total = 0.0
    for part in state.parts:
        if part.total is None or part.name not in paces:
            return None
        total += (part.total - part.done) * paces[part.name]
    return round(total, 1)


def _paces(folders: Iterable[Path]) -> dict[str, float]:
    """Return the seconds that an answer took, by benchmark, over all that was noted."""
    answers: dict[str, int] = {}
    seconds: dict[str, float] = {}
    for each in (noted for folder in folders for noted in read_throughputs(folder)):
        answers[each.benchmark] = answers.get(each.benchmark, 0) + each.answers
        seconds[each.benchmark] = seconds.get(each.benchmark, 0.0) + each.seconds
    return {name: seconds[name] / count for name, count in answers.items() if count}


def _sweep(folder: Path) -> SweepStatus:
    jobs = _described(folder)
    places = [folder / name for name in dict.fromkeys(name.split("/")[0] for name in jobs)]
    begun = [place for place in places if (place / "settings.json").is_file()]
    paces = _paces(begun)
    runs = {place.name: _run(place, paces, ()) for place in begun}
    driver, ended = _driver_at_work(folder), {each.name: each for each in records_in(folder)}
    states: dict[str, str] = {}
    for name, (log, needs) in jobs.items():
        states[name] = _state(folder, name, log, runs, driver, ended.get(name))
        if name.endswith(f"/{REPORT}") and any(states.get(need) != DONE for need in needs):
            states[name] = WAITING  # what is there is of rows that are made again
    failures = tuple(
        Failure(name, ended[name].code, ended[name].reason, folder / jobs[name][0])
        for name, state in states.items()
        if state == FAILED
    )
    return SweepStatus(
        folder,
        tuple(runs.values()),
        states,
        driver,
        _sweep_left(states, driver, ended.values()),
        failures,
    )


def _described(folder: Path) -> dict[str, tuple[str, list[str]]]:
    """Return log and needs of every job of a sweep, by the job's name."""
    file = folder / SWEEP
    try:
        jobs = read_json(file)["jobs"]
        return {str(job["name"]): (str(job["log"]), list(job["needs"])) for job in jobs}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(
            f"{file} is damaged or was written by another version ({error}). Run the same harness "
            "sweep command again; it writes the file anew."
        ) from error


def _state(
    folder: Path,
    name: str,
    log: str,
    runs: Mapping[str, RunStatus],
    driver: Driver | None,
    ended: Record | None,
) -> str:
    place, _, stage = name.rpartition("/")
    stages = runs[place].stages if place in runs else ()
    since = driver.began if driver is not None else None
    now = since is not None and ended is not None and ended.at >= since
    if any(_is_done(stage, each) for each in stages):
        return DONE
    if since is not None and not now:
        begun = (folder / log).is_file() and (folder / log).stat().st_mtime >= since
        return AT_WORK if begun else WAITING
    # A job whose needs failed waits for them; one without an exit code that began is dead.
    waits = ended is None or ended.code == 0 or ended.reason.startswith(NEEDS)
    return WAITING if waits else FAILED


def _is_done(job: str, state: StageState) -> bool:
    """Whether a job has nothing left to do: a stage's, or that of a part ahead of it."""
    own, _, part = job.partition("-")
    if own != state.stage:
        return False
    return state.complete or any(each.name == part and each.complete for each in state.ahead)


def _driver_at_work(folder: Path) -> Driver | None:
    try:
        silent = time.time() - (folder / DRIVER).stat().st_mtime
    except OSError:
        return None
    return driver_of(folder) if silent < _FRESH else None


def _sweep_left(
    states: Mapping[str, str], driver: Driver | None, ended: Iterable[Record]
) -> float | None:
    """Take the jobs that are left to need as long as those that this driver has seen end."""
    left = sum(state in (AT_WORK, WAITING) for state in states.values())
    if not left:
        return 0.0
    if driver is None:
        return None
    times = [each.at for each in ended if each.at >= driver.began and each.code is not None]
    return round(left * (max(times) - driver.began) / len(times), 1) if times else None


def _failures_above(folder: Path) -> Sequence[Failure]:
    """Return the failed jobs of a run that belongs to a sweep."""
    above = folder.resolve().parent
    if not (above / SWEEP).is_file():
        return ()
    try:
        found = _sweep(above).failures
    except HarnessError:  # of the sweep's own files or of other runs
        return ()
    return [each for each in found if each.job.split("/")[0] == folder.resolve().name]
