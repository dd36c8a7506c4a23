"""The command ``reproduce``: published figures beside a run's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import PATH, say_next
from harness.cli.tables import text_table

if TYPE_CHECKING:
    from harness.analysis import Ledger
    from harness.report import ReportInput


@click.command()
@click.argument("method")
@click.argument("source", metavar="[RUN|BUNDLE]", required=False, type=PATH)
def reproduce(method: str, source: Path | None) -> None:
    """Show a method's published figures beside those of a run.

    Then come the known causes of a gap, each with the switch that shows its share.

    \b
    harness reproduce seva
    harness reproduce sima runs/sima-llava-1.5-7b-1a2b3c4d
    """
    from harness.analysis import ledger_of
    from harness.runs import open_evidence, report_of

    ledger = ledger_of(method)
    click.echo(f"{ledger.paper}; {ledger.model}")
    report = None
    if source is not None:
        report = report_of(open_evidence(source))
        click.echo(f"beside it {source}: {report.method}, model {report.model}")
        click.echo(f"protocol  {report.protocol}")
        click.echo(f"{report.notice}\n" if report.notice else "", nl=False)
    click.echo()
    for line in _table(ledger, report):
        click.echo(line)
    click.echo()
    for name, where in ledger.sources.items():
        click.echo(f"{name}: {where}")
    click.echo("\nKnown causes of a gap, and the switch that shows the share of each:")
    for cause in ledger.causes:
        click.echo(f"- {', '.join(cause.columns) or 'all'}: {cause.cause} ({cause.switch})")
    if source is None:
        say_next("reproduce", method, "RUN")
    else:
        say_next("report", source)


def _table(ledger: Ledger, report: ReportInput | None) -> list[str]:
    from harness.analysis import measured

    head = ["column", "here", *ledger.variants, "published change"]
    rows = []
    here = measured(report, ledger.columns) if report is not None else []
    if report is not None:
        head += ["before here", "after here", "change here"]
    for place, column in enumerate(ledger.columns):
        base, *others = column.figures
        name = f"{column.name}{' (lower is better)' if column.lower else ''}"
        row = [name, f"{column.bench}: {column.metric}", *map(_figure, column.figures)]
        row.append(" / ".join(_change(base, other) for other in others))
        if report is not None:
            before, after = here[place]
            row += [_figure(before), _figure(after), _change(before, after)]
        rows.append(row)
    return text_table(rows, head=head, right=range(2, len(head)))


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}".rstrip("0").rstrip(".")


def _change(before: float | None, after: float | None) -> str:
    return "-" if before is None or after is None else f"{after - before:+.2f}"
