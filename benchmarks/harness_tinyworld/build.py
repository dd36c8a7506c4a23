"""Make the shipped prompts and miniature benchmarks anew: `python -m harness_tinyworld.build`."""

from __future__ import annotations

import argparse
from pathlib import Path

import click

from harness_tinyworld import DATA, PROMPTS, minis, training_prompts
from harness_tinyworld.minis import table
from harness_tinyworld.minis.common import move


def main() -> None:
    """Read the command line and write the files."""
    parser = argparse.ArgumentParser(description="Make the small world's prompts and benchmarks.")
    parser.add_argument("--prompts", type=Path, default=PROMPTS.parent, help="folder of prompts")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the benchmarks")
    parser.add_argument("--only", choices=("prompts", *minis.NAMES), help="make nothing else")
    parser.add_argument("--scenes", type=int, default=0, help="0 as shipped, 1 to 3 other scenes")
    options = parser.parse_args()
    move(options.scenes)
    if options.only in (None, "prompts"):
        click.echo(training_prompts.write(options.prompts))
    for name in minis.NAMES:
        if options.only in (None, name):
            click.echo("\n".join(map(str, table.write(minis.load(name), options.data))))


if __name__ == "__main__":
    main()
