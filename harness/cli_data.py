"""Commands for the benchmarks' data: where it comes from, a verified copy for closed networks."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(path_type=Path)


@click.group()
def data() -> None:
    """Say where benchmark data comes from, mirror it, verify a mirror."""


@data.command()
@click.option("--bench", required=True, metavar="A,B", help="Benchmarks or suites.")
def describe(bench: str) -> None:
    """Say where the data of benchmarks comes from, and under which licence."""
    from harness.data import describe as tell
    from harness.lmms_adhoc import benchmark, expand

    for name in expand(_split(bench)):
        source = tell(benchmark(name))
        click.echo(f"{name}: {source.dataset or 'not on the hub'} ({source.licence})")
        if source.advice:
            click.echo(f"    {source.advice}")


@data.command()
@click.option("--bench", required=True, metavar="A,B", help="Benchmarks or suites.")
@click.argument("folder", metavar="DIR", type=FOLDER)
def mirror(bench: str, folder: Path) -> None:
    """Fetch benchmark data from the hub into DIR, with a hash of every file.

    \b
    harness data mirror --bench pope,mmvet ./data
    harness run --method seva --bench pope,mmvet --data ./data
    """
    from harness.data import mirror as fetch
    from harness.lmms_adhoc import benchmark, expand

    for entry in fetch([benchmark(name) for name in expand(_split(bench))], folder):
        click.echo(f"{entry.dataset} at {entry.revision}: {len(entry.files)} files")


@data.command()
@click.argument("folder", metavar="DIR", type=FOLDER)
def verify(folder: Path) -> None:
    """Check every file of a mirror against the hashes noted when it was fetched."""
    from harness.data import verify as check

    entries = check(folder)
    files = sum(len(entry.files) for entry in entries)
    click.echo(f"{len(entries)} data sets, {files} files: all as fetched")


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
