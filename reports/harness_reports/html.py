"""``report.html``: the comparison as one page that opens anywhere, without a network.

Text of models, judges and data sets is hostile. The template escapes everything; the samples stand
in a JSON block that nothing can end, and the script builds text nodes only. The page's policy
allows one script and one style sheet by their hashes, pictures from the file itself, and nothing
else.
"""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import progress
from harness.compare import BenchmarkComparison, MetricResult
from harness.errors import HarnessError
from harness.pairs import facts
from harness.report import ReportInput
from harness.storage import cannot_write, write_whole
from harness_reports import plots, rounds, templates, uncertain
from harness_reports.html_samples import clusters_of, table_of
from harness_reports.templates import script_json

NAME = "report.html"
BESIDE = "report_files"
LARGEST = 15_000_000
"""Bytes of one file; beyond it, the pictures lie in the folder :data:`BESIDE`."""
_REST = 500_000  # of the page: everything but samples and pictures, with room to spare


def write(report: ReportInput, folder: Path) -> Path:
    """Write ``report.html`` into the run folder, with ``report_files/`` only if it would be large.

    Raises:
        HarnessError: if a file cannot be written.
    """
    beside = folder / BESIDE
    found = {name: path for name in _names(report) if (path := report.picture(name))}
    table = table_of(report)
    samples = script_json(table)
    # Base64 makes four bytes of three.
    size = sum(4 * path.stat().st_size // 3 for path in found.values())
    large = _REST + len(samples.encode()) + size > LARGEST
    try:
        if beside.is_dir():
            shutil.rmtree(beside)
        if large and found:
            beside.mkdir(parents=True)
            for name, path in found.items():
                shutil.copyfile(path, beside / f"{name}.webp")
    except OSError as error:
        raise cannot_write(beside, error) from error
    if large and found:
        progress.say(f"{NAME} is large: its pictures lie in {BESIDE}/, which belongs beside it.")
    places = {name: f"{BESIDE}/{name}.webp" for name in found} if large else _inside(found)
    return write_whole(folder / NAME, _page(report, places, table, samples))


def render(report: ReportInput, pictures: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        report: what to show.
        pictures: address of each small picture by its name: inside the page, or a file beside it.
    """
    table = table_of(report)
    return _page(report, pictures, table, script_json(table))


def _page(
    report: ReportInput, pictures: Mapping[str, str], table: Mapping[str, Any], samples: str
) -> str:
    from markupsafe import Markup

    comparison = report.comparison
    benchmarks = comparison.benchmarks if comparison is not None else ()
    return templates.page(
        "report",
        pictures.values(),
        samples=Markup(samples),
        pictures=Markup(script_json(_addresses(report, pictures))),
        count=len(table["rows"]),
        benches=table["benches"],
        forest=Markup(plots.forest(comparison) if comparison is not None else ""),
        curves=Markup(plots.curves(report.curves)),
        rounds_plot=Markup(plots.rounds(rounds.lines(report))),
        rounds_head=rounds.head(report),
        rounds_rows=rounds.rows(report),
        report=report,
        comparison=comparison,
        coverage=f"{100 * (1 - comparison.alpha):g}" if comparison is not None else "95",
        results=list(_results(benchmarks)),
        beside=any(not figure.primary for each in benchmarks for figure in each.figures),
        shown={*report.before, *report.after},
        lengths=[(b, _digits(b)) for b in benchmarks],
        categories=[(b, _digits(b)) for b in benchmarks if b.groups],
        facts=facts(report.doctor) if report.doctor else [],
        gallery=_gallery(report, pictures),
        addresses=pictures,
        origin=list(_origin(report)),
        components=uncertain.table(report),
        uncertain=uncertain,
    )


def _names(report: ReportInput) -> Iterator[str]:
    yield from clusters_of(report)
    for example in report.doctor.examples if report.doctor else ():
        yield from example.pictures.values()
    for each in report.attribution:
        yield from (each.before.picture, each.after.picture)


def _inside(found: Mapping[str, Path]) -> dict[str, str]:
    try:
        return {
            name: "data:image/webp;base64," + base64.b64encode(path.read_bytes()).decode()
            for name, path in found.items()
        }
    except OSError as error:
        raise HarnessError(f"A picture of the run cannot be read: {error}") from error


def _addresses(report: ReportInput, pictures: Mapping[str, str]) -> Mapping[str, str]:
    return {name: pictures[name] for name in clusters_of(report) if name in pictures}


def _results(
    benchmarks: Sequence[BenchmarkComparison],
) -> Iterator[tuple[BenchmarkComparison, MetricResult, str, bool]]:
    """Yield the headline figures first; figures beside it that say the same are one row."""
    for benchmark in benchmarks:
        alike: dict[tuple[Any, ...], list[MetricResult]] = {}
        for figure in sorted(benchmark.figures, key=lambda figure: not figure.primary):
            said = (figure.before, figure.after, figure.interval, figure.samples, figure.unit)
            alike.setdefault((figure.column,) if figure.primary else said, []).append(figure)
        for place, (figure, *others) in enumerate(alike.values()):
            names = ", ".join(each.column for each in (figure, *others))
            yield benchmark, figure, names, place == 0


def _digits(benchmark: BenchmarkComparison) -> int:
    return next((figure.digits for figure in benchmark.figures if figure.primary), 1)


def _gallery(
    report: ReportInput, pictures: Mapping[str, str]
) -> list[tuple[Any, list[tuple[str, str]]]]:
    """Return each example of the pair diagnostics with labels and addresses of its pictures."""
    return [
        (
            example,
            [
                (label, pictures[name])
                for label, name in example.pictures.items()
                if name in pictures
            ],
        )
        for example in (report.doctor.examples if report.doctor else ())
    ]


def _origin(report: ReportInput) -> Iterator[tuple[str, str]]:
    yield from (
        ("method", report.method),
        ("model", report.model),
        ("benchmark data", report.data or "not named"),
        ("seed", str(report.seed)),
    )
    if report.comparison is not None:
        yield "checkpoint", report.checkpoint
    yield from ((f"option {key}", value) for key, value in report.options.items())
    yield from sorted(report.versions.items())
    yield from sorted(report.clock.items())
