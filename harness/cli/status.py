"""The command that says how far a run or a sweep is."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.options import JSON, PATH, lines
from harness.cli.tables import DASH, text_table, time_of
from harness.errors import ExitCode

if TYPE_CHECKING:
    from harness.jobs import Failure, RunStatus, SweepStatus
    from harness.stages import Part, StageState


@click.command()
@click.argument("folder", metavar="FOLDER", type=PATH)
@JSON
def status(folder: Path, events: bool) -> ExitCode:
    """Show the progress of a run or a sweep: what is done, left, and failed.

    Only reads files; a process that is at work in the folder is not disturbed.

    \b
    harness status runs/my-sweep
    harness status runs/seva-tinyworld-1a2b3c4d --json
    """
    from harness.jobs import RunStatus, status_of

    found = status_of(folder)
    if events:
        click.echo(json.dumps(_json(found)))
    else:
        text = _run_text(found) if isinstance(found, RunStatus) else _sweep_text(found)
        click.echo(lines(text), nl=False)
    return ExitCode.DONE


def _json(found: RunStatus | SweepStatus) -> dict[str, Any]:
    from harness.jobs import RunStatus
    from harness.records import to_json

    if isinstance(found, RunStatus):
        stages = [{**to_json(each), "state": each.state} for each in found.stages]
        return {**to_json(found), "stages": stages}
    return {**to_json(found), "runs": [_json(run) for run in found.runs]}


def _run_text(found: RunStatus) -> str:
    rows = []
    for state in found.stages:
        left = found.seconds.get(state.stage)
        for number, part in enumerate((*state.parts, *state.ahead)):
            name = state.stage if number == 0 else ""
            rest = time_of(left, "not known") if number == 0 and not state.complete else ""
            rows.append((name, part.name, _part(part, state), rest))
    table = text_table(rows, head=("stage", "benchmark", "on disk", "time left"))
    return "\n".join([str(found.folder), "", *table, *_failed(found.failures)]) + "\n"


def _part(part: Part, state: StageState) -> str:
    from harness.stages import REPORT

    if state.stage == REPORT:
        return "written" if part.complete else ("out of date" if part.done else "missing")
    if not part.done and not part.complete:
        return "missing"
    of = f" of {part.total}" if not part.complete and part.total is not None else ""
    lost = f", {part.unmeasured} not measured" if part.unmeasured else ""
    return f"{part.done}{of} {state.unit}{lost}{'' if part.complete else ', unfinished'}"


def _sweep_text(found: SweepStatus) -> str:
    from harness.stages import STAGES

    rows = []
    for run in found.runs:
        cells = {each.stage: _cell(each) for each in run.stages}
        rows.append((run.folder.name, *(cells.get(stage, "") for stage in STAGES)))
    table = text_table(rows, head=("run", *STAGES), right=range(1, len(STAGES) + 1))
    return "\n".join([_summary(found), "", *table, *_failed(found.failures)]) + "\n"


def _summary(found: SweepStatus) -> str:
    if not found.jobs:
        return f"{found.folder}: {len(found.runs)} run{'s' if len(found.runs) > 1 else ''}"
    counts = Counter(found.jobs.values())
    told = [f"{counts['done']} of {len(found.jobs)} jobs done"]
    told += [f"{counts[each]} {each}" for each in ("at work", "failed", "waiting") if counts[each]]
    text = f"{found.folder}: {', '.join(told)}"
    if found.driver is not None:
        text += f"; driven by process {found.driver.pid} on {found.driver.host}"
    elif counts["waiting"] or counts["failed"]:
        text += "; nobody is at work on it, the same harness sweep command goes on"
    if found.driver is not None and found.seconds:
        text += f"; about {time_of(found.seconds)} left"
    return text


def _cell(state: StageState) -> str:
    if state.complete:
        return "done"
    if not state.done:
        return DASH
    return f"{state.done}/{state.total}" if state.total is not None else str(state.done)


def _failed(failures: Sequence[Failure]) -> list[str]:
    told = []
    for each in failures:
        code = f"exit code {each.code}" if each.code is not None else "not run to its end"
        told += ["", f"{each.job} failed ({code}): {each.reason}", f"  {each.log}"]
    return told
