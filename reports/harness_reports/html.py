"""``report.html``: the comparison as one page that opens anywhere, without a network.

Text of models, judges and data sets is hostile. The template escapes everything; the samples stand
in a JSON block that nothing can end, and the script builds text nodes only. The page's policy
allows one script and one style sheet by their hashes, pictures from the file itself, and nothing
else.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness import progress
from harness.errors import HarnessError
from harness.pairs import facts
from harness.report import ARMS, ReportInput
from harness.storage import cannot_write, write_whole
from harness_reports import plots, rounds, table, templates, uncertain, words
from harness_reports.html_samples import clusters_of, table_of
from harness_reports.templates import script_json

NAME = "report.html"
LARGEST = 15_000_000
"""Bytes of one file; beyond it, the pictures lie in a folder beside it."""
_REST = 500_000  # of the page: everything but samples and pictures, with room to spare


def write(report: ReportInput, folder: Path) -> Path:
    """Write ``report.html`` into the run folder, with ``report_files/`` only if it would be large.

    Raises:
        HarnessError: if a file cannot be written.
    """
    beside = _beside(folder / NAME)
    try:
        if beside.is_dir():  # of an earlier, larger page of this run
            shutil.rmtree(beside)
    except OSError as error:
        raise cannot_write(beside, error) from error
    return write_page(report, folder / NAME)


def write_page(report: ReportInput, file: Path) -> Path:
    """Write the page, with a folder of pictures beside it only if it would be large.

    What else lies there stays: the place is the user's.

    Raises:
        HarnessError: if a file cannot be written.
    """
    beside = _beside(file)
    found = {name: path for name in _names(report) if (path := report.picture(name))}
    rows = table_of(report)
    samples = script_json(rows)
    # Base64 makes four bytes of three.
    size = sum(4 * path.stat().st_size // 3 for path in found.values())
    large = _REST + len(samples.encode()) + size > LARGEST
    try:
        if large and found:
            beside.mkdir(parents=True, exist_ok=True)
            for name, path in found.items():
                shutil.copyfile(path, beside / f"{name}.webp")
    except OSError as error:
        raise cannot_write(beside, error) from error
    if large and found:
        progress.say(
            f"{file.name} is large: its pictures lie in {beside.name}/, which belongs beside it."
        )
    places = (
        {name: f"{quote(beside.name)}/{name}.webp" for name in found} if large else _inside(found)
    )
    return write_whole(file, _page(report, places, rows, samples))


def _beside(file: Path) -> Path:
    """Return the folder of the pictures of a large page."""
    return file.with_name(f"{file.stem}_files")


def render(report: ReportInput, pictures: Mapping[str, str]) -> str:
    """Return the page.

    Args:
        report: what to show.
        pictures: address of each small picture by its name: inside the page, or a file beside it.
    """
    rows = table_of(report)
    return _page(report, pictures, rows, script_json(rows))


def _page(
    report: ReportInput, pictures: Mapping[str, str], rows: Mapping[str, Any], samples: str
) -> str:
    from markupsafe import Markup

    comparison = report.comparison
    benchmarks = comparison.benchmarks if comparison is not None else ()
    shown = table.rows(comparison) if comparison is not None else []
    return templates.page(
        "report",
        pictures.values(),
        samples=Markup(samples),
        pictures=Markup(script_json(_addresses(report, pictures))),
        count=len(rows["rows"]),
        benches=rows["benches"],
        forest=Markup(plots.forest(comparison) if comparison is not None else ""),
        # What one of two runs was trained on says nothing of the other.
        curves=Markup("" if report.arms != ARMS else plots.curves(report.curves)),
        values=plots.values(report.curves),
        rounds_plot=Markup(plots.rounds(rounds.lines(report))),
        rounds_head=rounds.head(report),
        rounds_rows=rounds.rows(report),
        report=report,
        comparison=comparison,
        coverage=f"{100 * (1 - comparison.alpha):g}" if comparison is not None else "95",
        results=shown,
        footnotes=table.footnotes(shown, comparison) if comparison is not None else [],
        levels=table.levels(report),
        beside=any(not row.decides for row in shown),
        two_runs=report.arms != ARMS,
        sampled={*report.before, *report.after},
        benchmarks=benchmarks,
        table=table,
        categories=[b for b in benchmarks if b.groups],
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
        return {name: templates.inside(path.read_bytes()) for name, path in found.items()}
    except OSError as error:
        raise HarnessError(f"A picture of the run cannot be read: {error}") from error


def _addresses(report: ReportInput, pictures: Mapping[str, str]) -> Mapping[str, str]:
    return {name: pictures[name] for name in clusters_of(report) if name in pictures}


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
    yield from words.settings(report)
    if report.comparison is not None:
        yield "checkpoint", report.checkpoint
    yield from sorted(report.clock.items())
