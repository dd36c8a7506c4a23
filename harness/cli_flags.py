"""Flags that several commands share, so that they are called and explained alike."""

from __future__ import annotations

from pathlib import Path

import click

BENCH = click.option("--bench", required=True, metavar="A,B", help="Benchmarks, joined by commas.")
DATA = click.option(
    "--data",
    default="tinyworld",
    show_default=True,
    metavar="DIR|hub",
    help="Benchmark data: a folder of copies, the hub, or the embedded miniatures.",
)
LIMIT = click.option(
    "--limit", type=click.IntRange(min=1), help="Only the first rows of each benchmark."
)
DEVICE = click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where the model runs.",
)
DTYPE = click.option(
    "--dtype",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="Precision; auto is bfloat16 on cuda, else float32.",
)
NPROC = click.option(
    "--nproc",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Processes that share the work, one per GPU.",
)
OUT = click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("runs"),
    show_default=True,
    help="Where run folders and the answer store lie.",
)
EVENTS = click.option("--json", "events", is_flag=True, help="One JSON event per line on stdout.")
QUIET = click.option("--quiet", is_flag=True, help="No progress on stderr.")
