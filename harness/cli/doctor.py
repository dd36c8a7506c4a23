"""The command that says what this machine has, and what would stop a run."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from harness.cli.options import JSON, OUT, say_next
from harness.cli.tables import text_table
from harness.errors import ExitCode, pip, reason_of

FINE, NOTE, PROBLEM = "ok", "note", "PROBLEM"
_ROOM = 2 * 1024**3  # the demo's run takes far less; a 7B adapter run more than this


@dataclass(frozen=True)
class Finding:
    """What was found of one thing; ``state`` is ``"ok"``, ``"note"`` or ``"PROBLEM"``."""

    what: str
    state: str
    told: str


@click.command()
@OUT
@JSON
def doctor(out: Path, events: bool) -> ExitCode:
    """Check this machine: versions, GPU, plugins, hub, keys, cache, disk.

    Nothing is downloaded and no key is shown. Exit code 1 if something would stop a run.

    \b
    harness doctor
    harness doctor --out /scratch/runs
    """
    found = [*_versions(), _device(), *_plugins(), _hub(), _key(), _cache(), _disk(out)]
    if events:
        click.echo(json.dumps({"findings": [asdict(each) for each in found]}))
    else:
        rows = [(each.what, each.state, each.told) for each in found]
        click.echo("\n".join(text_table(rows)))
    broken = sum(each.state == PROBLEM for each in found)
    if broken and not events:
        click.echo(f"{broken} of {len(found)} would stop a run.")
    elif not events:
        say_next("run", "--method", "seva", "--bench", "mmvet,pope", "--out", out)
    return ExitCode.FAILED if broken else ExitCode.DONE


def _versions() -> Iterator[Finding]:
    from harness.resolve import versions

    for name, version in versions().items():
        absent = version == "absent"
        told = f"not installed; {pip('install')} {name}" if absent else version
        yield Finding(name, PROBLEM if absent else FINE, told)


def _device() -> Finding:
    from harness.engine import gpus

    try:
        found = gpus()
    except Exception as error:  # a broken driver raises what it likes
        return Finding("gpu", PROBLEM, reason_of(error))
    if found:
        return Finding("gpu", FINE, ", ".join(found))
    told = f"none that torch sees; models run on the CPU ({os.cpu_count()} cores)"
    return Finding("gpu", NOTE, told)


def _plugins() -> Iterator[Finding]:
    from harness.plugins import KINDS, load, names

    for kind in KINDS:
        found, broken = names(kind), []
        for name in found:
            try:
                load(kind, name)
            except Exception as error:
                broken.append(reason_of(error))
        if broken:
            yield Finding(kind, PROBLEM, " ".join(broken))
        elif not found and kind == "methods":
            yield Finding(
                kind, PROBLEM, f"none is installed; {pip('install')} 'vlm-harness[methods]'"
            )
        else:
            yield Finding(kind, FINE, f"{len(found)}: {', '.join(found)}" if found else "none")


def _hub() -> Finding:
    from harness.runs import hub_access

    answers, told = hub_access()
    return Finding("hub", FINE if answers else NOTE, told)


def _key() -> Finding:
    if os.environ.get("OPENAI_API_KEY"):
        return Finding("OPENAI_API_KEY", FINE, "set")
    told = "not set; servers that want a key refuse models and judges named openai:..."
    return Finding("OPENAI_API_KEY", NOTE, told)


def _cache() -> Finding:
    from harness.benchmark import datasets_cache
    from harness.storage import writable

    place, variable = datasets_cache()
    if writable(place):
        return Finding("cache", FINE, str(place))
    return Finding("cache", PROBLEM, f"{place} cannot be written; export {variable}=DIR")


def _disk(out: Path) -> Finding:
    from harness.storage import writable

    place = out.absolute()
    while not place.exists():
        place = place.parent
    if not writable(place):
        return Finding("disk", PROBLEM, f"{place} cannot be written; name another with --out")
    free = shutil.disk_usage(place).free
    told = f"{free / 1024**3:.1f} GiB free at {place}"
    return Finding("disk", FINE if free >= _ROOM else NOTE, told)
