"""The command that compares finished runs: two in full, more as a leaderboard."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import click

from harness.cli.options import JSON, PATH, comparison_flags, lines, say_next, terms_of
from harness.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from harness.analysis import Leaderboard
    from harness.compare import Terms
    from harness.report import ReportInput
    from harness.runs import FinishedRun


@click.command()
@click.argument("runs", metavar="RUN RUN ...", nargs=-1, required=True, type=PATH)
@click.option(
    "--against",
    metavar="NAME",
    help="Baseline: a run, or 'before' (the default where all share it).",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the intervals.")
@comparison_flags
@click.option("--all", "every", is_flag=True, help="Every figure, with differences and p values.")
@click.option("--markdown", is_flag=True, help="Print the leaderboard as Markdown.")
@click.option(
    "--html",
    "page",
    metavar="FILE",
    type=PATH,
    help="Also write an HTML page: of two runs with both answers to each row, of more with ranks.",
)
@JSON
def compare(
    runs: tuple[Path, ...],
    against: str | None,
    seed: int,
    margin: str | None,
    alpha: float | None,
    accept_missing: tuple[str, ...],
    every: bool,
    markdown: bool,
    page: Path | None,
    events: bool,
) -> ExitCode:
    """Compare two runs or bundles in full, or rank several.

    \b
    harness compare runs/seva-tinyworld-1a2b3c4d runs/sima-tinyworld-5e6f7a8b
    harness compare seva.zip sima.zip multineg.zip --against before --markdown
    harness compare runs/seva-* runs/sima-* --against before --html runs.html
    """
    from harness.analysis import recorded_terms
    from harness.runs import open_evidence

    if len(runs) < 2:
        raise UsageError(
            "There is nothing to compare one run with. Name two or more, as in: harness compare "
            "RUN RUN; what one run changed is in its report: harness report RUN"
        )
    found = [open_evidence(path) for path in runs]
    terms = terms_of(margin, alpha, accept_missing, recorded_terms(found))
    if margin is not None or accept_missing:
        terms.check([name for name in found[0].after if all(name in run.after for run in found)])
    if len(found) == 2 and against is None and not markdown:
        report = _two(found[0], found[1], runs[1], seed=seed, terms=terms)
        shown = "json" if events else "terminal-all" if every else "terminal"
        return _show_two(report, found[0].folder, runs[1], shown=shown, page=page)
    from harness.analysis import BEFORE, rank, starts_alike
    from harness.cli.leaderboard_text import leaderboard_markdown, leaderboard_text
    from harness.records import to_json

    if against is None and starts_alike(found):
        against = BEFORE
    board = rank(found, against=against, seed=seed, terms=terms)
    if events:
        click.echo(json.dumps(to_json(board)))
    else:
        click.echo(
            leaderboard_markdown(board)
            if markdown
            else lines(leaderboard_text(board, every=every)),
            nl=False,
        )
    if page is not None:
        click.echo(f"page        {_page_of(board, found, page)}", err=True)
    elif not events:
        say_next("compare", *runs, "--against", board.baseline, "--html", "runs.html")
    return ExitCode.UNSCORED if board.missing else ExitCode.DONE


def _page_of(board: Leaderboard, runs: Sequence[FinishedRun], file: Path) -> Path:
    """Write the page over the runs, with links to their own pages where these lie on this disk."""
    from harness.analysis import Overview, names_of
    from harness.plugins import load

    named = dict(zip(names_of(runs), runs, strict=True))
    pages = {
        name: quote(Path(os.path.relpath(page, file.parent)).as_posix())
        for name, run in named.items()
        if (page := run.folder / "report.html").is_file()
    }
    reports = {name: run.report for name, run in named.items()}
    written: Path = load("pages", "html")(Overview(board, reports, pages), file)
    return written


def _two(
    first: FinishedRun, second: FinishedRun, place: Path, *, seed: int, terms: Terms
) -> ReportInput:
    from harness.runs import compare_runs, looked
    from harness.storage import open_store

    report = compare_runs(first, second, seed=seed, terms=terms)
    if open_store(place.parent).path.exists():
        arms = first.arms[1], second.arms[1]
        looks = looked(place.parent, report.compared, arms, [second.report.seed])
        report = dataclasses.replace(report, looks=looks)
    return report


def _show_two(
    report: ReportInput, first: Path, second: Path, *, shown: str, page: Path | None
) -> ExitCode:
    from harness.plugins import load
    from harness.records import to_json

    if shown == "json":
        click.echo(json.dumps(to_json(report.compared)))
    else:
        # It has no folder, and the files in that of either run say something else.
        load("reports", shown)(report, Path(os.devnull))
    if page is not None:
        click.echo(f"page        {load('pages', 'two')(report, page)}", err=True)
    if shown != "json":
        say_next("gate", second, "--baseline", first)
    return ExitCode.UNSCORED if report.missing else ExitCode.DONE
