"""Commands about evidence: pack a run, check what others packed, take what others measured."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli_flags import BENCH, DATA, LIMIT
from harness.errors import ExitCode, UsageError, plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.bundle_verify import Verification
    from harness.imports import Imported
    from harness.runs import FinishedRun

PATH = click.Path(path_type=Path)


@click.command()
@click.argument("run", metavar="RUN", type=PATH)
@click.option("--out", metavar="FILE", type=PATH, help="The file; by default RUN's name and .zip.")
@click.option("--images", is_flag=True, help="With small pictures; mind their licences.")
def bundle(run: Path, out: Path | None, images: bool) -> None:
    """Pack a finished run into one file, without weights and without this machine's paths.

    \b
    harness bundle runs/seva-tinyworld-1a2b3c4d --out seva.zip
    harness verify seva.zip
    """
    from harness.bundle import bundle as pack

    packed = pack(run, out, images=images)
    size = packed.path.stat().st_size / 1e6
    click.echo(f"{packed.path}: {packed.members} members, {size:.2f} MB")
    click.echo(f"sha256 {packed.digest}")


@click.command()
@click.argument("runs", metavar="RUN RUN ...", nargs=-1, required=True, type=PATH)
@click.option("--against", metavar="NAME", help="Baseline of a leaderboard: a run, or 'before'.")
@click.option("--seed", default=0, show_default=True, help="Seed of the intervals.")
@click.option("--markdown", is_flag=True, help="A leaderboard as Markdown.")
@click.option("--json", "events", is_flag=True, help="As one JSON object.")
def compare(
    runs: tuple[Path, ...], against: str | None, seed: int, markdown: bool, events: bool
) -> ExitCode:
    """Compare what came out of runs or bundles: two in full, more as a leaderboard.

    \b
    harness compare runs/seva-tinyworld-1a2b3c4d runs/sima-tinyworld-5e6f7a8b
    harness compare seva.zip sima.zip multineg.zip --against before --markdown
    """
    from harness.bundle import open_evidence

    if len(runs) < 2:
        raise UsageError(
            "There is nothing to compare one run with. Name two or more, as in: harness compare "
            "RUN RUN; what one run changed is in its report: harness report RUN"
        )
    found = [open_evidence(path) for path in runs]
    if len(found) == 2 and against is None and not markdown:
        return _compare_two(found[0], found[1], runs[1], seed=seed, events=events)
    from harness.leaderboard import rank
    from harness.leaderboard_text import leaderboard_markdown, leaderboard_text
    from harness.records import to_json

    board = rank(found, against=against, seed=seed)
    if events:
        click.echo(json.dumps(to_json(board)))
    else:
        click.echo(leaderboard_markdown(board) if markdown else _shown(leaderboard_text(board)), nl=False)
    return ExitCode.UNSCORED if board.missing else ExitCode.DONE


def _compare_two(
    first: FinishedRun, second: FinishedRun, place: Path, *, seed: int, events: bool
) -> ExitCode:
    from harness.plugins import load
    from harness.records import to_json
    from harness.runs import compare_runs

    report = compare_runs(first, second, seed=seed)
    if events:
        click.echo(json.dumps(to_json(report.comparison)))
    else:
        load("reports", "terminal")(report, place)
    return ExitCode.UNSCORED if report.comparison.missing else ExitCode.DONE


@click.command()
@click.argument("path", metavar="BUNDLE|RUN", type=PATH)
@click.option("--json", "events", is_flag=True, help="As one JSON object.")
def verify(path: Path, events: bool) -> ExitCode:
    """Check hashes, and recompute every number and verdict from the rows. Needs no model.

    \b
    harness verify seva.zip
    """
    from harness.bundle_verify import verify as check
    from harness.records import to_json

    found = check(path)
    if events:
        click.echo(json.dumps({**to_json(found), "passed": found.passed}))
    else:
        _tell(found)
    return ExitCode.DONE if found.passed else ExitCode.FAILED


@click.command()
@BENCH
@DATA
@click.option("--from", "source", metavar="RUN|BUNDLE", type=PATH, help="An earlier run.")
@LIMIT
@click.option("--judgings", default=1, type=click.IntRange(min=1), help="Verdicts per answer.")
@click.option("--json", "events", is_flag=True, help="As one JSON object.")
def plan(
    bench: str, data: str, source: Path | None, limit: int | None, judgings: int, events: bool
) -> None:
    """Say what a run could tell and what it would take; nothing is asked or spent.

    \b
    harness plan --bench pope,mmvet --data hub
    harness plan --bench pope,mmvet --data hub --from seva.zip
    """
    from harness.bundle import unpacked
    from harness.cli_words import split
    from harness.estimate import estimate, paces_of
    from harness.estimate_text import power_text
    from harness.lmms_adhoc import benchmark, expand
    from harness.plan import data_of
    from harness.records import to_json
    from harness.runs import open_run

    names = expand(split(bench, "--bench"))
    benchmarks, place = [benchmark(name) for name in names], data_of(data)
    run, paces = None, None
    if source is not None:
        with unpacked(source) as folder:
            run, paces = open_run(folder), paces_of(folder)
    found = estimate(
        benchmarks,
        place,
        run=run,
        paces=paces,
        name=source.name if source is not None else None,
        limit=limit,
        judgings=judgings,
    )
    if events:
        click.echo(json.dumps({**to_json(found), "seconds": found.seconds}))
    else:
        click.echo(_shown(power_text(found)), nl=False)


@click.group("import")
def import_() -> None:
    """Take results of other harnesses, to compare them without asking a model again."""


_OUT = click.option("--out", required=True, metavar="RUN", type=PATH, help="Folder to write.")
_NAME = click.option("--name", metavar="NAME", help="What reports call it; by default the folder.")


@import_.command("lmms-eval")
@click.argument("files", metavar="DIR_OR_FILES", nargs=-1, required=True, type=PATH)
@_OUT
@_NAME
def import_lmms(files: tuple[Path, ...], out: Path, name: str | None) -> None:
    """Take *_samples_*.jsonl of lmms-eval (--log_samples).

    \b
    harness import lmms-eval logs/base --out runs/base
    harness import lmms-eval logs/tuned --out runs/tuned
    harness compare runs/base runs/tuned
    """
    from harness.imports_lmms import read_lmms

    _write(read_lmms(files), out, "lmms-eval", name)


@import_.command("vlmevalkit")
@click.argument("files", metavar="FILES", nargs=-1, required=True, type=PATH)
@_OUT
@_NAME
def import_vlmevalkit(files: tuple[Path, ...], out: Path, name: str | None) -> None:
    """Take result files of VLMEvalKit, such as *_result.xlsx and *_auxmatch.xlsx.

    \b
    harness import vlmevalkit llava_MMBench_DEV_EN_result.xlsx --out runs/base
    """
    from harness.imports_vlmevalkit import read_vlmevalkit

    _write(read_vlmevalkit(files), out, "VLMEvalKit", name)


def _write(found: Sequence[Imported], out: Path, source: str, name: str | None) -> None:
    from harness.imports import write_import

    write_import(found, out, source=source, name=name or out.name)
    for each in found:
        metrics = ", ".join(each.metrics)
        click.echo(plain(f"{each.name}: {len(each.samples)} rows; {metrics}"))
        for note in each.notes:
            click.echo(plain(f"    {note}"))
    click.echo(f"Compare it with another: harness compare {out} RUN")


def _tell(found: Verification) -> None:
    from harness.bundle_verify import ALONE

    click.echo(f"{found.path}" + (f"  sha256 {found.digest}" if found.digest else ""))
    for line in found.changed:
        click.echo(plain(f"CHANGED  {line}"))
    width = max((len(f"{check.benchmark} {check.part}") for check in found.checks), default=0)
    for check in found.checks:
        click.echo(plain(f"{f'{check.benchmark} {check.part}':<{width}}  {check.outcome}"))
        for line in check.details:
            click.echo(plain(f"    {line}"))
    if found.passed and any(check.outcome == ALONE for check in found.checks):
        click.echo(f"The {found.rows} rows are as they were packed; they claim no number.")
    elif found.passed:
        click.echo(f"Every number and verdict follows from the {found.rows} rows of both arms.")
    else:
        click.echo("Not verified: see the lines above.")


def _shown(text: str) -> str:
    return "".join(plain(line) + "\n" for line in text.split("\n")[:-1])
