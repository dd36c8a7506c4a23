"""The command that lists what is installed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import click


@click.command("list")
@click.argument("kind", type=click.Choice(["methods", "benchmarks", "reports", "demos"]))
@click.option("--json", "events", is_flag=True, help="Names and packages as one JSON object.")
def list_names(kind: str, events: bool) -> None:
    """List what is installed, and which package brings it; of benchmarks also what they measure."""
    from harness.plugins import names

    found = names(kind)
    if events:
        click.echo(json.dumps(found))
    elif kind == "benchmarks":
        _list_benchmarks(found)
    else:
        for name, owners in found.items():
            click.echo(f"{name:<16} {', '.join(owners)}")


def _list_benchmarks(found: Mapping[str, Sequence[str]]) -> None:
    """Show columns, headline first, and who marks the answers; then the suites."""
    from harness.benchmark import benchmark, headline, suites
    from harness.errors import UsageError

    for name, owners in found.items():
        try:
            known = benchmark(name)
        except UsageError as error:  # one broken package must not hide the others
            click.echo(f"{name:<16} {', '.join(owners)}: {error}")
            continue
        heads = headline(known.columns)
        columns = [column.name for column in heads]
        others = len(known.columns) - len(heads)
        more = f" (+{others})" if others else ""
        marked = "rules" if known.judge == "rule" else "built-in grader"
        marked += ", or --judge" if known.rubric is not None else ""
        click.echo(f"{name:<16} {', '.join(owners):<16} {known.title}")
        click.echo(f"{'':<16} {', '.join(columns)}{more}; marked by {marked}")
    click.echo("")
    for suite, members in suites().items():
        click.echo(f"{suite:<16} suite of {len(members)}: {', '.join(members)}")
