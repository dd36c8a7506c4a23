"""The command that looks at the augmentations behind a run's pairs."""

from __future__ import annotations

import json
from pathlib import Path

import click

from harness.cli.options import DEVICE, DTYPE, EVENTS, PATH, say_next
from harness.cli.tables import text_table
from harness.errors import UsageError

_HEAD = (
    *("augmentation", "answers", "unchanged", "nearly", "words changed"),
    *("pairs", "scored", "log-ratio", "inverted"),
)


@click.command()
@click.argument("run", type=PATH, metavar="RUN")
@click.option(
    "--score",
    type=click.IntRange(min=0),
    default=64,
    show_default=True,
    metavar="N",
    help="Pairs of each augmentation to score with the model before training; 0 calls no model.",
)
@click.option("--out", type=PATH, metavar="FILE.png", help="Write example images, side by side.")
@DEVICE
@DTYPE
@EVENTS
def augmentations(
    run: Path, score: int, out: Path | None, device: str, dtype: str, events: bool
) -> None:
    """Show for each augmentation how much answers changed and how hard its negatives are.

    \b
    harness augmentations runs/seva-tinyworld-1a2b3c4d
    harness augmentations runs/seva-tinyworld-1a2b3c4d --out examples.png
    """
    from harness.pairs import augmentations_of, contact_sheet
    from harness.records import to_json

    found = augmentations_of(run, _model(run, device, dtype) if score else None, limit=score)
    shown = contact_sheet(run, out) if out is not None else 0
    if events:
        click.echo(json.dumps({"augmentations": [to_json(each) for each in found]}))
        return
    rows = [
        (
            each.name,
            str(each.answers),
            f"{each.equal:.0%}",
            f"{each.near:.0%}",
            f"{each.distance:.0%}",
            "?" if each.pairs is None else str(each.pairs),
            str(each.scored),
            "?" if each.ratio is None else f"{each.ratio:+.2f}",
            "?" if each.inverted is None else f"{each.inverted:.0%}",
        )
        for each in found
    ]
    click.echo("\n".join(text_table(rows, head=_HEAD, right=range(1, len(_HEAD)))))
    click.echo(
        "log-ratio: chosen minus rejected log-probability under the model before training, in "
        "nats; the smaller, the harder. inverted: the rejected answer is the more likely one."
    )
    if out is not None:
        click.echo(f"{shown} examples in {out}" if shown else "The run keeps no example images.")
    say_next("pairs", run)


def _model(run: Path, device: str, dtype: str) -> object:
    """Open the model before the training of a run, or of a round's run."""
    from harness.model import open_model
    from harness.resolve import demo_of
    from harness.storage import RunRecord, open_store

    home = next(
        (each for each in (run, *run.parents[:2]) if (each / "settings.json").is_file()), run
    )
    if not (home / "settings.json").is_file():
        raise UsageError(
            f"{run} is no run folder (no settings.json). Name one, as in: harness augmentations "
            "runs/seva-tinyworld-1a2b3c4d, or ask no model with --score 0."
        )
    record = RunRecord.read(home)
    name = str(record.asked.get("model"))
    demo = demo_of(name)
    protocol = record.measured.get("protocol") or "hf"
    store = open_store(home.parent)
    return open_model(
        demo.model if demo else name, store=store, device=device, dtype=dtype, protocol=protocol
    )
