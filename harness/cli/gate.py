"""The command ``gate``: for a CI job that must know whether something got worse."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import NAMES
from harness.cli.tables import text_table
from harness.errors import ExitCode

if TYPE_CHECKING:
    from harness.report import ReportInput

FOLDER = "gate"


@click.command()
@click.argument("folder", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--baseline",
    metavar="RUN_OR_BUNDLE",
    type=click.Path(path_type=Path),
    help="Compare with the model after of this run; by default with RUN's model before.",
)
@click.option(
    "--fail-on",
    "rules",
    default="any:loss",
    show_default=True,
    metavar="RULES",
    help='Rules that fail the gate, such as "pope<-0.5, mmvet:loss"; see docs/gate.md.',
)
@click.option(
    "--report",
    "reports",
    type=NAMES,
    default="",
    metavar="A,B",
    help=f"Reports to write into RUN/{FOLDER}, comma-separated.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the intervals.")
@click.option("--json", "events", is_flag=True, help="As one JSON object.")
def gate(
    folder: Path,
    baseline: Path | None,
    rules: str,
    reports: tuple[str, ...],
    seed: int,
    events: bool,
) -> ExitCode:
    """Fail with exit code 4 if a run made something worse.

    Exit code 3 if samples have no score, else 0.

    \b
    harness gate runs/seva-tinyworld-1a2b3c4d --fail-on "pope<-0.5, mmvet:loss"
    """
    from harness.compare import check_rules, exit_code
    from harness.records import to_json
    from harness.runs import compare_runs, open_evidence

    run = open_evidence(folder)
    if baseline is not None:
        recorded = run.report.comparison  # whose margin and level were set before the run
        terms = recorded.terms if recorded is not None else None
        report = compare_runs(open_evidence(baseline), run, seed=seed, terms=terms)
    else:
        report = run.report
    report = dataclasses.replace(report, gate=check_rules(report.compared, rules))
    code = exit_code(report.compared, report.gate)
    written = _written(report, folder, reports)
    if events:
        shown = {"exit": int(code), "missing": report.missing}
        click.echo(json.dumps({**shown, "rules": [to_json(ruling) for ruling in report.gate]}))
        return code
    _show(report, code)
    for path in written:
        click.echo(path)
    return code


def _written(report: ReportInput, folder: Path, names: tuple[str, ...]) -> list[Path]:
    """Write reports beside the run's own, which say something else."""
    from harness.plugins import load
    from harness.report import write_reports

    # A bundle is a file: its reports go beside it.
    into = folder / FOLDER if folder.is_dir() else folder.with_suffix(f".{FOLDER}")
    writers = {name: load("reports", name) for name in names}
    return [*write_reports(report, into, writers).values()] if writers else []


def _show(report: ReportInput, code: ExitCode) -> None:
    cells = [
        (ruling.outcome, ruling.rule, f"{ruling.benchmark} {ruling.column}", ruling.told)
        for ruling in report.gate
    ]
    for line in text_table(cells):
        click.echo(line)
    missing = report.missing
    if missing:
        click.echo(f"{missing} answers or scores are missing, both sides together.")
    click.echo(
        {
            ExitCode.DONE: "PASS: no rule failed.",
            ExitCode.UNSCORED: "The gate cannot decide: something is missing. Run the same "
            "harness run or harness judge command again to ask for it.",
            ExitCode.REGRESSION: "FAIL: at least one rule failed.",
        }[code]
    )
