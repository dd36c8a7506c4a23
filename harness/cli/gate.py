"""The command ``gate``: for a CI job that must know whether something got worse."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import JSON, NAMES, PATH, say_next
from harness.cli.tables import text_table
from harness.errors import ExitCode, UsageError
from harness.stats import MOST_LOOKS, SPENDING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.report import ReportInput
    from harness.runs import FinishedRun

FOLDER = "gate"
_ASK_AGAIN = {
    "run": "run the same harness run or harness judge command again",
    "eval": "run the same harness eval or harness judge command again",
    "score": "add the answers to the files and run the same harness score command again",
    "import": "score again with {source}, and import the new files with harness import",
}
"""How what is missing is asked for, by the command that made a run."""


class _Looks(click.ParamType):  # type: ignore[type-arg]  # generic from click 8.3 on
    """``N`` planned looks, or ``K/N``: which of them this is, ``None`` where it is counted."""

    name = "looks"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int | None, int]:
        """Read both numbers."""
        if isinstance(value, tuple):
            return value
        this, sign, count = str(value).rpartition("/")
        numbers = [int(text) for text in (this, count) if text.isdecimal() and len(text) < 9]
        if len(numbers) != 1 + bool(sign) or not 1 <= numbers[0] <= numbers[-1] <= MOST_LOOKS:
            raise UsageError(
                f"--looks {value} is not a number of looks from 1 to {MOST_LOOKS}. Write, for "
                "example, --looks 20, or --looks 3/20 for the third of them."
            )
        return (numbers[0] if sign else None), numbers[-1]


@click.command()
@click.argument("folder", metavar="RUN", type=PATH)
@click.option(
    "--baseline",
    metavar="RUN_OR_BUNDLE",
    type=PATH,
    help="Compare with the trained model of this run; by default with RUN's model before training.",
)
@click.option(
    "--fail-on",
    "rules",
    default="any:loss",
    show_default=True,
    metavar="RULES",
    help='Rules that fail the gate, such as "pope<-0.5, mmvet:loss"; see docs/gate.md.',
)
@click.option(
    "--report",
    "reports",
    type=NAMES,
    default="",
    metavar="A,B",
    help=f"Reports to write into RUN/{FOLDER}, comma-separated.",
)
@click.option(
    "--looks",
    type=_Looks(),
    metavar="[K/]N",
    help="Plan N gates against this baseline and divide the level among them; K is the number of "
    "this one, by default counted in looks.jsonl beside RUN.",
)
@click.option(
    "--spending",
    type=click.Choice(SPENDING),
    default=SPENDING[0],
    show_default=True,
    help="How the level is divided; the last two only where each look adds rows to the last one.",
)
@click.option("--seed", default=0, show_default=True, help="Seed of the intervals.")
@JSON
def gate(
    folder: Path,
    baseline: Path | None,
    rules: str,
    reports: tuple[str, ...],
    looks: tuple[int | None, int] | None,
    spending: str,
    seed: int,
    events: bool,
) -> ExitCode:
    """Fail with exit code 4 if a run made something worse.

    Exit code 3 if samples have no score, else 0.

    \b
    harness gate runs/seva-tinyworld-1a2b3c4d --fail-on "pope<-0.5, mmvet:loss"
    """
    from harness.compare import check_rules, exit_code
    from harness.records import to_json
    from harness.runs import open_evidence

    run = open_evidence(folder)
    against = open_evidence(baseline) if baseline is not None else None
    report = _compared(run, against, seed)
    if looks is not None:
        report = _planned(report, run, against, folder.parent, looks, spending, seed)
    report = dataclasses.replace(report, gate=check_rules(report.compared, rules))
    code = exit_code(report.compared, report.gate)
    written = _written(report, folder, reports)
    if events:
        shown = {"exit": int(code), "missing": report.missing, "notes": report.nothing_right}
        click.echo(json.dumps({**shown, "rules": [to_json(ruling) for ruling in report.gate]}))
        return code
    if looks is not None:
        click.echo(report.notes[-1])
    _show(report, code)
    if code == ExitCode.UNSCORED:
        sides = {folder: run} if baseline is None or against is None else {baseline: against}
        click.echo("\n".join(_ask_again(report, {**sides, folder: run})))
    for path in written:
        click.echo(path)
    passed = code == ExitCode.DONE and folder.is_dir()
    say_next(*(("bundle", folder) if passed else ("report", folder)))
    return code


def _compared(
    run: FinishedRun, against: FinishedRun | None, seed: int, level: float | None = None
) -> ReportInput:
    """Compare with the margins that were set before the run, at its level or another one."""
    from harness.compare import Terms
    from harness.runs import compare_again, compare_runs

    recorded = run.report.comparison
    terms = recorded.terms if recorded is not None else Terms()
    if level is not None:
        terms = dataclasses.replace(terms, alpha=level)
    if against is not None:
        return compare_runs(against, run, seed=seed, terms=terms)
    return run.report if level is None else compare_again(run, terms)


def _planned(
    report: ReportInput,
    run: FinishedRun,
    against: FinishedRun | None,
    place: Path,
    looks: tuple[int | None, int],
    spending: str,
    seed: int,
) -> ReportInput:
    """Compare at the level that the plan leaves to this look, and say which that is."""
    from harness.runs import looked
    from harness.stats import look_levels

    wanted, count = looks
    alpha = report.compared.alpha
    arms = run.arms if against is None else (against.arms[1], run.arms[1])
    seeds = run.report.seeds or (run.report.seed,)
    found = looked(place, report.compared, arms, seeds, plan=f"{count} {spending}")
    number = wanted or found.planned + 1
    if number > count:
        raise UsageError(
            f"All {count} looks of this plan are used up ({place / 'looks.jsonl'}), so nothing can "
            "be decided at its level. Plan more looks before the first one, or start again from "
            "another baseline."
        )
    level = look_levels(count, alpha, spending)[number - 1]
    told = (
        f"Look {number} of {count} ({spending}): tested at level {level:.3g}, so that all {count} "
        f"together keep {alpha:g}."
    )
    report = dataclasses.replace(_compared(run, against, seed, level), looks=found)
    return dataclasses.replace(report, notes=(*report.notes, told))


def _written(report: ReportInput, folder: Path, names: tuple[str, ...]) -> list[Path]:
    """Write reports beside the run's own, which say something else."""
    from harness.report import write_reports, writers_of

    # A bundle is a file: its reports go beside it.
    into = folder / FOLDER if folder.is_dir() else folder.with_suffix(f".{FOLDER}")
    writers = writers_of(names)
    return [*write_reports(report, into, writers).values()] if writers else []


def _show(report: ReportInput, code: ExitCode) -> None:
    cells = [
        (ruling.outcome, ruling.rule, f"{ruling.benchmark} {ruling.column}", ruling.told)
        for ruling in report.gate
    ]
    for line in text_table(cells):
        click.echo(line)
    missing = report.missing
    if missing:
        click.echo(f"{missing} answers or scores are missing, both sides together.")
    for sentence in report.nothing_right:
        click.echo(sentence)
    click.echo(
        {
            ExitCode.DONE: "PASS: no rule failed.",
            ExitCode.UNSCORED: "The gate cannot decide: something is missing.",
            ExitCode.REGRESSION: "FAIL: at least one rule failed.",
        }[code]
    )


def _ask_again(report: ReportInput, sides: Mapping[Path, FinishedRun]) -> list[str]:
    """Say what to type for what is missing, for each run that lacks something.

    Args:
        report: their comparison.
        sides: the run before and the run after, by what was typed; one where it holds both.
    """
    benches = report.compared.benchmarks
    gone = (
        any(each.missing_before for each in benches),
        any(each.missing_after for each in benches),
    )
    lacking = [(any(gone), *side) for side in sides.items()]
    if len(lacking) == 2:
        lacking = [(one, *side) for one, side in zip(gone, sides.items(), strict=True)]
    return [
        f"{place}: {_ASK_AGAIN[run.made_by].format(source=run.record.source)}."
        for lacks, place, run in lacking
        if lacks
    ]
