"""Benchmarks of tasks that are not ours: ``lmms:TASK`` and task files of one's own.

What can be known from the task's file is known at once; how its figures follow from its rows is
found out by :mod:`harness.benchmark.bridge` when its data is there, and before a model is asked.
A figure that cannot be computed row by row is refused with the reason.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.benchmark.definition import Benchmark
from harness.benchmark.foreign_columns import pending_columns
from harness.benchmark.rubric import Rubric
from harness.benchmark.task_files import task_settings, tasks_folder, yaml_chain
from harness.errors import HarnessError, UsageError, near_miss
from harness.records import Scored

if TYPE_CHECKING:
    from harness.benchmark.readings import Readings
    from harness.benchmark.rubric import JudgePrompt
    from harness.benchmark.task import Row, Task

PREFIX = "lmms:"
BRIDGE = "bridge 1"
"""Grows when the same row of the same task may be scored otherwise."""
_RESULTS = ("lmms-", "file-")
_NATIVE: Mapping[str, tuple[str, str]] = {
    "naturalbench": (
        "naturalbench",
        "its figures take groups of rows together in a way that its own code knows only for the "
        "whole data set",
    ),
    "llava_in_the_wild": (
        "llavabench",
        "its judge gives two marks a row, and its figure is the sum of one over the sum of the "
        "other, rounded on the way",
    ),
}
"""Tasks whose figure needs a benchmark of ours: its name, and why."""
_ASKS = re.compile(
    r"llm_judge|requests\.post|chat\.completions|verifiers|(import|from) openai|get_chat_response"
)
_OPENAI = re.compile(r"chat\.completions|(import|from) openai")


def is_foreign(name: str) -> bool:
    """Say whether a word names a task of lmms-eval or a task file, and no entry point."""
    return name.startswith(PREFIX) or name.endswith((".yaml", ".yml"))


def is_adhoc_result(name: str) -> bool:
    """Say whether the name of a benchmark in a result is that of a task that is not ours."""
    return name.startswith(_RESULTS)


@dataclass(frozen=True)
class Described:
    """What a task's file says.

    Each metric has a direction; ``means`` are those that the file calls a mean of numbers,
    ``beside`` names that are no figure, such as a file to submit. ``asks`` says whether its code
    can ask a language model about an answer, and ``openai`` whether with the service's own library.
    ``refused`` is why the task cannot be measured, as far as its file says so; else empty.
    """

    title: str
    metrics: Mapping[str, bool | None]
    means: frozenset[str]
    beside: frozenset[str]
    asks: bool = False
    openai: bool = False
    refused: str = ""


def foreign(name: str) -> Benchmark:
    """Build a benchmark from ``lmms:TASK``, ``lmms:TASK:METRIC`` or the path of a task file."""
    path, head = task_file(name), _metric_named(name)
    found = described(path)
    if found.refused:
        raise UsageError(f"The task {found.title} cannot be measured here: {found.refused}.")
    if head is not None and head not in found.metrics:
        raise UsageError(
            f"The task {found.title} has no metric '{head}'.{near_miss(head, found.metrics)} "
            f"It has: {', '.join(found.metrics)}."
        )
    bridged = _Bridged(found, head)
    result = _RESULTS[0] if name.startswith(PREFIX) else _RESULTS[1]
    label = found.title if head is None else f"{found.title}-{head}"
    return Benchmark(
        name=result + re.sub(r"[^A-Za-z0-9._-]+", "-", label).strip("-."),
        title=found.title,
        task=str(path),
        score=bridged.score,
        columns=pending_columns(found.metrics, head),
        row_units=bridged.units,
        prepare=bridged.prepare,
        rubric=bridged.rubric if found.asks else None,
        licence="see the data set's card",
        source=f"{'lmms-eval task' if name.startswith(PREFIX) else 'task file'} {found.title}",
    )


@dataclass(frozen=True)
class _Bridged:
    """Scores rows as the task does; see :mod:`harness.benchmark.bridge`."""

    told: Described
    head: str | None

    def readings(self, task: Task) -> Readings:
        from harness.benchmark.bridge import examined
        from harness.benchmark.wire import watch_openai

        if self.told.openai:
            watch_openai()
        return examined(task, self.told.means, self.told.beside)

    def prepare(self, task: Task) -> tuple[str, ...]:
        """Refuse a task whose headline cannot be computed; return what readers should know."""
        found = self.readings(task)
        refused = dict(found.refused)
        known = [reading.metric for reading in found.known]
        wanted = [self.head] if self.head else [m for m in self.told.metrics if _is_total(m)]
        lost = [metric for metric in wanted if metric in refused]
        if lost or not known:
            reasons = "; ".join(f"{metric}: {reason}" for metric, reason in refused.items())
            others = f" Its other figures can be named, as in {PREFIX}TASK:METRIC: " + ", ".join(
                known
            )
            raise UsageError(
                f"The task {self.told.title} cannot be compared row by row. {reasons}."
                f"{others + '.' if known and not self.head else ''}"
            )
        return tuple(f"{metric} is left out: {reason}" for metric, reason in refused.items())

    def score(self, task: Task, row: Row, answer: str) -> Scored:
        from harness.benchmark.bridge import score

        return score(self.readings(task), task, row, answer)

    def units(self, task: Task, row: Row) -> Mapping[str, str]:
        from harness.benchmark.bridge import units

        return units(self.readings(task), task, row)

    @property
    def rubric(self) -> Rubric:
        """The task's own question to a judge, and its own reading of the reply."""

        def read(task: Task, row: Row, answer: str, reply: str) -> Scored:
            from harness.benchmark.bridge import read

            return read(self.readings(task), task, row, answer, reply)

        return Rubric(
            version=f"{self.told.title} {BRIDGE}",
            ask=_ask,
            read=read,
            metrics=lambda row: (),
            anchors=(),
            span=1.0,
        )


def _ask(task: Task, row: Row, answer: str) -> JudgePrompt | None:
    from harness.benchmark.bridge import ask

    return ask(task, row, answer)


def _is_total(metric: str) -> bool:
    from harness.benchmark.foreign_columns import is_aggregate

    return is_aggregate(metric)


def described(path: Path) -> Described:
    """Read what a task's file says; none of its code runs."""
    merged = task_settings(path)
    if not isinstance(merged.get("task"), str) or not merged.get("dataset_path"):
        raise UsageError(
            f"The file {path} is not a task: it needs a name as 'task' and a 'dataset_path'. A "
            "group of tasks is named by its own name, as in lmms:GROUP."
        )
    listed = merged.get("metric_list") or []
    if not isinstance(listed, list) or not all(
        isinstance(item, dict) and "metric" in item for item in listed
    ):
        raise UsageError(f"'metric_list' in {path} needs entries with 'metric'. Repair the file.")
    ways = {str(item["metric"]): item.get("aggregation") for item in listed}
    beside = frozenset(
        name for name, way in ways.items() if "submission" in name.lower() or way == "bypass"
    )
    return Described(
        title=merged["task"],
        metrics={
            str(item["metric"]): item.get("higher_is_better")
            for item in listed
            if str(item["metric"]) not in beside
        },
        means=frozenset(name for name, way in ways.items() if way == "mean"),
        beside=beside,
        asks=_mentions(path, _ASKS),
        openai=_mentions(path, _OPENAI),
        refused=_refused(merged, ways, beside) or _of_all_captions(path),
    )


def _refused(merged: Mapping[str, Any], ways: Mapping[str, Any], beside: frozenset[str]) -> str:
    kind = str(merged.get("output_type") or "generate_until")
    native = _NATIVE.get(str(merged["task"]))
    if native is not None:
        bench, why = native
        return f"{why}; it is measured natively with --bench {bench}"
    if kind != "generate_until":
        return f"it asks a model in another way than one question and one answer ({kind})"
    if ways and not set(ways) - beside:
        return "it only writes a file for submission, because its reference answers are not public"
    if not ways:
        return "its file lists no metric in 'metric_list'"
    return ""


def _of_all_captions(path: Path) -> str:
    """Refuse figures that count words over a whole set of captions, before a row is scored."""
    for file in yaml_chain(str(path)):
        text = file.read_text("utf-8")
        for module in set(re.findall(r"aggregation:\s*!function\s+[\"']?([\w.]+)\.\w+", text)):
            code = file.parent / (module.replace(".", "/") + ".py")
            if code.is_file() and "pycocoevalcap" in code.read_text("utf-8", errors="replace"):
                return (
                    "its figures (CIDEr, BLEU and their like) count words over all captions, so "
                    "they exist for the whole task only"
                )
    return ""


def _mentions(path: Path, what: re.Pattern[str]) -> bool:
    """Say whether the code beside a task's files mentions something."""
    files = {file for each in yaml_chain(str(path)) for file in each.parent.glob("*.py")}
    return any(what.search(file.read_text("utf-8", errors="replace")) for file in files)


def _metric_named(name: str) -> str | None:
    return name.split(":", 2)[2] if name.startswith(PREFIX) and name.count(":") > 1 else None


def task_file(name: str) -> Path:
    """Return the file of ``lmms:TASK``, ``lmms:TASK:METRIC`` or a path."""
    if not name.startswith(PREFIX):
        path = Path(name).resolve()
        if not path.is_file():
            raise UsageError(
                f"There is no task file {name}. Name a YAML file in lmms-eval's format, or a task "
                f"that lmms-eval brings with --bench {PREFIX}TASK."
            )
        return path
    task, known = name.split(":", 2)[1], tasks_by_name()
    if task not in known:
        raise UsageError(
            f"lmms-eval has no task '{task}'.{near_miss(task, known)} "
            "List them with: lmms-eval tasks"
        )
    return known[task]


def directions(task: str) -> Mapping[str, bool | None]:
    """Return each metric of an installed task with its direction; nothing where it is unknown."""
    with suppress(HarnessError, KeyError):
        return described(tasks_by_name()[task]).metrics
    return {}


@cache
def tasks_by_name() -> Mapping[str, Path]:
    """Return every task file of lmms-eval by the task's name; the first one of a name counts."""
    known: dict[str, Path] = {}
    for path in sorted(tasks_folder().rglob("*.y*ml")):
        text = path.read_text("utf-8")
        found = re.search(r"^task:[ \t]*[\"']?([\w.-]+)", text, re.MULTILINE)
        if found:
            known.setdefault(found[1], path)
    return known


def members(name: str) -> tuple[str, ...]:
    """Return the tasks of a group or tag of lmms-eval, for ``lmms:GROUP``; else the name itself."""
    if not name.startswith(PREFIX) or name.split(":", 2)[1] in tasks_by_name():
        return (name,)
    return tuple(PREFIX + task for task in _tasks_of(name.removeprefix(PREFIX))) or (name,)


def _tasks_of(group: str, inside: tuple[str, ...] = ()) -> list[str]:
    """Return the tasks that a group names or that carry a tag, in the order of their names."""
    if group in tasks_by_name():
        return [group]
    if group in inside:
        return []
    listed: list[str] = []
    tagged = [task for task, path in tasks_by_name().items() if group in _tags(path)]
    for path in sorted(tasks_folder().rglob("*.y*ml")):
        text = path.read_text("utf-8")
        if re.search(
            rf"^group:[ \t]*[\"']?{re.escape(group)}[\"']?[ \t]*(#.*)?$", text, re.MULTILINE
        ):
            tasks = task_settings(path).get("task") or []
            named = tasks if isinstance(tasks, list) else [tasks]
            each = [str(one.get("task") if isinstance(one, dict) else one) for one in named]
            listed += [task for one in each for task in _tasks_of(one, (*inside, group))]
    return list(dict.fromkeys([*listed, *tagged]))


def _tags(path: Path) -> list[str]:
    """Return what a task file says of its tags, in itself."""
    found = re.search(r"^tag:(.*(?:\n[ \t]*-.*)*)", path.read_text("utf-8"), re.MULTILINE)
    return re.findall(r"[\w.-]+", re.sub(r"#.*", "", found[1])) if found else []
