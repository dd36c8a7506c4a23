"""The command that does many runs as one graph of jobs."""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.options import EVENTS, PATH, QUIET
from harness.cli.recipes import recipe_file, words_of
from harness.cli.run import run, settings_of
from harness.errors import ExitCode, HarnessError, UsageError

if TYPE_CHECKING:
    from harness.jobs import Entrant, Executor, Sweep, Wanted, Wish
    from harness.settings import Settings

_OF_THE_COMMAND = ("seeds", "nproc", "only", "part", "events", "quiet")


@click.command()
@click.argument("recipe", metavar="RECIPE", type=PATH)
@click.option(
    "--executor",
    metavar="NAME[:KEY=VALUE,...]",
    help="Where jobs run; see harness list executors. By default as the recipe says, else local.",
)
@click.option(
    "--jobs",
    "at_once",
    type=click.IntRange(min=1),
    metavar="N",
    help="Number of jobs to run at a time on this machine.",
)
@click.option(
    "--out",
    type=PATH,
    help="Folder of the sweep; by default as the recipe says, else runs/ and the recipe's name.",
)
@click.option("--print-jobs", is_flag=True, help="Print the jobs and exit.")
@EVENTS
@QUIET
def sweep(
    recipe: Path,
    executor: str | None,
    at_once: int | None,
    out: Path | None,
    print_jobs: bool,
    events: bool,
    quiet: bool,
) -> ExitCode:
    """Run methods x models x seeds on the same benchmarks, as jobs here or on a cluster.

    The same command goes on with a sweep that was stopped. docs/sweeps.md shows a recipe.

    \b
    harness sweep recipes/sweep.yaml --print-jobs
    harness sweep recipes/sweep.yaml --jobs 2
    harness sweep recipes/sweep.yaml --executor slurm:partition=gpu
    """
    from harness.jobs import drive, read_recipe, resolved, wishes_of, worst
    from harness.progress import Reporter, showing

    asked = read_recipe(recipe_file(recipe), str(recipe))
    place = out or Path(asked.out or Path("runs") / recipe.stem)
    wanted = [_wanted(wish, asked.seeds[0], place, recipe) for wish in wishes_of(asked)]
    name = executor or asked.executor or "local"
    where = _executor(name, at_once) if not print_jobs else None
    with showing(Reporter(quiet=quiet, events=events)) as reporter:
        found = resolved(asked, wanted, place)
        if where is None:
            click.echo(_json(found) if events else _text(found), nl=False)
            return ExitCode.DONE
        code = drive(found, where)
        boards, failed = _leaderboards(found.entrants, place)
        if events:
            reporter.event("done", folder=str(place), leaderboards=[str(path) for path in boards])
        for path in () if events else boards:
            click.echo(f"leaderboard {path}")
    return worst([code, ExitCode.FAILED]) if failed else code


def _wanted(wish: Wish, seed: int, out: Path, recipe: Path) -> Wanted:
    """Let click read the options, as if they were typed."""
    from harness.jobs import Wanted

    words = words_of(run, wish.options, recipe)
    try:
        context = run.make_context("run", [*words, "--seed", str(seed), "--out", str(out)])
    except click.ClickException as error:
        raise UsageError(f"{recipe}: {error.format_message()}") from error
    params = {key: value for key, value in context.params.items() if key not in _OF_THE_COMMAND}
    settings: Settings = settings_of(**params)
    return Wanted(wish.label, words, settings)


def _executor(text: str, at_once: int | None) -> Executor:
    from harness.jobs import LocalExecutor, open_executor

    found = open_executor(text)
    if at_once is None:
        return found
    if not isinstance(found, LocalExecutor):
        raise UsageError(
            f"--jobs says how many jobs this machine does at a time, and {text} sees to that "
            "itself. Leave it out."
        )
    return dataclasses.replace(found, at_once=at_once)


def _text(found: Sweep) -> str:
    lines = []
    for job in found.jobs:
        needs = f", needs {', '.join(job.needs)}" if job.needs else ""
        state = "done" if job.name in found.done else f"to do, {job.gpus} GPUs{needs}"
        lines += [f"{job.name}: {state}", f"  harness {shlex.join(job.command)}"]
    runs = sum(len(entrant.runs) for entrant in found.entrants)
    lines.append(f"{len(found.jobs)} jobs of {runs} runs; {len(found.left)} to do.")
    return "\n".join(lines) + "\n"


def _json(found: Sweep) -> str:
    from harness.records import to_json

    jobs = [{**to_json(job), "done": job.name in found.done} for job in found.jobs]
    return json.dumps({"folder": str(found.out), "jobs": jobs}) + "\n"


def _leaderboards(entrants: tuple[Entrant, ...], out: Path) -> tuple[list[Path], bool]:
    """Rank the methods on each model against the model before, as far as they are reported.

    Returns:
        The files, and whether one could not be written, as where figures do not follow from rows.
    """
    from harness import progress

    models: dict[str, list[Entrant]] = {}
    for entrant in entrants:
        if entrant.reported:
            models.setdefault(entrant.runs[0].model.fingerprint, []).append(entrant)
        else:
            progress.say(f"{entrant.wanted.label} is not on the leaderboard: it has no report yet.")
    written, failed = [], False
    for number, group in enumerate(models.values()):
        name = "leaderboard" if len(models) == 1 else f"leaderboard-{number + 1}"
        try:
            written.append(_leaderboard(group, out / name))
        except HarnessError as error:
            progress.say(f"No leaderboard of {group[0].wanted.settings.model}: {error}")
            failed = True
    return written, failed


def _leaderboard(entrants: list[Entrant], path: Path) -> Path:
    from harness.analysis import BEFORE, rank
    from harness.cli.leaderboard_text import leaderboard_markdown
    from harness.records import to_json
    from harness.runs import open_evidence
    from harness.storage import write_json, write_whole

    runs = []
    for entrant in entrants:
        found = open_evidence(entrant.folder)
        named = dataclasses.replace(found.report, method=entrant.wanted.label)
        runs.append(dataclasses.replace(found, report=named))
    board = rank(runs, against=BEFORE)
    write_json(path.with_suffix(".json"), to_json(board))
    return write_whole(path.with_suffix(".md"), leaderboard_markdown(board))
