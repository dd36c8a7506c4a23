"""One model, measured and nothing else: a run folder with a single arm.

Two of them are compared with ``harness compare``, one is the baseline of ``harness gate``, and the
answers of one serve as the arm before of ``harness run --baseline``. A server's model, which cannot
be trained here, can be measured all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from harness import stats
from harness.benchmark import Benchmark, Metric, headline
from harness.compare import CANNOT_TELL, Comparison, Unit, arrays_of, join, units_of
from harness.engine import ENGINE_VERSION
from harness.evaluate import evaluate
from harness.judge import check, judge
from harness.model import Model, open_model
from harness.plugins import load
from harness.records import Sample, Samples, fingerprint, to_json
from harness.rejudge import asked_of, benchmarks_of_run
from harness.report import ReportInput
from harness.resolve import benchmarks_of, data_of, demo_of, folder_name, prints_of, versions
from harness.runs import open_run
from harness.settings import EvalSettings, JudgeSettings
from harness.states import StateCount, count_states
from harness.stats import canonical, jackknife_error, rounded, sums_of
from harness.storage import Store, locked, read_journal, write_json

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray


@dataclass(frozen=True)
class MetricLevel:
    """One column of one benchmark of one model.

    Attributes:
        benchmark: its name.
        column: the column's name.
        unit: of figure and interval.
        digits: decimals in tables.
        primary: belongs to the headline.
        figure: the figure; ``None`` where no row has a score.
        interval: its 95 % interval over images; ``None`` where it cannot be known.
        samples: rows that count.
        clusters: images among them.
        missing: rows without an answer or score.
    """

    benchmark: str
    column: str
    unit: str
    digits: int
    primary: bool
    figure: float | None
    interval: tuple[float, float] | None
    samples: int
    clusters: int
    missing: int


@dataclass(frozen=True)
class EvalResult:
    """What a measurement came to.

    Attributes:
        folder: of the run.
        levels: its figures.
        notes: what a reader of them has to know.
        calls: how often the model was asked, and not the store.
        judge_calls: questions that reached a judge.
        states: rows by state, for each benchmark.
    """

    folder: Path
    levels: tuple[MetricLevel, ...]
    notes: tuple[str, ...]
    calls: int
    judge_calls: int = 0
    states: Mapping[str, tuple[StateCount, ...]] = field(default_factory=dict)

    @property
    def missing(self) -> int:
        """How many answers or scores are missing in the headline columns."""
        return sum(level.missing for level in self.levels if level.primary)


def measure(asked: EvalSettings) -> EvalResult:
    """Ask one model every row and write a run folder with the arm ``after``.

    Raises:
        UsageError: if something named is not there.
        HarnessError: if a benchmark cannot be measured; finished answers stay on disk.
    """
    check(asked.judging)
    data, demo = data_of(asked.data), demo_of(asked.model)
    benchmarks, inputs = benchmarks_of(asked.benches, data)
    store = Store(asked.out / "store.sqlite")
    source = demo.model if demo else asked.model
    model = open_model(source, store=store, device=asked.device, dtype=asked.dtype)
    model = model if asked.adapter is None else model.with_adapter(asked.adapter)
    cut = () if asked.max_new_tokens is None else (f"max_new_tokens={asked.max_new_tokens}",)
    code = fingerprint(model.fingerprint, inputs, asked.limit, *cut)
    folder = asked.out / folder_name("eval", asked.model, code)
    with locked(folder):
        return _measured(asked, model, benchmarks, inputs, data, folder)


def _measured(
    asked: EvalSettings,
    model: Model,
    benchmarks: Sequence[Benchmark],
    inputs: Mapping[str, str],
    data: str | Path,
    folder: Path,
) -> EvalResult:
    measured = {"model": model.fingerprint, "engine": str(ENGINE_VERSION)}
    settings = {"asked": to_json(asked), "options": {}, "inputs": inputs, "measured": measured}
    write_json(folder / "settings.json", settings)
    write_json(folder / "versions.json", versions())
    found = evaluate(
        "after",
        model,
        benchmarks,
        data=data,
        folder=folder,
        fingerprints=prints_of(
            benchmarks, inputs, model.fingerprint, asked.limit, asked.max_new_tokens
        ),
        limit=asked.limit,
        max_new_tokens=asked.max_new_tokens,
    )
    if asked.judging.local:
        model.release()  # the judge needs the memory, and nobody asks the model any more
    data_demo = demo_of(asked.data)
    report = ReportInput(
        comparison=Comparison((), CANNOT_TELL, 0, 0, 0, 0.05, 1.0, ()),
        method=f"eval of {Path(asked.model).name}",
        model=asked.model,
        data=asked.data,
        versions=versions(),
        notice=data_demo.notice if data_demo else None,
    )
    done = _judged(
        report,
        asked.judging,
        benchmarks,
        found.samples,
        data=data,
        folder=folder,
        device=asked.device,
        dtype=asked.dtype,
    )
    return replace(done, calls=model.calls)


def judge_alone(
    folder: Path, settings: JudgeSettings, *, only_missing: bool = False, device: str = "auto"
) -> EvalResult:
    """Judge the stored answers of one model again; the model is not asked anything.

    Args:
        folder: the folder of a measurement.
        settings: who judges.
        only_missing: keep the verdicts that are there.
        device: where a local judge runs.

    Raises:
        UsageError: if there is no such measurement or judge, or its data are not there.
        HarnessError: if data or judge have changed, or a file is damaged.
    """
    run, asked = open_run(folder), asked_of(folder)
    benchmarks = benchmarks_of_run(run, asked)
    journals = {bench.name: folder / "after" / f"{bench.name}.jsonl" for bench in benchmarks}
    with locked(folder):
        return _judged(
            run.report,
            settings,
            benchmarks,
            {name: read_journal(path, Sample) for name, path in journals.items()},
            data=data_of(str(asked["data"])),
            folder=folder,
            device=device,
            only_missing=only_missing,
        )


def _judged(
    report: ReportInput,
    settings: JudgeSettings,
    benchmarks: Sequence[Benchmark],
    samples: Samples,
    *,
    data: str | Path,
    folder: Path,
    device: str,
    dtype: str = "auto",
    only_missing: bool = False,
) -> EvalResult:
    verdicts = judge(
        settings,
        benchmarks,
        {bench.name: () for bench in benchmarks},
        samples,
        data=data,
        folder=folder,
        store=Store(folder.parent / "store.sqlite"),
        device=device,
        dtype=dtype,
        only_missing=only_missing,
    )
    notes = (*([report.notice] if report.notice else []), *verdicts.notes)
    comparison = replace(report.comparison, notes=notes)
    load("reports", "json")(
        replace(report, comparison=comparison, judging=verdicts.judging), folder
    )
    levels = [levels_of(bench, verdicts.after[bench.name]) for bench in benchmarks]
    states = {bench.name: count_states(verdicts.after[bench.name]) for bench in benchmarks}
    return EvalResult(folder, tuple(chain.from_iterable(levels)), notes, 0, verdicts.calls, states)


def levels_of(benchmark: Benchmark, samples: Sequence[Sample]) -> list[MetricLevel]:
    """Return every column's figure of one arm, with its interval over images."""
    joined = join(benchmark.name, samples, samples)
    heads = headline(benchmark.columns)
    return [
        _level(benchmark.name, column, units_of(column, joined), column in heads)
        for column in benchmark.columns
    ]


def _level(name: str, column: Metric, units: Sequence[Unit], primary: bool) -> MetricLevel:
    paired = [unit for unit in units if unit.paired]
    figure, interval = _figure(column, paired)
    return MetricLevel(
        benchmark=name,
        column=column.name,
        unit=column.unit,
        digits=column.digits,
        primary=primary,
        figure=rounded(figure),
        interval=interval,
        samples=sum(len(unit.rows) for unit in paired),
        clusters=len({unit.cluster for unit in paired}),
        missing=sum(len(unit.rows) for unit in units if unit.lacks("after")),
    )


def _figure(
    column: Metric, units: Sequence[Unit]
) -> tuple[float | None, tuple[float, float] | None]:
    """Return a figure and its interval: its difference from an arm of nothing, which is set to 0.

    So one figure has the interval that a difference has, by the same bootstrap and jackknife.
    """
    import numpy as np

    if not units:
        return None, None
    _, counters, images = arrays_of(units)

    def figure(counted: NDArray[float64]) -> NDArray[float64]:
        there: NDArray[float64] = np.where(counted[..., 0] > 0, column.value(counted[..., 1:]), 0.0)
        return there

    sums = sums_of(np.hstack([np.ones((len(counters), 1)), counters]), images)
    clusters, sign = canonical(np.zeros_like(sums), sums)
    with np.errstate(all="ignore"):
        level = float(column.value(counters.sum(axis=0)))
        if not np.isfinite(level):
            return None, None
        ends = stats.interval(clusters, figure, jackknife_error(clusters, figure))
    if ends is None:
        return level, None
    low, high = sorted(sign * end for end in ends)
    return level, (round(max(low, column.low), 10), round(min(high, column.high), 10))
