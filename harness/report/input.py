"""What a report is given, and how it is handed to each report that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from harness.compare import Comparison, Example, MetricLevel, Ruling
from harness.dpo import Curve, TrainingEffect
from harness.errors import HarnessError, UsageError, reason_of
from harness.judge import Judging
from harness.pairs import PairReport
from harness.plugins import names as installed
from harness.protocol import HF, sentence
from harness.records import LATER, Samples, StateCount, distinct, sentences
from harness.settings import BUILTIN
from harness.stages import Ablation, Attribution, Overlap, Rounds, reliance_of
from harness.storage import MANIFEST, Looks, reopen, thumbnail_in, write_manifest

ARMS = ("before", "after")
"""What the two sides of a comparison are called, unless they are two runs."""


@dataclass(frozen=True)
class Taken:
    """Answers before that were not measured in this run.

    Attributes:
        source: the run or bundle that they were taken from.
        benchmarks: whose answers they are.
    """

    source: str
    benchmarks: tuple[str, ...]

    @property
    def note(self) -> str:
        """One sentence for a reader."""
        return (
            f"Before taken from {self.source}, not measured in this run: "
            f"{', '.join(self.benchmarks)}."
        )


@dataclass(frozen=True)
class ReportInput:
    """What a report gets to see: the result, and where it comes from.

    The result is a comparison, or the figures of one model that was measured by itself.

    Attributes:
        comparison: before against after; ``None`` for one model by itself.
        method: name of the method.
        model: what was aligned or measured, as the user wrote it.
        data: where the benchmarks' rows came from, as the user wrote it.
        seed: of the run.
        options: the method's options as text.
        pairs: how many pairs were trained on.
        dropped: prompts that gave no pair, by reason.
        checkpoint: where the checkpoint lies, relative to the run folder where it lies inside.
        versions: of everything that could change a number.
        notice: what every report has to say first, such as tinyworld's.
        examples: some flips with their texts.
        before: every sample before, by benchmark; for reports that show them, never written into
            comparison.json, because the journals hold them.
        after: every sample after, by benchmark.
        doctor: what the pairs would teach; its examples are left out of comparison.json.
        curves: of the training; not in comparison.json either.
        images: folder of small pictures, by :attr:`Sample.cluster`; ``None`` where there is none.
        gate: what the gate said, where one was asked.
        judging: who judged open answers; ``None`` where the built-in grader's scores stand.
        overlaps: benchmark images that the training prompts show, and figures without them.
        levels: the figures of one model by itself; empty where there is a comparison.
        states: of the rows of one model by itself, by benchmark; empty where there is a comparison.
        published: what others have printed of the benchmarks, by benchmark and model name.
        seeds: training seeds that the comparison is over, where there are several.
        training: what the training did to the weights and to pairs.
        taken: answers before that come from another run.
        looks: how often the baseline was compared before; ``None`` where it is not counted.
        ablation: what blanking the pairs' images does, where it was asked for.
        notes: what else a reader has to know that no record holds.
        clock: times; the only thing that differs between two equal runs.
        protocol: how images and conversations reached the model.
        rounds: of pairs and training, where there are several.
        attribution: which image regions some answers rest on, where that was asked for.
        engine: identity of the engine that answered; empty for the engine ``own``.
        arms: what the two sides are called: before and after, or the names of two runs.
        manifest: file that names all records of a finished run; empty for a result that lies
            elsewhere, and in files of earlier versions.
    """

    comparison: Comparison | None
    method: str
    model: str
    data: str = ""
    seed: int = 0
    options: Mapping[str, str] = field(default_factory=dict)
    pairs: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    checkpoint: str = "checkpoint"
    versions: Mapping[str, str] = field(default_factory=dict)
    notice: str | None = None
    examples: tuple[Example, ...] = ()
    before: Samples = field(default_factory=dict)
    after: Samples = field(default_factory=dict)
    doctor: PairReport | None = None
    curves: tuple[Curve, ...] = ()
    images: Path | None = None
    gate: tuple[Ruling, ...] = ()
    judging: Judging | None = None
    overlaps: tuple[Overlap, ...] = ()
    levels: tuple[MetricLevel, ...] = ()
    states: Mapping[str, tuple[StateCount, ...]] = field(default_factory=dict)
    published: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    seeds: tuple[int, ...] = ()
    training: TrainingEffect | None = None
    taken: tuple[Taken, ...] = ()
    looks: Looks | None = None
    ablation: Ablation | None = None
    notes: tuple[str, ...] = ()
    clock: Mapping[str, str] = field(default_factory=dict)
    protocol: str = HF
    rounds: Rounds | None = None
    attribution: tuple[Attribution, ...] = ()
    engine: str = field(default="", metadata=LATER)
    arms: tuple[str, str] = field(default=ARMS, metadata=LATER)
    manifest: str = field(default="", metadata=LATER)

    @property
    def compared(self) -> Comparison:
        """The comparison.

        Raises:
            UsageError: if one model was measured by itself, so that nothing is compared.
        """
        if self.comparison is None:
            raise UsageError(
                f"This run ({self.method}) holds one model's answers only, so there is nothing to "
                "compare in it. Name another run beside it: harness compare OTHER RUN, or "
                "harness gate RUN --baseline OTHER."
            )
        return self.comparison

    def picture(self, cluster: str) -> Path | None:
        """Return the small picture of the rows of an image, where the run kept one."""
        return None if self.images is None else thumbnail_in(self.images, cluster)

    @property
    def missing(self) -> int:
        """How many answers or scores are missing, of one model in its headline columns."""
        if self.comparison is not None:
            return self.comparison.missing
        return sum(level.missing for level in self.levels if level.primary)

    @property
    def graded(self) -> tuple[str, ...]:
        """Names of the benchmarks whose scores the built-in grader gave."""
        if self.comparison is not None:
            arms = {b.name: (*b.judges_before, *b.judges_after) for b in self.comparison.benchmarks}
        else:
            arms = {name: tuple({row.judge for row in rows}) for name, rows in self.after.items()}
        return tuple(name for name, judges in arms.items() if BUILTIN in judges)

    @property
    def sentences(self) -> tuple[str, ...]:
        """What every reader has to know, the notice first; made anew from the records.

        The version before stored these sentences in the comparison and kept no records of some of
        them, so where there are any they are shown as they are.
        """
        if self.comparison is not None and self.comparison.notes:
            return distinct(filter(None, (self.notice, *self.comparison.notes)))
        found: list[str | None] = [self.notice]
        found += [self.training.note] if self.training is not None else []
        found += [self.rounds.note] if self.rounds is not None else []
        found += [sentence(self.protocol)] if self.protocol != HF else []
        found += [_engine(self.engine)] if self.engine else []
        found += [self.ablation.note] if self.ablation is not None else []
        found += [reliance.note for reliance in reliance_of(self.attribution)]
        found += [taken.note for taken in self.taken]
        found += self.judging.notes if self.judging is not None else ()
        found += [overlap.note for overlap in self.overlaps]
        found += [_graded(names)] if (names := self.graded) else []
        found += [_on_seeds(self.seeds)] if self.seeds else []
        found += [self.looks.note] if self.looks is not None else []
        found += self.nothing_right
        for name, counts in self.states.items():
            found += [f"{name}: {sentence}" for sentence in sentences({"": counts})]
        return distinct(filter(None, (*found, *self.notes)))

    @property
    def nothing_right(self) -> list[str]:
        """Name headline figures of zero: answers in another form than the scorer takes give them.

        Exact-text accuracy of answers such as "Yes, there is." is zero, and so is a difference.
        """
        zero = [
            (level.benchmark, level.column, level.samples)
            for level in self.levels
            if level.primary and level.higher_is_better and level.figure == 0
        ]
        for benchmark in self.comparison.benchmarks if self.comparison is not None else ():
            zero += [
                (benchmark.name, figure.column, figure.samples)
                for figure in benchmark.figures
                if figure.primary and figure.higher_is_better and figure.before == figure.after == 0
            ]
        return [
            f"{name}: {column} is 0: none of the {count} answers is right by it"
            + (" on either side" if self.comparison is not None else "")
            + ". They may be in another form than its scorer takes: compare the answers with the "
            "benchmark's other figures (harness report RUN --all)."
            for name, column, count in zero
            if count >= _MANY
        ]


_MANY = 20
"""Answers of which some should be right by chance."""


def _engine(identity: str) -> str:
    return (
        f"Every answer comes from the engine {identity}, not from the one of this project, which "
        "answers only what that engine cannot, such as questions about changed pixels."
    )


def _graded(names: Sequence[str]) -> str:
    return (
        f"Scored by the built-in grader ({BUILTIN}), whose figures are not comparable with "
        "published ones: "
        f"{', '.join(names)}. On LLaVA-1.5's published MM-Vet answers its grades correlate with "
        "GPT-4's by r = 0.70 (7B) and 0.77 (13B). A language model grades with --judge."
    )


TWO_SEEDS = (
    "Two seeds are too few to estimate how much seeds differ: after correction no difference may "
    "be detectable at all. Take three or more."
)
_TOO_FEW = 2


def _on_seeds(seeds: Sequence[int]) -> str:
    return (
        f"Figures after training are means over {len(seeds)} seeds ({', '.join(map(str, seeds))}), "
        "and intervals allow for other seeds. Flips, lengths, categories, training, single "
        f"rounds and examples are of seed {seeds[0]}."
    ) + (f" {TWO_SEEDS}" if len(seeds) == _TOO_FEW else "")


def note_records(folder: Path, reports: Iterable[Path] = ()) -> None:
    """Write the manifest of a finished run; reports and the receipts of trackers are not in it."""
    result = folder / "comparison.json"
    if result.is_file() and _is_run(folder):
        receipts = {folder / f"{name}.json" for name in installed("reports")}
        write_manifest(folder, besides={*receipts, *reports} - {result})


def _is_run(folder: Path) -> bool:
    return (folder / "settings.json").is_file()


_RESULT = "json"
"""The report that is the result."""

Writer = Callable[[ReportInput, Path], Path]


def write_reports(
    report: ReportInput, folder: Path, writers: Mapping[str, Writer]
) -> dict[str, Path]:
    """Let each writer write its file into the run folder and return the files by report name.

    With the result itself goes the manifest, which later readers hold the run against.

    Raises:
        HarnessError: if a writer fails; the others' files are written all the same.
    """
    written: dict[str, Path] = {}
    failed: dict[str, Exception] = {}
    report = replace(report, manifest=MANIFEST if _is_run(folder) else "")
    if _RESULT in writers:
        reopen(folder)  # killed between the result and its manifest, the run is at work
    for name, write in writers.items():
        try:
            written[name] = write(report, folder)
        except Exception as error:
            failed[name] = error
    result = folder / "comparison.json"
    if result in written.values():
        note_records(folder, written.values())
    for name, cause in failed.items():
        if isinstance(cause, HarnessError):
            raise cause
        raise HarnessError(
            f"The report '{name}' could not be written: {reason_of(cause)}. The result is done and "
            f"lies in {folder}; show it with: harness report {folder}, and write this report again "
            f"with: harness report {folder} --report {name}"
        ) from cause
    return written
