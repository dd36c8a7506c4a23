"""What a run would find out, and what it would take, before anything is spent.

The minimum detectable difference (MDD) is simulated (:mod:`harness.stats.power`): from how single
images moved in an earlier run where one is named, else from plain assumptions, which are printed
with the result. Rows and images of a benchmark are counted without lmms-eval and without decoding.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import stats
from harness.benchmark import (
    HUB,
    Benchmark,
    Metric,
    check_tables,
    configs_of,
    facts_of,
    headline,
    local_folder,
    place_of,
    stored_rows,
    task_settings,
    yaml_file,
)
from harness.compare import confidence_of
from harness.records import Sample
from harness.runs import FinishedRun
from harness.stats import CURVE, WANTED, Design, Moves
from harness.storage import read_throughputs

_ENOUGH = 1 << 30  # bytes of tables that are read for their images; more takes too long
_STATED = re.compile(r"([\d,]+) rows")
_IMAGES = ("image", "images", "image_1", "img")


@dataclass(frozen=True)
class Size:
    """Rows and images of a benchmark, and how they are known; ``None`` where they are not."""

    rows: int | None
    images: int | None
    source: str


def size_of(benchmark: Benchmark, data: str | Path, limit: int | None = None) -> Size:
    """Return the size of a benchmark on the data that a run would read.

    Tables are counted as they lie there; a task that leaves rows out has fewer. On the hub the
    number that the benchmark states is taken.

    Raises:
        UsageError: if the folder has no copy of the data set, or that is not whole.
    """
    found = Size(None, None, "unknown; measure a run and name it with --from")
    data = place_of(data, benchmark.task)
    tables = check_tables(benchmark.task, data)
    if tables is not None and tables.rows is not None:
        found = Size(tables.rows, _images(list(tables.files), limit), "counted in the data")
    elif str(data) == HUB:
        stated = _STATED.search(benchmark.source)
        if stated:
            found = Size(int(stated[1].replace(",", "")), None, "as the benchmark states")
    else:
        files = _tables(benchmark, Path(data))
        if files:
            rows, _, _ = facts_of(f"the data of {benchmark.name}", files)
            found = Size(rows, _images(files, limit), "counted in the data")
    if limit is None or found.rows is None or limit >= found.rows:
        return found
    known = found.images if str(data) != HUB else None
    return Size(limit, known, f"the first {limit} ({found.source})")


def _tables(benchmark: Benchmark, data: Path) -> list[Path]:
    config: Mapping[str, Any] = task_settings(yaml_file(benchmark.task))
    folder = local_folder(str(config["dataset_path"]), data)
    split = str(config.get("test_split") or config.get("validation_split") or "")
    every = sorted(folder.rglob("*.parquet"))
    mine = [file for file in every if re.match(rf"{re.escape(split)}[-.]", file.name)]
    named = set(configs_of(config))
    inside = [file for file in mine if named & set(file.relative_to(folder).parts[:-1])]
    plain = [file for file in mine if file.relative_to(folder).parts[:-1] in ((), ("data",))]
    return inside or plain or (mine if len({file.parent for file in mine}) == 1 else [])


def _images(files: list[Path], limit: int | None) -> int | None:
    """Count different images by their stored bytes, in the first ``limit`` rows."""
    if any(file.suffix != ".parquet" for file in files):
        return None
    if sum(file.stat().st_size for file in files) > _ENOUGH:
        return None
    seen: set[bytes] = set()
    for count, image in enumerate(_stored(files)):
        if limit is not None and count >= limit:
            break
        seen.add(image)
    return len(seen) or None


def _stored(files: list[Path]) -> Iterator[bytes]:
    for file in files:
        for row in stored_rows(file, lambda field: field.name in _IMAGES):
            value = next(row[name] for name in _IMAGES if name in row)
            parts = value if isinstance(value, list) else [value]
            total = hashlib.sha256()
            for part in parts:
                stored = part.get("bytes") if isinstance(part, Mapping) else part
                total.update(stored if isinstance(stored, bytes) else repr(stored).encode())
            yield total.digest()


TYPICAL, CAUTIOUS = 0.10, 0.30
"""Shares of rows that change sides between two models, assumed where no run is named."""
ALPHA = 0.05
"""Level of the tests."""
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
            no difference of any size is detectable.
        mdd_corrected: the same after the correction over the planned benchmarks at its most severe.
        mdd_conservative: assuming that 30 % change sides and rows of one image move together;
            ``None`` where a run was taken, or the number of images is not known.
        source: ``"run"``; ``"assumed"`` of rows; ``"rough"`` where the figure is no mean of rows,
            so that the same is assumed of images, or of rows where images were not counted.
        power: true differences, and how likely each is told after correction; empty where the
            number of rows is not known.
        rows_needed: how many rows detect two hundredths of the scale after correction; ``None``
            where no number does.
        images_needed: the same in images; ``None`` too where images were not counted.
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
    power: tuple[tuple[float, float], ...] = ()
    rows_needed: int | None = None
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
        seconds: to ask the model, at the throughput of the named run; ``None`` without one.
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
        detectable: minimum detectable differences, by headline column.
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
    """Say what a run on these benchmarks could detect and what it would take.

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
    size, span = plan.size, column.high - column.low
    found = Detectable(name, column.name, column.unit, column.digits, None, None, None, "run")
    known = _measured(run, name, column)
    if known is not None and known.moves is not None:
        spread = known.seed_error * known.seeds**0.5
        images = size.images or size.rows or 0
        design = Design(images, span, plan.seeds, spread)
        per_image = size.rows / size.images if size.rows and size.images else None
        return _filled(found, known.moves, design, plan, per_image=per_image)
    moves, independent = _assumed(TYPICAL, span), _row_by_row(column)
    source = "assumed" if independent else "rough"
    per_image = size.rows / size.images if size.rows and size.images else None
    count = (size.rows if independent else size.images or size.rows) or 0
    found = _filled(
        replace(found, source=source),
        moves,
        Design(count, span, plan.seeds),
        plan,
        per_image=1 / per_image if independent and per_image else per_image,
        by_rows=independent or not size.images,
    )
    if size.images is None or size.images < 2:
        return found
    together = Design(size.images, span, plan.seeds)
    return replace(found, mdd_conservative=stats.detectable(_assumed(CAUTIOUS, span), together))


def _measured(run: FinishedRun | None, name: str, column: Metric) -> stats.Confidence | None:
    """Return what an earlier run says of a column."""
    if run is None or name not in run.before or name not in run.after:
        return None
    arms = ((run.before, run.after), *run.more)
    return confidence_of(name, column, [(one[name], two[name]) for one, two in arms])


def _filled(
    found: Detectable,
    moves: Moves,
    design: Design,
    plan: _Plan,
    *,
    per_image: float | None,
    by_rows: bool = False,
) -> Detectable:
    """Return the record with its differences, its power curve, and what two percent would take.

    Args:
        found: what is planned.
        moves: of what is counted: rows or images.
        design: how many of them.
        plan: family and seeds.
        per_image: how many of the other ones there are for each that is counted.
        by_rows: rows are counted, not images.
    """
    level, wanted = ALPHA / plan.family, WANTED / 100 * design.span
    counted = stats.images_for(wanted, moves, design, alpha=level)
    other = round(counted * per_image) if counted is not None and per_image else None
    effects = [percent / 100 * design.span for percent in CURVE]
    seeds = stats.seeds_for(wanted, moves, design, alpha=level) if design.seed_spread else None
    found = replace(
        found,
        rows_needed=counted if by_rows else other,
        images_needed=other if by_rows else counted,
        seeds_needed=seeds,
    )
    if design.images < 2:
        return found
    return replace(
        found,
        mdd=stats.detectable(moves, design, alpha=ALPHA),
        mdd_corrected=stats.detectable(moves, design, alpha=level),
        power=tuple((each, stats.power_at(moves, design, each, alpha=level)) for each in effects),
    )


def _assumed(share: float, span: float) -> Moves:
    return Moves((0.0, span), (1 - share, share))


def _row_by_row(column: Metric) -> bool:
    """Whether a column is a plain mean of single rows; of other figures nothing is assumed."""
    return column.mean and column.group is Metric.group


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
