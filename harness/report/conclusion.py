"""From scored answers to what every report shows: the one place where a result is put together.

A run, several seeds, a run judged again, two runs side by side and one model by itself all end
here, so that none of them can forget what a reader has to know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from harness.benchmark import fitted
from harness.compare import Comparison, Terms, compare, examples_of, levels_of
from harness.judge import Judging, Verdicts
from harness.records import Samples, count_states
from harness.report.input import ReportInput
from harness.stages import ImageOverlap, RoundFigure, overlaps_of

if TYPE_CHECKING:
    from harness.benchmark import Metric


def conclude(
    about: ReportInput,
    arms: Verdicts,
    columns: Mapping[str, Sequence[Metric]],
    *,
    seed: int = 0,
    like: Comparison | None = None,
    terms: Terms | None = None,
    touched: Sequence[ImageOverlap] = (),
    more: Sequence[tuple[Samples, Samples]] = (),
) -> ReportInput:
    """Compare two arms and return what the reports show.

    Args:
        about: where the result comes from; what it held of another result is replaced.
        arms: the samples of both, and who judged them.
        columns: of every benchmark, in the order of the result.
        seed: of the resampling.
        like: a comparison whose seed, draws and terms are used instead.
        terms: margin, level, and benchmarks whose missing rows are accepted.
        touched: rows whose images the training prompts show.
        more: both arms of further training seeds.

    Raises:
        HarnessError: if the arms do not hold the same benchmarks and rows.
    """
    before, after = arms.before, arms.after
    columns = {
        name: fitted(own, (*before.get(name, ()), *after.get(name, ())))
        for name, own in columns.items()
    }
    settings: dict[str, Any] = {"seed": seed}
    if like is not None:
        settings, terms = {name: getattr(like, name) for name in ("seed", "draws")}, like.terms
    comparison = compare(before, after, columns, more=more, **settings, **asdict(terms or Terms()))
    return replace(
        about,
        comparison=comparison,
        levels=(),
        states={},
        published={},
        judging=arms.judging,
        overlaps=overlaps_of(touched, before, after, columns, comparison, more),
        examples=examples_of(comparison, before, after),
        before=before,
        after=after,
    )


def each_round(
    report: ReportInput,
    arms: Mapping[int, Samples],
    columns: Mapping[str, Sequence[Metric]],
) -> ReportInput:
    """Add the headline figures after every round, each compared with the model before the first.

    Of several seeds, the rounds are those of the first one, the last round among them.

    Args:
        report: the result of the last round.
        arms: the samples of the rounds before it, by number.
        columns: of every benchmark.

    Raises:
        HarnessError: if a round does not hold the same benchmarks and rows.
    """
    last = report.compared
    assert report.rounds is not None
    count = report.rounds.asked.count
    arms, found = ({**arms, count: report.after}, {}) if report.seeds else (arms, {count: last})
    for number, after in arms.items():
        own = {
            name: fitted(each, (*report.before.get(name, ()), *after.get(name, ())))
            for name, each in columns.items()
        }
        terms = asdict(last.terms)
        found[number] = compare(
            report.before, after, own, seed=last.seed, draws=last.draws, **terms
        )
    each = tuple(
        replace(one, figures=_figures(found[one.number])) if one.number in found else one
        for one in report.rounds.each
    )
    return replace(report, rounds=replace(report.rounds, each=each))


def _figures(comparison: Comparison) -> tuple[RoundFigure, ...]:
    return tuple(
        RoundFigure(
            each.name,
            figure.column,
            figure.unit,
            figure.digits,
            figure.higher_is_better,
            figure.before,
            figure.after,
            figure.difference,
            figure.interval,
        )
        for each in comparison.benchmarks
        for figure in each.figures
        if figure.primary
    )


def conclude_alone(
    about: ReportInput,
    samples: Samples,
    columns: Mapping[str, Sequence[Metric]],
    *,
    judging: Judging | None = None,
    published: Mapping[str, Mapping[str, str]] | None = None,
) -> ReportInput:
    """Measure one model by itself and return what the reports show.

    Args:
        about: where the result comes from; what it held of another result is replaced.
        samples: of the model, by benchmark.
        columns: of every benchmark, in the order of the result.
        judging: who judged these samples; ``None`` where the built-in grader's scores stand.
        published: figures that others have printed, by benchmark and model. A demo's figures
            compare with none of them.
    """
    columns = {name: fitted(own, samples.get(name, ())) for name, own in columns.items()}
    named = {name: found for name, found in (published or {}).items() if found}
    return replace(
        about,
        comparison=None,
        levels=levels_of(samples, columns),
        states={name: count_states(rows) for name, rows in samples.items()},
        published={} if about.notice else named,
        judging=judging,
        overlaps=(),
        examples=(),
        before={},
        after=samples,
    )
