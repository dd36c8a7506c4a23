"""The command that lists what is installed."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click

from harness.cli.options import say_next
from harness.cli.tables import BETTER, text_table
from harness.errors import UsageError, near_miss
from harness.plugins import KINDS


class _Kind(click.Choice):  # type: ignore[type-arg]  # generic from click 8.2 on
    def convert(self, value: Any, *where: Any) -> Any:
        if value not in KINDS:
            raise UsageError(
                f"'{value}' is nothing that can be listed.{near_miss(value, KINDS)} "
                f"harness list takes: {', '.join(KINDS)}."
            )
        return value


@click.command("list")
@click.argument("kind", type=_Kind(list(KINDS)))
@click.argument("name", required=False)
@click.option("--json", "events", is_flag=True, help="Names and packages as one JSON object.")
def list_names(kind: str, name: str | None, events: bool) -> None:
    """List installed methods, benchmarks, suites, losses, engines, executors, reports or demos.

    For benchmarks also what they measure; for a single benchmark everything that is known,
    published figures included.

    \b
    harness list methods
    harness list benchmarks pope
    """
    from harness.plugins import find, names

    found = names(kind)
    if name is not None:
        found = {name: found[find(kind, name).name]}
    if events:
        click.echo(json.dumps(found))
    elif kind == "benchmarks":
        _list_benchmarks(found)
        if name is not None:
            _describe(name)
        else:
            click.echo("")
            _list_suites(names("suites"))
    elif kind == "suites":
        _list_suites(found)
    else:
        for each, owners in found.items():
            click.echo(f"{each:<16} {', '.join(owners)}")
    if not events:
        say_next(*_NEXT.get(kind, ("run", "--method", "seva", "--bench", "mmvet,pope")))


_NEXT = {
    "methods": ("run", "--method", "NAME", "--bench", "mmvet,pope"),
    "benchmarks": ("plan", "--bench", "NAME"),
    "suites": ("plan", "--bench", "NAME"),
    "losses": ("check", "--loss", "NAME"),
    "reports": ("report", "RUN", "--report", "NAME"),
    "pages": ("compare", "RUN", "RUN", "--html", "runs.html"),
}


def _list_benchmarks(found: Mapping[str, Sequence[str]]) -> None:
    """Show columns, headline first, and who scores the answers."""
    from harness.benchmark import benchmark, headline

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
        click.echo(f"{'':<16} {', '.join(columns)}{more}; scored by {marked}")


def _describe(name: str) -> None:
    """Show where one benchmark comes from, all its columns, and what others have published."""
    from harness.benchmark import benchmark

    known = benchmark(name)
    facts = [("source", known.source), ("licence", known.licence)]
    facts += [
        (f"column {column.name}", f"{column.unit}, {BETTER[column.higher_is_better]}")
        for column in known.columns
    ]
    facts += [(f"published {model}", told) for model, told in known.published.items()]
    for line in text_table([(label, told or "not named") for label, told in facts]):
        click.echo(f"  {line}")


def _list_suites(found: Mapping[str, Sequence[str]]) -> None:
    """Show the benchmarks that each suite holds."""
    from harness.plugins import load

    for name, owners in found.items():
        try:
            members = load("suites", name)
        except UsageError as error:
            click.echo(f"{name:<16} {', '.join(owners)}: {error}")
            continue
        click.echo(f"{name:<16} suite of {len(members)}: {', '.join(members)}")
