"""The commands as Python functions, for notebooks and scripts.

    from harness import api

    found = api.run("seva", "mmvet,pope", limit=36, max_prompts=24, options={"noise_step": 500})
    found.to_frame()
    found.flips("pope")

Each does what the command of its name does, in the same folders and with the same cache, and raises
:class:`harness.UsageError` or :class:`harness.HarnessError` where the command would print it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_type_hints

from harness.errors import UsageError, near_miss
from harness.records import Bounds, check_bounds

if TYPE_CHECKING:
    import pandas as pd

    from harness.analysis import Estimate
    from harness.compare import Comparison
    from harness.records import Sample
    from harness.report import ReportInput

S = TypeVar("S")

__all__ = ["Power", "Result", "compare", "evaluate", "open_result", "power", "run"]


@dataclass(frozen=True)
class Result:
    """What was measured: two arms, or one model by itself.

    Attributes:
        report: everything that a report is given.
        folder: where it lies; ``None`` for a comparison of two runs, which writes nothing.
        calls: requests that reached the model in this call; the other answers came from the cache.
    """

    report: ReportInput
    folder: Path | None = None
    calls: int = 0

    @property
    def comparison(self) -> Comparison:
        """Before against after.

        Raises:
            UsageError: if one model was measured by itself.
        """
        return self.report.compared

    @property
    def verdict(self) -> str:
        """Over the headline figures, such as ``"gain"`` or ``"cannot tell"``."""
        return self.comparison.verdict

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each figure; columns are the fields of its record.

        See :class:`harness.compare.MetricResult`, or :class:`harness.compare.MetricLevel` for one
        model by itself. What cannot be known is missing there, never zero.
        """
        if self.report.comparison is None:
            return _frame(map(dataclasses.asdict, self.report.levels))
        return _frame(
            {"benchmark": benchmark.name, **dataclasses.asdict(figure)}
            for benchmark in self.report.comparison.benchmarks
            for figure in benchmark.figures
        )

    def samples(self, benchmark: str) -> pd.DataFrame:
        """Return one row for each question, with both answers and their scores.

        Args:
            benchmark: its name.

        Raises:
            UsageError: if it was not measured.
        """
        after = _by_id(self.report.after, benchmark)
        before = _by_id(self.report.before, benchmark) if self.report.before else {}
        rows = []
        for id_, sample in after.items():
            row: dict[str, Any] = {"id": id_, "question": sample.prompt, "target": sample.target}
            row["image"] = self.report.picture(sample.cluster)
            for arm, one in (("before", before.get(id_)), ("after", sample)):
                if one is not None:
                    row |= {arm: one.answer, f"{arm}_state": one.state}
                    row |= {f"{arm}_{name}": value for name, value in one.scores.items()}
            rows.append(row)
        return _frame(rows)

    def flips(self, benchmark: str | None = None) -> pd.DataFrame:
        """Return what changed sides: one row for each flip, with question, answers and image.

        Args:
            benchmark: only that one's.

        Raises:
            UsageError: if it was not compared.
        """
        names = [one.name for one in self.comparison.benchmarks]
        if benchmark is not None and benchmark not in names:
            raise _unknown(benchmark, names)
        columns = ["benchmark", "id", "direction", "label", "question", "target"]
        columns += ["before", "after", "image"]
        rows = []
        for one in self.comparison.benchmarks:
            if benchmark not in (None, one.name):
                continue
            before = _by_id(self.report.before, one.name)
            after = _by_id(self.report.after, one.name)
            for flip in one.flips:
                for id_ in flip.rows or (flip.id,):
                    sample = before.get(id_) or after[id_]
                    answers = (arm[id_].answer if id_ in arm else None for arm in (before, after))
                    told = (one.name, id_, flip.direction, flip.label, sample.prompt, sample.target)
                    row = (*told, *answers, self.report.picture(sample.cluster))
                    rows.append(dict(zip(columns, row, strict=True)))
        return _frame(rows, columns)

    def _repr_html_(self) -> str:
        """Show the headline figures in a notebook; pandas escapes every text."""
        html: str = self._headline().to_html(index=False)
        return html

    def __repr__(self) -> str:
        """Show the headline figures; the records hold every sample, far too much for a prompt."""
        text: str = self._headline().to_string(index=False)
        return text

    def _headline(self) -> pd.DataFrame:
        frame = self.to_frame()
        return frame.loc[frame["primary"], [name for name in _SHOWN if name in frame]]


_SHOWN = ("benchmark", "column", "before", "after", "figure", "difference", "interval", "verdict")


@dataclass(frozen=True)
class Power:
    """What a planned run could detect.

    Attributes:
        estimate: the record that ``harness plan`` prints.
    """

    estimate: Estimate

    def to_frame(self) -> pd.DataFrame:
        """Return one row for each headline column."""
        return _frame(map(dataclasses.asdict, self.estimate.detectable))

    def _repr_html_(self) -> str:
        html: str = self.to_frame().to_html(index=False)
        return html


def run(
    method: str,
    bench: str | Iterable[str],
    *,
    seeds: int = 1,
    options: Mapping[str, Any] | None = None,
    judge: Mapping[str, Any] | str | None = None,
    rounds: int | Mapping[str, Any] = 1,
    **settings: Any,
) -> Result:
    """Make pairs, train on them, evaluate before and after, and compare: ``harness run``.

    Args:
        method: name of the method.
        bench: benchmarks or suites: a list, or names that commas join.
        seeds: how many trainings.
        options: of the method, checked as those of ``--set`` are.
        judge: who judges open answers, or the fields of :class:`harness.settings.JudgeSettings`.
        rounds: of pairs and training, or the fields of :class:`harness.settings.RoundSettings`.
        settings: other fields of :class:`harness.settings.Settings`.

    Raises:
        UsageError: if something named is not there; the closest name is shown.
        HarnessError: if a stage could not do its work; everything finished stays on disk.
    """
    from harness.plugins import option_text
    from harness.run import run_seeds
    from harness.settings import RoundSettings, Settings, round_settings

    given = _typed("options", dict[str, Any], options or {})
    fields = rounds if isinstance(rounds, Mapping) else {"count": rounds}
    asked = _settings(RoundSettings, {"count": 1, **fields})
    outcome = run_seeds(
        _settings(
            Settings,
            {**settings, "method": method},
            benches=_benches(bench),
            options=tuple((key, option_text(given[key])) for key in sorted(given)),
            rounds=round_settings(**dataclasses.asdict(asked)),
            **_judging(judge),
        ),
        _settings(_Trainings, {"seeds": seeds}).seeds,
    )
    return dataclasses.replace(open_result(outcome.folder), calls=outcome.calls)


def evaluate(
    bench: str | Iterable[str], *, judge: Mapping[str, Any] | str | None = None, **settings: Any
) -> Result:
    """Measure one model by itself: ``harness eval``.

    Args:
        bench: as in :func:`run`.
        judge: as in :func:`run`.
        settings: other fields of :class:`harness.settings.EvalSettings`.

    Raises:
        UsageError: if something named is not there.
        HarnessError: if a benchmark cannot be measured; finished answers stay on disk.
    """
    from harness.eval import measure
    from harness.settings import EvalSettings

    found = measure(_settings(EvalSettings, settings, benches=_benches(bench), **_judging(judge)))
    return dataclasses.replace(open_result(found.folder), calls=found.calls)


def compare(first: Path | str, second: Path | str, *, seed: int = 0, **terms: Any) -> Result:
    """Hold what two runs made of a model against each other: ``harness compare``.

    Args:
        first: folder or bundle of the run that stands for "before".
        second: of the one that stands for "after".
        seed: of the resampling.
        terms: fields of :class:`harness.compare.Terms`.

    Raises:
        UsageError: if the runs share no benchmark.
        HarnessError: if their rows differ, or figures do not follow from them.
    """
    from harness.compare import Terms
    from harness.runs import compare_runs, open_evidence

    laid_down = _settings(Terms, terms)
    found = compare_runs(
        open_evidence(Path(first)), open_evidence(Path(second)), seed=seed, terms=laid_down
    )
    return Result(found)


def open_result(folder: Path | str) -> Result:
    """Read a finished run, eval or bundle; its figures are computed from its rows.

    Raises:
        UsageError: if there is none.
        HarnessError: if a file is damaged, or something does not follow from the rows.
    """
    from harness.runs import open_evidence, report_of

    return Result(report_of(open_evidence(Path(folder))), Path(folder))


def power(
    bench: str | Iterable[str],
    *,
    data: str = "tinyworld",
    source: Path | str | None = None,
    **planned: Any,
) -> Power:
    """Say what a run could detect, before anything is spent: ``harness plan``.

    Args:
        bench: as in :func:`run`.
        data: where the benchmarks' rows are.
        source: an earlier run or bundle, whose rows give the variance.
        planned: ``limit``, ``judgings`` or ``seeds`` of the planned run.

    Raises:
        UsageError: if something named is not there.
    """
    from harness import progress
    from harness.analysis import estimate, throughputs_of
    from harness.benchmark import benchmark, check_tables, expand
    from harness.resolve import data_of
    from harness.runs import open_run, unpacked

    asked = dataclasses.asdict(_settings(_Planned, planned))
    wanted = [benchmark(name) for name in expand(_benches(bench))]
    place = data_of(str(data))
    for each in wanted:
        tables = check_tables(each.task, place)
        for note in tables.notes if tables is not None else ():
            progress.say(f"{each.name}: {note}")
    if source is None:
        return Power(estimate(wanted, place, **asked))
    with unpacked(Path(source)) as folder:
        run, paces = open_run(folder), throughputs_of(folder)
    name = Path(source).name
    return Power(estimate(wanted, place, run=run, throughputs=paces, name=name, **asked))


@dataclass(frozen=True, kw_only=True)
class _Trainings:
    """How often :func:`run` trains."""

    seeds: Annotated[int, Bounds(least=1)] = 1


@dataclass(frozen=True, kw_only=True)
class _Planned(_Trainings):
    """What a planned run asks of :func:`power`."""

    limit: Annotated[int | None, Bounds(least=1)] = None
    judgings: Annotated[int, Bounds(least=1)] = 1


def _names(given: str | Iterable[str]) -> tuple[str, ...]:
    names = given.split(",") if isinstance(given, str) else _typed("names", list[str], given)
    return tuple(dict.fromkeys(name.strip() for name in names if name.strip()))


def _benches(given: str | Iterable[str]) -> tuple[str, ...]:
    if not (found := _names(given)):
        raise UsageError("No benchmark is named. Name one or several, as in bench='mmvet,pope'.")
    return found


def _judging(judge: Mapping[str, Any] | str | None) -> dict[str, Any]:
    from harness.settings import JudgeSettings

    if judge is None:
        return {}
    fields = {"judge": judge} if isinstance(judge, str) else judge
    return {"judging": _settings(JudgeSettings, fields)}


def _settings(record: type[S], given: Mapping[str, Any], **more: Any) -> S:
    """Fill a settings record; paths may be texts, and texts paths or lists with commas.

    Raises:
        UsageError: for an unknown name, naming the closest, and for a value that is not allowed.
    """
    hints = get_type_hints(record)
    for name in given:
        if name not in hints:
            raise _unknown(name, hints)
    values = {name: _typed(name, hints[name], each) for name, each in given.items()}
    made = record(**values, **more)
    check_bounds(made, "")
    return made


def _typed(name: str, hint: Any, value: Any) -> Any:
    """Return a value as the field of a settings record has it."""
    from pydantic import TypeAdapter, ValidationError

    if hint == tuple[str, ...] and isinstance(value, str):
        return _names(value)
    if isinstance(value, Path) and str in (hint, *get_args(hint)):
        return str(value)
    if isinstance(value, bool) and not {bool, Any}.intersection((hint, *get_args(hint))):
        raise UsageError(f"{name} is {value!r}: it takes neither True nor False.")
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError as error:
        raise UsageError(f"{name} is {value!r}: {error.errors()[0]['msg']}.") from error


def _by_id(samples: Mapping[str, Sequence[Sample]], benchmark: str) -> dict[str, Sample]:
    if benchmark not in samples:
        raise _unknown(benchmark, samples)
    return {sample.id: sample for sample in samples[benchmark]}


def _frame(rows: Iterable[Mapping[str, Any]], columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Make a frame; ``columns`` are those that it has also without rows."""
    import pandas as pd

    return pd.DataFrame(list(rows), columns=columns)


def _unknown(name: str, known: Iterable[str]) -> UsageError:
    names = list(known)
    return UsageError(
        f"There is nothing named '{name}' here.{near_miss(name, names)} Known: {', '.join(names)}."
    )
