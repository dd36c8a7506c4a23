"""A sweep as a graph of jobs: stages of runs, and for each method and model one report.

Nothing of a job is believed but what its run folder holds: a job is done when the stage is done for
the inputs that the recipe means today. The answers before are those of the model, whatever the
method, so one job makes them for all runs that need the same; the others find them in the answer
store.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from harness.context import Plan
from harness.errors import UsageError
from harness.jobs.model import Job
from harness.jobs.recipe import Recipe, Resources
from harness.model import Model
from harness.resolve import demo_of, resolve
from harness.run import model_of
from harness.settings import Settings
from harness.stages import (
    AFTER,
    BEFORE,
    JUDGE,
    PAIRS,
    REPORT,
    TRAIN,
    PairPart,
    check_knobs,
    check_rounds,
    stages_of_plan,
)
from harness.storage import read_json

LOGS = "logs"


@dataclass(frozen=True)
class Wanted:
    """One method on one model, with every seed.

    ``words`` are those of ``harness run`` without seeds and folder; ``settings`` are what they
    mean, with the first seed and the folder of the sweep.
    """

    label: str
    words: tuple[str, ...]
    settings: Settings


@dataclass(frozen=True)
class SweepRun:
    """One run of a sweep; the model is the one before."""

    plan: Plan
    model: Model
    folder: Path

    @cached_property
    def done(self) -> frozenset[str]:
        """The stages with nothing left to do, and the names of such parts of the pairs."""
        states = stages_of_plan(self.plan, self.model, self.folder)
        ahead = (part.name for each in states for part in each.ahead if part.complete)
        return frozenset((*(each.stage for each in states if each.complete), *ahead))

    @property
    def shared(self) -> tuple[tuple[str, str], ...]:
        """What determines its answers before: runs with the same have the same answers."""
        return tuple(sorted(self.plan.prints(self.model.fingerprint).items()))


@dataclass(frozen=True)
class Entrant:
    """One method on one model: one run for each seed, and the folder of their joint result."""

    wanted: Wanted
    runs: tuple[SweepRun, ...]

    @property
    def folder(self) -> Path:
        """Where the report over all seeds lies."""
        first, count = self.runs[0].folder, len(self.runs)
        return first if count == 1 else first.with_name(f"{first.name}-seeds{count}")

    @property
    def reported(self) -> bool:
        """Whether the report is there, on today's terms, and younger than all that it rests on."""
        asked = self.wanted.settings
        terms = {
            "margin": asked.margin,
            "alpha": asked.alpha,
            "accepted": list(asked.accept_missing),
            "margins": dict(asked.margins),
        }
        file = self.folder / "comparison.json"
        try:
            found = read_json(file)["comparison"]
            written = file.stat().st_mtime_ns
            rows = [path for run in self.runs for path in _rows(run.folder)]
            younger = all(path.stat().st_mtime_ns <= written for path in rows)
        except (OSError, ValueError, KeyError, TypeError):
            return False
        return younger and {name: found.get(name) for name in terms} == terms


def _rows(folder: Path) -> Iterable[Path]:
    for pattern in ("before/*.jsonl", "after/*.jsonl", "judged/*/*.jsonl"):
        yield from folder.glob(pattern)


@dataclass(frozen=True)
class Sweep:
    """Everything that a recipe means on this machine.

    Attributes:
        out: the folder of the sweep.
        entrants: each method on each model.
        jobs: all of them, in an order in which they could be done one by one.
        done: names of those with nothing left to do.
    """

    out: Path
    entrants: tuple[Entrant, ...]
    jobs: tuple[Job, ...]
    done: frozenset[str]

    @property
    def left(self) -> tuple[Job, ...]:
        """The jobs to be done, with such needs only."""
        return tuple(
            replace(job, needs=tuple(name for name in job.needs if name not in self.done))
            for job in self.jobs
            if job.name not in self.done
        )


def resolved(recipe: Recipe, wanted: Sequence[Wanted], out: Path) -> Sweep:
    """Resolve every run of a sweep, and lay out its jobs; nothing is written.

    Raises:
        UsageError: for anything that is named and not there, before any job was started.
        HarnessError: for files that are there and broken.
    """
    models: dict[tuple[object, ...], Model] = {}
    entrants = tuple(_entrant(each, recipe.seeds, models) for each in wanted)
    folders = [run.folder for each in entrants for run in each.runs]
    twice = {folder.name for folder in folders if folders.count(folder) > 1}
    if twice:
        raise UsageError(
            f"The sweep asks for {', '.join(sorted(twice))} more than once: two of its methods or "
            "models mean the same run. Leave one out, or give it other options."
        )
    graph = _Graph({str(stage): each for stage, each in recipe.resources.items()}, out)
    for entrant in entrants:
        graph.add(entrant)
    return Sweep(out, entrants, tuple(graph.jobs), frozenset(graph.done))


def _entrant(
    wanted: Wanted, seeds: Sequence[int], models: dict[tuple[object, ...], Model]
) -> Entrant:
    plan = resolve(wanted.settings)
    check_knobs(plan.method, plan.options)
    check_rounds(plan)
    asked = plan.settings
    opened = (asked.device, asked.dtype, plan.protocol, asked.engine, asked.engine_options)
    key = (str(plan.model), *opened)
    if key not in models:  # its weights are read for their fingerprint, once
        models[key] = model_of(plan)
    model, runs = models[key], []
    for seed in seeds:
        own = replace(plan, settings=replace(asked, seed=seed), seed=seed)
        runs.append(SweepRun(own, model, own.folder(model.fingerprint)))
    return Entrant(wanted, tuple(runs))


class _Graph:
    """Jobs in the order in which they are added."""

    def __init__(self, resources: Mapping[str, Resources], out: Path) -> None:
        self.jobs: list[Job] = []
        self.done: set[str] = set()
        self._resources: Mapping[str, Resources] = resources
        self._out = out
        self._before: dict[tuple[tuple[str, str], ...], str] = {}

    def add(self, entrant: Entrant) -> None:
        """Add the jobs of all runs of one method on one model."""
        last = [self._run(entrant, run) for run in entrant.runs]
        first, count = entrant.runs[0].plan.seed, len(entrant.runs)
        name = f"{entrant.folder.name}/{REPORT}"
        words = ("--seed", str(first), "--seeds", str(count))
        self._job(entrant, name, REPORT, words, last)
        if entrant.reported and self.done.issuperset(last):
            self.done.add(name)

    def _run(self, entrant: Entrant, run: SweepRun) -> str:
        """Add the stages of one run, and return the name of the last."""
        if run.shared not in self._before:
            self._before[run.shared] = self._stage(entrant, run, (BEFORE,), ())
        name = self._before[run.shared]
        parts = self._parts(entrant, run, name)
        if run.plan.settings.rounds is None:
            name = self._stage(entrant, run, (PAIRS,), parts or (name,))
            name = self._stage(entrant, run, (TRAIN,), (name,))
        else:
            name = self._stage(entrant, run, (PAIRS, TRAIN), (name,))
        name = self._stage(entrant, run, (BEFORE, AFTER), (name,))
        return self._stage(entrant, run, (JUDGE,), (name,)) if run.plan.judged else name

    def _parts(self, entrant: Entrant, run: SweepRun, before: str) -> tuple[str, ...]:
        """Add the jobs that answer the prompts of one run ahead of its pairs."""
        names = []
        for part in PairPart.all_of(self._resources.get(PAIRS, Resources()).parts):
            part.check(run.plan)
            names.append(f"{run.folder.name}/{PAIRS}-{part.name}")
            words = ("--seed", str(run.plan.seed), "--only", PAIRS, "--part", str(part))
            self._job(entrant, names[-1], PAIRS, words, (before,))
            if run.done.intersection((PAIRS, part.name)):
                self.done.add(names[-1])
        return tuple(names)

    def _stage(
        self, entrant: Entrant, run: SweepRun, stages: tuple[str, ...], needs: tuple[str, ...]
    ) -> str:
        name = f"{run.folder.name}/{stages[-1]}"
        words = ("--seed", str(run.plan.seed), "--only", ",".join(stages))
        self._job(entrant, name, stages[-1], words, needs)
        if run.done.issuperset(stages):
            self.done.add(name)
        return name

    def _job(
        self, entrant: Entrant, name: str, stage: str, words: tuple[str, ...], needs: Iterable[str]
    ) -> None:
        asked = self._resources.get(stage, Resources())
        usual = _gpus(stage, entrant.wanted.settings)
        gpus = usual if asked.gpus is None else asked.gpus
        shared = ("--nproc", str(gpus)) if gpus > 1 else ()
        out = ("--out", str(self._out))
        self.jobs.append(
            Job(
                name=name,
                command=("run", *entrant.wanted.words, *words, *out, *shared),
                log=self._out / LOGS / f"{name.replace('/', '.')}.log",
                needs=tuple(needs),
                gpus=gpus,
                minutes=asked.minutes,
            )
        )


def _gpus(stage: str, settings: Settings) -> int:
    """Return how many GPUs a stage needs, if the recipe does not say."""
    if settings.device == "cpu" or demo_of(settings.model) is not None:
        return 0
    if stage == JUDGE:
        return int(settings.judging.local)
    return int(stage != REPORT or settings.attribution > 0)
