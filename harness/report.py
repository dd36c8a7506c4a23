"""Hand the finished comparison to each report that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from harness.compare import Comparison, Example, Ruling
from harness.contamination import Overlap
from harness.dpo import Curve
from harness.errors import HarnessError
from harness.judge import Judging
from harness.pairs import PairReport
from harness.records import Samples

__all__ = ["ReportInput", "Writer", "write_reports"]


@dataclass(frozen=True)
class ReportInput:
    """What a report gets to see: the comparison, and where it comes from.

    Attributes:
        comparison: the result.
        method: name of the method.
        model: what was aligned, as the user wrote it.
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
        clock: times; the only thing that differs between two equal runs.
    """

    comparison: Comparison
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
    clock: Mapping[str, str] = field(default_factory=dict)


Writer = Callable[[ReportInput, Path], Path]


def write_reports(
    report: ReportInput, folder: Path, writers: Mapping[str, Writer]
) -> dict[str, Path]:
    """Let each writer write its file into the run folder and return the files by report name.

    Raises:
        HarnessError: if a writer fails; the others' files are written all the same.
    """
    written: dict[str, Path] = {}
    failed: dict[str, Exception] = {}
    for name, write in writers.items():
        try:
            written[name] = write(report, folder)
        except Exception as error:
            failed[name] = error
    for name, cause in failed.items():
        if isinstance(cause, HarnessError):
            raise cause
        raise HarnessError(
            f"The report '{name}' could not be written: {type(cause).__name__}: {cause}. The "
            f"comparison itself is done and lies in {folder}; leave that report out of --report."
        ) from cause
    return written
