"""The command that says what a run could detect, before anything is spent."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import BENCH, DATA, JSON, LIMIT, PATH, lines, say_next
from harness.cli.recipes import RecipeCommand


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
    from harness.api import power
    from harness.cli.plan_text import power_text
    from harness.progress import Reporter, showing
    from harness.records import to_json

    with showing(Reporter()):
        found = power(
            bench, data=data, source=source, limit=limit, judgings=judgings, seeds=seeds
        ).estimate
    if events:
        click.echo(json.dumps({**to_json(found), "seconds": found.seconds}))
    else:
        click.echo(lines(power_text(found)), nl=False)
        say_next("run", "--method", "NAME", "--bench", ",".join(bench), "--data", data)
