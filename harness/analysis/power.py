"""What a run would find out, and what it would take, before anything is spent.

The smallest difference that a run has four chances in five to tell follows from the spread of the
rows' differences and from how many images there are. Both are taken from an earlier run where one
is named; else from plain assumptions, which are printed with the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from harness import stats
from harness.analysis.sizes import Size, size_of
from harness.benchmark import Benchmark, Metric, headline
from harness.compare import MetricResult
from harness.records import Sample
from harness.runs import FinishedRun
from harness.storage import read_throughputs

TYPICAL, CAUTIOUS = 0.10, 0.30
"""Shares of rows that change sides between two models, assumed where no run is named."""
_LETTERS_PER_TOKEN = 4
_ARMS = 2


@dataclass(frozen=True)
class Detectable:
    """What can be told in one headline column.

    Attributes:
        benchmark: its name.
        column: the column's name.
        unit: of the differences.
        digits: decimals in tables.
        mdd: smallest true difference with 80 % power; from a run, or assuming that 10 % of rows
            change sides and count as independent. ``None`` where nothing can be said.
        mdd_corrected: the same after the correction over the planned benchmarks at its most severe.
        mdd_conservative: assuming that 30 % change sides and rows of one image move together;
            ``None`` where a run was taken, or the number of images is not known.
        source: ``"run"``, ``"assumed"`` or ``"unknown"``.
    """

    benchmark: str
    column: str
    unit: str
    digits: int
    mdd: float | None
    mdd_corrected: float | None
    mdd_conservative: float | None
    source: str


@dataclass(frozen=True)
class Cost:
    """What evaluating one benchmark takes, both arms together.

    Attributes:
        benchmark: its name.
        rows: of one arm; ``None`` if unknown.
        images: among them.
        counted: how rows and images are known.
        seconds: to ask the model, at the pace of the named run; ``None`` without one.
        judged: whether open answers wait for a judge.
        questions: to the judge.
        tokens: of these questions, without the judge's instructions, at four letters a token;
            ``None`` without a run.
    """

    benchmark: str
    rows: int | None
    images: int | None
    counted: str
    seconds: float | None
    judged: bool
    questions: int | None
    tokens: int | None


@dataclass(frozen=True)
class Estimate:
    """A plan with its figures.

    Attributes:
        detectable: what can be told, by headline column.
        costs: what it takes, by benchmark.
        family: how many headline columns the correction runs over.
        source: name of the run that the figures were taken from; ``None`` where they are assumed.
    """

    detectable: tuple[Detectable, ...]
    costs: tuple[Cost, ...]
    family: int
    source: str | None

    @property
    def seconds(self) -> float | None:
        """Time of both evaluations; ``None`` unless every benchmark's is known."""
        known = [cost.seconds for cost in self.costs if cost.seconds is not None]
        return sum(known) if known and len(known) == len(self.costs) else None


def estimate(
    benchmarks: Sequence[Benchmark],
    data: str | Path,
    *,
    run: FinishedRun | None = None,
    throughputs: Mapping[str, float] | None = None,
    name: str | None = None,
    limit: int | None = None,
    judgings: int = 1,
) -> Estimate:
    """Say what a run on these benchmarks could tell and what it would take.

    Args:
        benchmarks: of the planned run.
        data: where their rows are: a folder, or ``"hub"``.
        run: an earlier run on some of them.
        throughputs: answers per second of that run, by benchmark.
        name: what the result calls that run.
        limit: only the first rows of each benchmark.
        judgings: verdicts per answer that a judge will give.
    """
    family = sum(len(headline(benchmark.columns)) for benchmark in benchmarks)
    detectable: list[Detectable] = []
    costs: list[Cost] = []
    for benchmark in benchmarks:
        rows = run.after.get(benchmark.name, ()) if run is not None else ()
        size = size_of(benchmark, data, limit)
        size = _with_images_of(rows, size)
        costs.append(
            _cost(benchmark, size, rows, (throughputs or {}).get(benchmark.name), judgings)
        )
        for column in headline(benchmark.columns):
            figure = _measured(run, benchmark.name, column.name)
            detectable.append(_reach(benchmark.name, column, size, figure, family))
    return Estimate(tuple(detectable), tuple(costs), family, name)


def throughputs_of(folder: Path) -> dict[str, float]:
    """Return answers per second of a run, by benchmark, as it noted them."""
    found: dict[str, list[tuple[int, float]]] = {}
    for throughput in read_throughputs(folder):
        found.setdefault(throughput.benchmark, []).append((throughput.answers, throughput.seconds))
    return {
        name: sum(answers for answers, _ in each) / max(sum(s for _, s in each), 1e-9)
        for name, each in found.items()
    }


def _with_images_of(rows: Sequence[Sample], size: Size) -> Size:
    """Take a number of images that is not known from the run's rows per image."""
    if size.rows is None or size.images is not None or not rows:
        return size
    images = round(size.rows * len({row.cluster for row in rows}) / len(rows))
    return Size(size.rows, max(images, 1), f"{size.source}; images as dense as in the run")


def _measured(run: FinishedRun | None, benchmark: str, column: str) -> MetricResult | None:
    if run is None or run.report.comparison is None:
        return None
    for each in run.report.comparison.benchmarks:
        for figure in each.figures:
            if (each.name, figure.column) == (benchmark, column):
                return figure
    return None


def _reach(
    name: str, column: Metric, size: Size, figure: MetricResult | None, family: int
) -> Detectable:
    fields = (name, column.name, column.unit, column.digits)
    if figure is not None and figure.error and figure.clusters > 1 and (size.images or size.rows):
        images = size.images or size.rows or 0
        error = figure.error * sqrt(figure.clusters / images)
        return Detectable(*fields, *_told(error, images, family), None, "run")
    if not _row_by_row(column) or size.rows is None or size.rows < 2:
        return Detectable(*fields, None, None, None, "unknown")
    span = column.high - column.low
    mdd = _told(span * sqrt(TYPICAL / size.rows), size.rows, family)
    mdd_conservative = None
    if size.images is not None and size.images > 1:
        mdd_conservative = stats.detectable(span * sqrt(CAUTIOUS / size.images), size.images - 1)
    return Detectable(*fields, *mdd, mdd_conservative, "assumed")


def _row_by_row(column: Metric) -> bool:
    """Whether a column is a plain mean of single rows; of other figures nothing is assumed."""
    return column.mean and column.group is Metric.group


def _told(error: float, count: int, family: int) -> tuple[float, float]:
    free = max(count - 1, 1)
    return (
        stats.detectable(error, free),
        stats.detectable(error, free, alpha=0.05 / family),
    )


def _cost(
    benchmark: Benchmark,
    size: Size,
    rows: Sequence[Sample],
    throughput: float | None,
    judgings: int,
) -> Cost:
    judged = benchmark.rubric is not None
    questions = _ARMS * judgings * size.rows if judged and size.rows is not None else None
    letters = [len(row.prompt) + len(row.target) + len(row.answer or "") for row in rows]
    mean = sum(letters) / len(letters) / _LETTERS_PER_TOKEN if letters else None
    return Cost(
        benchmark=benchmark.name,
        rows=size.rows,
        images=size.images,
        counted=size.source,
        seconds=_ARMS * size.rows / throughput if throughput and size.rows is not None else None,
        judged=judged,
        questions=questions,
        tokens=round(questions * mean) if questions is not None and mean is not None else None,
    )
