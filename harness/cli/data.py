"""What is installed, and the benchmarks' data: where it comes from, copies for closed networks."""

from __future__ import annotations

from pathlib import Path

import click

from harness.cli.help import SectionedGroup
from harness.cli.options import BENCH, PATH, say_next
from harness.errors import plain


@click.group(cls=SectionedGroup)
def data() -> None:
    """Describe, fetch, convert and verify benchmark data."""


@data.command()
@BENCH
def describe(bench: tuple[str, ...]) -> None:
    """Show where the data comes from, its licence, and how to get it."""
    from harness.benchmark import benchmark, expand
    from harness.data import describe as tell

    sources = {name: tell(benchmark(name)) for name in expand(bench)}
    for name, source in sources.items():
        click.echo(f"{name}: {source.dataset or f'{source.title}, not on the hub as it is read'}")
        told = {"licence": source.licence, "from": source.source, "holds": source.holds}
        fetch = [("fetch" if place == 0 else "", line) for place, line in enumerate(source.fetch)]
        for word, text in (*told.items(), *fetch, ("then" if fetch else "type", source.advice)):
            if text:
                click.echo(f"    {word:<8} {text}")
    if fetched := [name for name, source in sources.items() if source.dataset]:
        say_next("data", "mirror", "--bench", ",".join(fetched), "DIR")


@data.command()
@BENCH
@click.argument("folder", metavar="DIR", type=PATH)
def mirror(bench: tuple[str, ...], folder: Path) -> None:
    """Fetch benchmark data from the hub into DIR, with a hash of every file.

    \b
    harness data mirror --bench pope,mmvet ./data
    harness run --method seva --bench pope,mmvet --data ./data
    """
    from harness.benchmark import benchmark, expand
    from harness.data import describe as tell
    from harness.data import mirror as fetch

    wanted = [benchmark(name) for name in expand(bench)]
    apart = [each for each in wanted if tell(each).dataset is None]
    for entry in fetch([each for each in wanted if each not in apart], folder):
        click.echo(f"{entry.dataset} at {entry.revision}: {len(entry.files)} files")
    if not apart:
        say_next("plan", "--bench", ",".join(bench), "--data", folder)
    if apart:
        fetch(apart, folder)  # says why it cannot, and what to type instead


@data.command()
@click.argument("bench", metavar="BENCH")
@click.argument("source", metavar="FOLDER", type=PATH)
@click.option("--out", required=True, metavar="DIR", type=PATH, help="Folder to write, for --data.")
@click.option("--partial", is_flag=True, help="Leave out rows without an image, and list them.")
def convert(bench: str, source: Path, out: Path, partial: bool) -> None:
    """Convert the files that BENCH's authors publish, or tables in another form.

    They lie packed or unpacked in FOLDER, or in a zip archive. Tables (JSON, JSON lines, csv, tsv,
    Parquet, Arrow) have the columns that the benchmark reads; 'image' names a file among them.

    \b
    harness data describe --bench mmhal          # what to fetch
    harness data convert mmhal ./fetched --out ./data
    harness data convert realworldqa ./rows.zip --out ./data
    harness run --method seva --bench mmhal --data ./data
    """
    from harness.benchmark import benchmark
    from harness.data import convert as lay_out

    done = lay_out(benchmark(bench), source, out, partial=partial)
    click.echo(
        f"{done.folder}: {done.rows} of {done.expected or done.rows} rows, {done.images} images, "
        f"{done.size / 1e6:.1f} MB"
    )
    click.echo(f"sha256 {done.fingerprint}, as in every result measured on it")
    for note in done.notes:
        click.echo(plain(f"note: {note}"))
    for missing in done.missing:
        click.echo(plain(f"missing: {missing}"))
    say_next("run", "--method", "seva", "--bench", bench, "--data", out)


@data.command()
@click.argument("folder", metavar="DIR", type=PATH)
def verify(folder: Path) -> None:
    """Check the files against their hashes, and every table as an evaluation does.

    A folder laid out by hand has no manifest; its tables are checked all the same.
    """
    from harness.data import MANIFEST, inspect
    from harness.data import verify as check
    from harness.errors import HarnessError

    found = inspect(folder) if folder.is_dir() else None
    if (folder / MANIFEST).is_file() or found is None or not (found.tables or found.problems):
        entries = check(folder)
        files = sum(len(entry.files) for entry in entries)
        click.echo(f"{len(entries)} data sets, {files} files: all as fetched")
    else:
        click.echo("no manifest.json: files were compared with nothing that was fetched")
    if found is not None:
        for note in found.notes:
            click.echo(plain(f"note: {note}"))
        if found.problems:
            raise HarnessError(" ".join(found.problems))
        fit = ", ".join(found.benchmarks) or "none that this form of the data tells"
        click.echo(f"{found.tables} tables are whole; fit for: {fit}")
        if found.benchmarks:
            say_next("plan", "--bench", ",".join(found.benchmarks), "--data", folder)
