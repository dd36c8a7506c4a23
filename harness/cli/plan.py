"""The command that says what a run could detect, before anything is spent."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.next_step import say_next
from harness.cli.options import BENCH, DATA, JSON, LIMIT, PATH, lines
from harness.cli.recipes import RecipeCommand
from harness.errors import plain


@click.command(cls=RecipeCommand)
@BENCH
@DATA
@click.option(
    "--from",
    "source",
    metavar="RUN|BUNDLE",
    type=PATH,
    help="Earlier run whose rows give the variance.",
)
@LIMIT
@click.option(
    "--judge-repeats",
    "judgings",
    default=1,
    type=click.IntRange(min=1),
    metavar="N",
    show_default=True,
    help="Verdicts per answer.",
)
@click.option(
    "--seeds",
    default=1,
    type=click.IntRange(min=1),
    metavar="N",
    show_default=True,
    help="Number of training seeds.",
)
@JSON
def plan(
    bench: tuple[str, ...],
    data: str,
    source: Path | None,
    limit: int | None,
    judgings: int,
    seeds: int,
    events: bool,
) -> None:
    """Estimate what a run could detect and what it would cost.

    No model and no judge is called.

    \b
    harness plan --bench pope,mmvet --data hub
    harness plan --bench pope,mmvet --data hub --from seva.zip
    """
    from harness.analysis import estimate, throughputs_of
    from harness.benchmark import benchmark, check_tables, expand
    from harness.cli.plan_text import power_text
    from harness.records import to_json
    from harness.resolve import data_of
    from harness.runs import open_run, unpacked

    names = expand(bench)
    benchmarks, place = [benchmark(name) for name in names], data_of(data)
    for each in benchmarks:
        tables = check_tables(each.task, place)
        for note in tables.notes if tables is not None else ():
            click.echo(plain(f"{each.name}: {note}"), err=True)
    run, throughputs = None, None
    if source is not None:
        with unpacked(source) as folder:
            run, throughputs = open_run(folder), throughputs_of(folder)
    found = estimate(
        benchmarks,
        place,
        run=run,
        throughputs=throughputs,
        name=source.name if source is not None else None,
        limit=limit,
        judgings=judgings,
        seeds=seeds,
    )
    if events:
        click.echo(json.dumps({**to_json(found), "seconds": found.seconds}))
    else:
        click.echo(lines(power_text(found)), nl=False)
        say_next("run", "--method", "NAME", "--bench", ",".join(bench), "--data", data)
