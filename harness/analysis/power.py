"""What a run would find out, and what it would take, before anything is spent.

The minimum detectable difference (MDD) is simulated (:mod:`harness.stats.power`): from how single
images moved in an earlier run where one is named, else from plain assumptions, which are printed
with the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from harness import stats
from harness.analysis.sizes import Size, size_of
from harness.benchmark import Benchmark, Metric, headline
from harness.compare import confidence_of
from harness.records import Sample
from harness.runs import FinishedRun
from harness.stats import Design, Moves
from harness.storage import read_throughputs

TYPICAL, CAUTIOUS = 0.10, 0.30
"""Shares of rows that change sides between two models, assumed where no run is named."""
ALPHA, WANTED = 0.05, 2.0
"""Level of the tests, and the difference, in percent of the scale, that images are counted for."""
_LETTERS_PER_TOKEN = 4
_ARMS = 2


@dataclass(frozen=True)
class Detectable:
    """What can be detected in one headline column.

    Attributes:
        benchmark: its name.
        column: the column's name.
        unit: of the differences.
        digits: decimals in tables.
        mdd: minimum detectable difference, with 80 % power; from a run, or assuming that 10 % of
            rows change sides and count as independent. ``None`` where nothing can be said, or where
            no difference of any size would be told.
        mdd_corrected: the same after the correction over the planned benchmarks at its most severe.
        mdd_conservative: assuming that 30 % change sides and rows of one image move together;
            ``None`` where a run was taken, or the number of images is not known.
        source: ``"run"``, ``"assumed"`` or ``"unknown"``.
        images_needed: how many images tell two hundredths of the scale after correction; ``None``
            where no number does.
        seeds_needed: how many trainings do so on the planned images; ``None`` where fifty do not,
            or where the named run says nothing about seeds.
    """

    benchmark: str
    column: str
    unit: str
    digits: int
    mdd: float | None
    mdd_corrected: float | None
    mdd_conservative: float | None
    source: str
    images_needed: int | None = None
    seeds_needed: int | None = None


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
        seeds: trainings of the planned run.
        seed_spread_known: whether the named run has several seeds, so that their spread is counted.
    """

    detectable: tuple[Detectable, ...]
    costs: tuple[Cost, ...]
    family: int
    source: str | None
    seeds: int = 1
    seed_spread_known: bool = False

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
    seeds: int = 1,
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
        seeds: trainings of the planned run.
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
            plan = _Plan(size, family, seeds)
            detectable.append(_reach(benchmark.name, column, plan, run))
    known = run is not None and bool(run.more)
    return Estimate(tuple(detectable), tuple(costs), family, name, seeds, known)


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


@dataclass(frozen=True)
class _Plan:
    size: Size
    family: int
    seeds: int


def _reach(name: str, column: Metric, plan: _Plan, run: FinishedRun | None) -> Detectable:
    fields = (name, column.name, column.unit, column.digits)
    size, span = plan.size, column.high - column.low
    known = _measured(run, name, column)
    if known is not None and known.moves is not None and (size.images or size.rows):
        spread = known.seed_error * known.seeds**0.5
        design = Design(size.images or size.rows or 0, span, plan.seeds, spread)
        found = Detectable(*fields, *_told(known.moves, design, plan.family), None, "run")
        return _needed(found, known.moves, design, plan.family)
    if not _row_by_row(column) or size.rows is None or size.rows < 2:
        return Detectable(*fields, None, None, None, "unknown")
    moves, design = _assumed(TYPICAL, span), Design(size.rows, span, plan.seeds)
    mdd = _told(moves, design, plan.family)
    mdd_conservative = None
    if size.images is not None and size.images > 1:
        together = replace(design, images=size.images)
        mdd_conservative = stats.detectable(_assumed(CAUTIOUS, span), together)
    return _needed(
        Detectable(*fields, *mdd, mdd_conservative, "assumed"), moves, design, plan.family
    )


def _measured(run: FinishedRun | None, name: str, column: Metric) -> stats.Confidence | None:
    """Return what an earlier run says of a column."""
    if run is None or name not in run.before or name not in run.after:
        return None
    arms = ((run.before, run.after), *run.more)
    return confidence_of(name, column, [(one[name], two[name]) for one, two in arms])


def _needed(found: Detectable, moves: Moves, design: Design, family: int) -> Detectable:
    level, wanted = ALPHA / family, WANTED / 100 * design.span
    return replace(
        found,
        images_needed=stats.images_for(wanted, moves, design, alpha=level),
        seeds_needed=stats.seeds_for(wanted, moves, design, alpha=level)
        if design.seed_spread
        else None,
    )


def _assumed(share: float, span: float) -> Moves:
    return Moves((0.0, span), (1 - share, share))


def _row_by_row(column: Metric) -> bool:
    """Whether a column is a plain mean of single rows; of other figures nothing is assumed."""
    return column.mean and column.group is Metric.group


def _told(moves: Moves, design: Design, family: int) -> tuple[float | None, float | None]:
    return (
        stats.detectable(moves, design, alpha=ALPHA),
        stats.detectable(moves, design, alpha=ALPHA / family),
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
