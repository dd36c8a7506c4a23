"""The command that looks at preference pairs: those of a run, or those in a file."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import click

from harness.cli.options import ALLOW_URLS, EVENTS, PAIR_IMAGES, PATH, lines, say_next
from harness.errors import UsageError


@click.command()
@click.argument("source", metavar="RUN|FILE")
@PAIR_IMAGES
@ALLOW_URLS
@click.option(
    "--export",
    "form",
    metavar="FORM",
    help="Write the pairs for another trainer: trl, llama-factory or ms-swift.",
)
@click.option("--out", metavar="DIR", type=PATH, help="New folder for --export.")
@EVENTS
def pairs(
    source: str,
    images: Path | None,
    allow_urls: bool,
    form: str | None,
    out: Path | None,
    events: bool,
) -> None:
    """Diagnose the preference pairs of a run or a file: what would training on them teach?

    \b
    harness pairs runs/seva-tinyworld-1a2b3c4d
    harness pairs pairs.json --images coco/train2017
    harness pairs runs/seva-tinyworld-1a2b3c4d --export trl --out for-trl
    """
    from harness.pairs import diagnose, export_pairs, given_text, open_pairs, pair_report_text
    from harness.records import Drop, Pair, to_json

    if (form is None) != (out is None):
        raise UsageError("--export FORM and --out DIR belong together: give both, or neither.")
    with tempfile.TemporaryDirectory(prefix="harness-pairs-") as keep:
        given = open_pairs(source, images, Path(keep), allow_urls=allow_urls)
        made = [each for each in given.pairs if isinstance(each, Pair)]
        if form is not None and out is not None:
            done = export_pairs(made, form, out)
            if events:
                click.echo(json.dumps(to_json(done)))
                return
            click.echo(f"{done.pairs} pairs as {done.rows} rows in {done.folder}")
            if done.left_out:
                click.echo(
                    f"{len(done.left_out)} left out: their answers have images or weights of their "
                    "own, or their texts hold an image mark, which this form cannot say"
                )
            click.echo(done.use)
            return
        drops = [*given.dropped, *(each for each in given.pairs if isinstance(each, Drop))]
        report = diagnose(made, drops)
    if events:
        forms = {"forms": dict(given.forms)} if given.forms else {}
        click.echo(json.dumps({**to_json(report), **forms}))
    else:
        click.echo(lines(given_text(given) + pair_report_text(report)), nl=False)
        if Path(source).is_dir():
            say_next("pairs", source, "--export", "trl", "--out", "for-trl")
        else:
            beside = ("--images", str(images)) if images is not None else ()
            say_next("run", "--method", "given", "--pairs", source, *beside, "--bench", "BENCH")
