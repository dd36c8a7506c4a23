"""The page of lmms-eval's image tasks: which are measured, which are judged, which are refused.

    python -m tests.support.lmms_tasks docs/lmms-eval-tasks.md          # all of them, minutes
    python -m tests.support.lmms_tasks docs/lmms-eval-tasks.md mmstar   # print some lines

Every task is examined as a run examines it, on rows that are made up from what its code reads.
Where no such rows can be made, the page says so: a run decides on the task's own rows.
"""

from __future__ import annotations

import ast
import datetime
import importlib
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from harness.benchmark.bridge import examined
from harness.benchmark.foreign import described, tasks_by_name
from harness.benchmark.importing import config_of, kept_as_it_was
from harness.benchmark.readings import Readings
from harness.benchmark.task_files import yaml_chain
from harness.benchmark.wire import watch_openai
from harness.errors import HarnessError
from tests.support.made_rows import made_tasks

SUPPORTED, JUDGED, REFUSED, OPEN = "supported", "judged", "refused", "by its rows"
LEFT = "not examined"
STATES = (SUPPORTED, JUDGED, OPEN, REFUSED, LEFT)
_SECONDS = 8
_NOT_MADE = "no rows can be made up for it here; decided on its own rows, before a model is asked"


class Late(BaseException):
    """A task that takes too long."""


@dataclass(frozen=True)
class Line:
    """One task on the page."""

    task: str
    state: str
    told: str


def shows(path: Path) -> str:
    """Return ``image``, ``video``, ``audio`` or ``text``: what a task shows, as its code says."""
    code = _code_of(path, "doc_to_visual")
    if code is None:
        return "text"
    if re.search(r"video|mp4|frames|clip", code, re.IGNORECASE):
        return "video"
    return "audio" if re.search(r"audio|wav", code, re.IGNORECASE) else "image"


def _code_of(path: Path, hook: str) -> str | None:
    for file in yaml_chain(str(path)):
        found = re.search(rf"^{hook}\s*:\s*(.*)$", file.read_text(), re.MULTILINE)
        if found is None:
            continue
        named = re.match(r"!function\s+[\"']?([\w.]+)\.(\w+)", found[1])
        if named is None:
            return found[1]
        module = file.parent / (named[1].replace(".", "/") + ".py")
        tree = ast.parse(module.read_text()) if module.is_file() else ast.parse("")
        bodies = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == named[2]]
        return ast.unparse(bodies[0]) if bodies else "?"
    return None


def examine(task: str, path: Path) -> Line:
    """Say of one task what a run would find out."""
    try:
        told = described(path)
    except HarnessError as error:
        return Line(task, REFUSED, str(error))
    if told.refused:
        return Line(task, REFUSED, told.refused)
    try:
        with kept_as_it_was():
            config_of(str(path))
    except HarnessError as error:
        return Line(task, REFUSED, f"its code cannot be imported here: {error.__cause__}")
    best: Readings | None = None
    signal.signal(signal.SIGALRM, _late)
    signal.alarm(_SECONDS)
    try:
        for made in made_tasks(str(path), most=64):
            found = examined(made, told.means, told.beside)
            if best is None or len(found.known) > len(best.known):
                best = found
            if found.known and not found.refused:
                break
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
    finally:
        signal.alarm(0)
    return line_of(task, best, told.asks)


def line_of(task: str, found: Readings | None, asks: bool) -> Line:
    """Return the page's line for what was found out on made-up rows."""
    if found is None or not found.known:
        reasons = Counter(dict.fromkeys((found.refused if found else {}).values(), 1))
        whole = [reason for reason in reasons if "for the whole task only" in reason]
        if whole:
            return Line(task, REFUSED, whole[0])
        return Line(task, OPEN, _NOT_MADE)
    columns = ", ".join(reading.column for reading in found.known)
    lost = [name for name, reason in found.refused.items() if "gives no row a value" not in reason]
    beside = f"; without {', '.join(lost)}" if lost else ""
    return Line(task, JUDGED if asks else SUPPORTED, columns + beside)


def _late(number: int, frame: object) -> None:
    raise Late


def image_tasks() -> Iterator[tuple[str, Path]]:
    """Yield every task that shows images, by name."""
    for task, path in sorted(tasks_by_name().items()):
        if shows(path) == "image":
            yield task, path


def page(lines: Iterable[Line]) -> str:
    """Return the page in Markdown."""
    lines = sorted(lines, key=lambda line: line.task)
    counts = Counter(line.state for line in lines)
    listed = ", ".join(f"{counts[state]} {state}" for state in STATES if counts[state])
    told = [
        "# Image tasks of lmms-eval",
        "",
        f"lmms-eval {version('lmms-eval')}, {datetime.date.today()}: {len(lines)} tasks that show "
        f"images; {listed}.",
        "",
        "Made by `python -m tests.support.lmms_tasks docs/lmms-eval-tasks.md`, which examines each",
        "task as `--bench lmms:TASK` does (docs/write-a-benchmark.md), on rows that are made up",
        "from what its code reads. No data set was read. *Supported*: the columns are the task's",
        "own figures. *Judged*: the task's code can ask a language model, through `--judge`; rows",
        "for which it does are missing without one. *By its rows*: no fitting rows could be made",
        "up, so a run decides on the task's own rows, before a model is asked. *Refused*: and why.",
        "",
        "| task | | columns, or why not |",
        "|---|---|---|",
    ]
    rows = [f"| {one.task} | {one.state} | {_cell(one.told)} |" for one in lines]
    return "\n".join([*told, *rows]) + "\n"


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:300]


def ready() -> None:
    """Import what takes long before any task's time begins to run."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    with kept_as_it_was():
        importlib.import_module("lmms_eval.api.task")
        importlib.import_module("lmms_eval.api.metrics")
    watch_openai()


def _family(path: Path) -> str:
    """Return what tasks share that are read alike: their folder, scoring and metrics."""
    told = described(path)
    hooks = [_code_of(path, hook) for hook in ("process_results", "doc_to_target", "doc_to_text")]
    return repr((path.parent, hooks, sorted(told.metrics.items()), told.refused))


def main() -> None:
    """Write the page, or print the lines of some tasks."""
    ready()
    place, *some = sys.argv[1:]
    lines: list[Line] = []
    known: dict[str, Line] = {}
    for task, path in image_tasks():
        if some and task not in some:
            continue
        family = _family(path)
        if family not in known:
            known[family] = examine(task, path)
        lines.append(replace(known[family], task=task))
        sys.stderr.write(f"{lines[-1]}\n")
    text = page(lines)
    if some:
        sys.stdout.write(text)
    else:
        Path(place).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
