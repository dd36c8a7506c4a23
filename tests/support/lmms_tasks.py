"""The page of lmms-eval's image tasks: which are measured, which are judged, which are refused.

    python -m tests.support.lmms_tasks docs/lmms-eval-tasks.md          # all of them, minutes
    python -m tests.support.lmms_tasks docs/lmms-eval-tasks.md mmstar   # some anew

Every task is examined as a run examines it, on rows that are made up from what its code reads, and
lmms-eval's own aggregate is held against ours over answers in eleven forms. Where no such rows can
be made, the page says what the task's code said of the last ones: a run decides on its own rows.
"""

from __future__ import annotations

import ast
import contextlib
import datetime
import functools
import importlib
import multiprocessing
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from harness.benchmark.bridge import examined
from harness.benchmark.foreign import Described, described, tasks_by_name
from harness.benchmark.importing import config_of, kept_as_it_was
from harness.benchmark.readings import Readings
from harness.benchmark.task_files import yaml_chain
from harness.benchmark.wire import watch_openai
from harness.errors import HarnessError
from harness.runs import without_paths
from tests.support.made_rows import MadeTask, made_tasks
from tests.support.task_parity import Compared, compared

SUPPORTED, JUDGED, REFUSED, OPEN = "supported", "judged", "refused", "by its rows"
LEFT = "not examined"  # on a page that was begun and not finished
STATES = (SUPPORTED, JUDGED, REFUSED, OPEN, LEFT)
_CPU_SECONDS, _SECONDS = 4, 60
LATE = "its scoring takes too long on made-up rows"
_PACKAGE = re.compile(r"No module named '([\w.]+)'")


class Late(BaseException):
    """A task that takes too long."""


@dataclass(frozen=True)
class Line:
    """One task on the page.

    Attributes:
        task: its name.
        state: one of :data:`STATES`.
        told: its columns, or why there are none.
        equal: how our figures compare with lmms-eval's own; empty where they were not compared.
    """

    task: str
    state: str
    told: str
    equal: str = ""


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
        return _functions(module).get(named[2], "?")
    return None


@functools.cache
def _functions(module: Path) -> dict[str, str]:
    """Return the code of a module's functions by their names."""
    if not module.is_file():
        return {}
    found = [n for n in ast.parse(module.read_text()).body if isinstance(n, ast.FunctionDef)]
    return {each.name: ast.unparse(each) for each in found}


def examine(task: str, path: Path) -> Line:
    """Say of one task what a run would find out."""
    try:
        told = described(path)
        if told.refused:
            return Line(task, REFUSED, told.refused)
        with kept_as_it_was():
            config_of(str(path))
    except HarnessError as error:
        return Line(task, REFUSED, _unimportable(error))
    found, made, problem = None, None, ""
    with _in_time():
        try:
            for each in made_tasks(str(path)):
                reading = examined(each, told.means, told.beside)
                if found is None or len(reading.known) > len(found.known):
                    found, made = reading, each
                if found.known and not found.refused:
                    break
        except LookupError as error:
            problem = str(error)
        except Late:
            problem = LATE
    line = line_of(task, told, found, problem)
    if made is None or line.state not in (SUPPORTED, JUDGED):
        return line
    told_apart = Compared("not compared: too slow")
    with _in_time(), contextlib.suppress(Late):
        told_apart = _compared(task, made)
    return replace(line, equal=told_apart.word)


def _compared(task: str, made: MadeTask) -> Compared:
    try:
        return compared(task, made)
    except Exception as error:
        return Compared(f"not compared: {type(error).__name__}: {error}")


def _unimportable(error: HarnessError) -> str:
    package = _PACKAGE.search(str(error.__cause__ or error))
    if package is not None:
        return f"its code needs the package {package[1]}, which lmms-eval does not bring"
    if isinstance(error.__cause__, KeyError) and str(error.__cause__.args[0]).isupper():
        name = error.__cause__.args[0]
        return f"its code needs the environment variable {name}, which was not set here"
    # The rest of lmms-eval's message says where it looked on this machine.
    reason = str(error.__cause__ or error).split(". Tried")[0]
    return f"its code cannot be imported here: {without_paths(reason)}"


def line_of(task: str, told: Described, found: Readings | None, problem: str) -> Line:
    """Return the page's line for what was found out on made-up rows."""
    if found is not None and found.known:
        columns = ", ".join(reading.column for reading in found.known)
        lost = [n for n, reason in found.refused.items() if "gives no row a value" not in reason]
        beside = f"; without {', '.join(lost)}" if lost else ""
        return Line(task, JUDGED if found.judged else SUPPORTED, columns + beside)
    reasons = list(dict.fromkeys(found.refused.values())) if found is not None else []
    whole = [reason for reason in reasons if "for the whole task only" in reason]
    if whole:
        return Line(task, REFUSED, whole[0])
    asked = [
        reason for reason in reasons if "shows the language model" in reason or "asks " in reason
    ]
    if asked:
        return Line(task, REFUSED, asked[0])
    means = [name for name in told.metrics if name in told.means]
    if means:
        return Line(
            task, JUDGED if told.asks else SUPPORTED, f"{', '.join(means)} (means, by its file)"
        )
    return Line(task, OPEN, f"no fitting rows could be made up: {problem or '; '.join(reasons)}")


def _late(number: int, frame: object) -> None:
    raise Late


@contextlib.contextmanager
def _in_time() -> Iterator[None]:
    """Bound what one task may take of the processor."""
    signal.signal(signal.SIGVTALRM, _late)
    signal.setitimer(signal.ITIMER_VIRTUAL, _CPU_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


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
    equal = Counter(line.equal.split(":")[0] for line in lines if line.state in (SUPPORTED, JUDGED))
    told = [
        "# Image tasks of lmms-eval",
        "",
        f"lmms-eval {version('lmms-eval')}, {datetime.date.today()}: {len(lines)} tasks that show "
        f"images; {listed}.",
        "",
        "Made by `python -m tests.support.lmms_tasks docs/lmms-eval-tasks.md`, which examines each",
        "task as `--bench lmms:TASK` does (docs/write-a-benchmark.md), on rows that are made up",
        "from what its code reads. No data set was read. *Supported*: the columns are the task's",
        "own figures. *Judged*: the task's code asks a language model, through `--judge`; rows",
        "for which it does are missing without one. *Refused*: and why. *By its rows*: no fitting",
        "rows could be made up, so a run decides on the task's own rows, before a model is asked.",
        "",
        "The third column compares each figure with lmms-eval's own aggregate over answers in",
        "eleven forms, on the made-up rows: *equal* to 1e-6, or *equal as rounded* where the task",
        "rounds its figure. " + _counted(equal),
        "",
        "| task | | figures | columns, or why not |",
        "|---|---|---|---|",
    ]
    rows = [f"| {o.task} | {o.state} | {_cell(o.equal)} | {_cell(o.told)} |" for o in lines]
    return "\n".join([*told, *rows]) + "\n"


def _counted(equal: Counter[str]) -> str:
    total = equal.total()
    told = ", ".join(f"{count} {word or 'not compared'}" for word, count in equal.most_common())
    return f"Of {total} supported and judged tasks: {told}."


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "/").split())[:240].strip()


def ready() -> None:
    """Import what takes long before any task's time begins to run."""
    os.environ.update(HF_HUB_OFFLINE="1", HF_DATASETS_OFFLINE="1")
    with kept_as_it_was():
        importlib.import_module("lmms_eval.api.task")
        importlib.import_module("lmms_eval.api.metrics")
        importlib.import_module("loguru").logger.disable("")  # what tasks say of rows
    watch_openai()


def _family(path: Path) -> str:
    """Return what tasks share that are read alike: their folder, scoring and metrics."""
    told = described(path)
    hooks = [_code_of(path, hook) for hook in ("process_results", "doc_to_target", "doc_to_text")]
    return repr((path.parent, hooks, sorted(told.metrics.items()), told.refused))


def found_out(wanted: Iterable[tuple[str, Path]], processes: int) -> Iterator[Line]:
    """Examine one task of each family, and say the same of the others.

    Each is examined in a process of its own: what a task's code does to its process, or how long it
    takes there, is no other task's business.
    """
    families: dict[str, list[tuple[str, Path]]] = {}
    for task, path in wanted:
        families.setdefault(_family(path), []).append((task, path))
    ready()
    waiting = list(families.values())[::-1]
    running: dict[Connection, _Examined] = {}
    while waiting or running:
        while waiting and len(running) < processes:
            each = _Examined.begun(waiting.pop())
            running[each.says] = each
        for says in wait(list(running), timeout=1):
            yield from running.pop(says).lines()
        for says in [says for says, each in running.items() if time.monotonic() > each.ends]:
            yield from running.pop(says).lines(LATE)


@dataclass(frozen=True)
class _Examined:
    """A process that examines the first task of a family."""

    family: Sequence[tuple[str, Path]]
    process: BaseProcess
    says: Connection
    ends: float

    @classmethod
    def begun(cls, family: Sequence[tuple[str, Path]]) -> _Examined:
        says, told = multiprocessing.Pipe(duplex=False)
        process = multiprocessing.get_context("fork").Process(target=_tell, args=(*family[0], told))
        process.start()
        told.close()
        return cls(family, process, says, time.monotonic() + _SECONDS)

    def lines(self, reason: str = "its code ends the process on made-up rows") -> Iterator[Line]:
        """Give each task of the family what was found out; without a word the reason."""
        line = Line("", OPEN, f"no fitting rows could be made up: {reason}")
        if self.says.poll():
            with contextlib.suppress(EOFError):
                line = self.says.recv()
        self.process.kill()
        self.process.join()
        for task, _ in self.family:
            yield replace(line, task=task)


def _tell(task: str, path: Path, told: Connection) -> None:
    told.send(examine(task, path))


def lines_of(text: str) -> dict[str, Line]:
    """Read a page's lines back, by task."""
    rows = re.findall(r"^\| ([\w.-]+) \| ([a-z ]+) \| (.*?) \| (.*) \|$", text, re.MULTILINE)
    return {task: Line(task, state, told, equal.strip()) for task, state, equal, told in rows}


def main() -> None:
    """Write the page, or the lines of some tasks anew and the others as they are."""
    place, some = Path(sys.argv[1]), sys.argv[2:]
    lines = lines_of(place.read_text(encoding="utf-8")) if some else {}
    wanted = [(task, path) for task, path in image_tasks() if not some or task in some]
    for line in found_out(wanted, processes=4):
        lines[line.task] = line
        sys.stderr.write(f"{line}\n")
    place.write_text(page(lines.values()), encoding="utf-8")


if __name__ == "__main__":
    main()
