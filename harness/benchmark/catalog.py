"""What ``--bench`` takes: installed benchmarks, suites of them, and any lmms-eval image task.

- ``pope``: an entry point in the group ``harness.benchmarks``.
- ``sima14``: an entry point in ``harness.suites``, a tuple of such names.
- ``lmms:mmstar``: a task of the installed lmms-eval, by its task name.
- ``folder/task.yaml``: a task file of one's own.

The last two become a benchmark with one column for each numeric value that the task's
``process_results`` gives a row. Only such tasks can be compared before and after sample by sample;
one that gives none is refused at its first row.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.benchmark.definition import Benchmark
from harness.benchmark.metrics import Metric, has
from harness.benchmark.task_files import task_settings, tasks_folder
from harness.errors import UsageError, near_miss
from harness.plugins import digest_of, find, load, names
from harness.records import Scored, distinct
from harness.storage import folder_digest

if TYPE_CHECKING:
    from numpy import float64
    from numpy.typing import NDArray

    from harness.benchmark.task import Row, Task
    from harness.records import Sample

PREFIX = "lmms:"
_RESULTS = ("lmms-", "file-")
_IN_PLACE = ("score", "accuracy", "acc", "correct")


def expand(wanted: Sequence[str]) -> tuple[str, ...]:
    """Put the members of suites in the place of their names; every name appears once.

    Raises:
        UsageError: if two packages claim a suite.
    """
    known = names("suites")
    found: list[str] = []
    for name in wanted:
        found += load("suites", name) if name in known else [name]
    return distinct(found)


def benchmark(name: str) -> Benchmark:
    """Return the benchmark that a word after ``--bench`` means.

    Raises:
        UsageError: if nothing has that name, naming the near miss.
    """
    if is_adhoc(name):
        return adhoc(name)
    installed = [*names("benchmarks"), *names("suites")]
    if name not in installed:
        raise UsageError(
            f"No benchmark or suite is named '{name}'.{near_miss(name, installed)} "
            f"Installed: {', '.join(installed)}. List them with: harness list benchmarks"
        )
    found: Benchmark = load("benchmarks", name)
    return found


def is_adhoc(name: str) -> bool:
    """Say whether a word names a task of lmms-eval or a task file, and no entry point."""
    return name.startswith(PREFIX) or name.endswith((".yaml", ".yml"))


def code_digest(name: str) -> str:
    """Hash the code that scores a benchmark, for :func:`harness.plan.resolve`.

    A benchmark's package is hashed as a whole, as its modules share helpers; a task file with
    everything beside it that is code or configuration.
    """
    if is_adhoc(name):
        return folder_digest(_file(name).parent, "*")
    package = find("benchmarks", name).module.split(".")[0]
    spec = find_spec(package)
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return digest_of("benchmarks", name)
    return folder_digest(Path(spec.origin).parent)


def adhoc(name: str) -> Benchmark:
    """Build a benchmark from ``lmms:TASK`` or the path of a task file.

    Its columns are the metrics that the file lists, each the mean over the rows that have it, in
    hundredths: the values of a row are taken to lie between 0 and 1, as they do in most tasks.
    A metric without a numeric value per row stays empty.

    Raises:
        UsageError: if there is no such task or file, or it is a group of tasks.
    """
    path = _file(name)
    title, metrics = _described(path)
    return Benchmark(
        name=(_RESULTS[0] if name.startswith(PREFIX) else _RESULTS[1])
        + re.sub(r"[^A-Za-z0-9._-]+", "-", title).strip("-."),
        title=title,
        task=str(path),
        score=_Score(frozenset(metrics)),
        columns=adhoc_columns(metrics),
        licence="see the data set's card",
        source=f"lmms-eval task {title}",
    )


def adhoc_columns(
    metrics: Mapping[str, bool | None], largest: Mapping[str, float] | None = None
) -> tuple[Metric, ...]:
    """Return one column for each metric, with its direction; the first is the headline.

    Args:
        metrics: name and direction of each.
        largest: the largest value of a row, where it is known. Up to 1 the column is in
            hundredths, as where nothing is known; above, it is the plain mean, and its scale is
            taken to end at the next power of ten.
    """
    columns: list[Metric] = []
    for metric, better in metrics.items():
        top = (largest or {}).get(metric, 1.0)
        scale, high = (100.0, 100.0) if top <= 1 else (1.0, 10.0 ** math.ceil(math.log10(top)))
        columns.append(
            Metric(
                metric,
                _Given(metric),
                _Mean(scale),
                higher_is_better=better,
                high=high,
                digits=1 if high >= 100 else 2,
                primary=not columns,
                applies=has(metric),
            )
        )
    return tuple(columns)


def is_adhoc_result(name: str) -> bool:
    """Say whether the name of a benchmark in a result is that of an ad hoc task."""
    return name.startswith(_RESULTS)


def _file(name: str) -> Path:
    if not name.startswith(PREFIX):
        path = Path(name).resolve()
        if not path.is_file():
            raise UsageError(
                f"There is no task file {name}. Name a YAML file in lmms-eval's format, or a task "
                f"that lmms-eval brings with --bench {PREFIX}TASK."
            )
        return path
    task = name.removeprefix(PREFIX)
    known: dict[str, Path] = {}
    for path in sorted(tasks_folder().rglob("*.y*ml")):
        found = re.search(r"^task:\s*[\"']?([\w.-]+)", path.read_text("utf-8"), re.MULTILINE)
        if found:
            known.setdefault(found[1], path)
    if task not in known:
        raise UsageError(
            f"lmms-eval has no task '{task}'.{near_miss(task, known)} It may be a group; name one "
            "of its tasks. List them with: lmms-eval tasks"
        )
    return known[task]


def _described(path: Path) -> tuple[str, dict[str, bool | None]]:
    """Read a task's name and the direction of its metrics."""
    merged = task_settings(path)
    if not isinstance(merged.get("task"), str) or not merged.get("dataset_path"):
        raise UsageError(
            f"The file {path} is not a task: it needs a name as 'task' and a 'dataset_path'. A "
            "group of tasks cannot be run as one; name its tasks."
        )
    listed = merged.get("metric_list") or []
    if not isinstance(listed, list) or not all(
        isinstance(item, dict) and "metric" in item for item in listed
    ):
        raise UsageError(f"'metric_list' in {path} needs entries with 'metric'. Repair the file.")
    return merged["task"], {
        str(item["metric"]): item.get("higher_is_better")
        for item in listed
        if str(item["metric"]) != "submission"
    }


@dataclass(frozen=True)
class _Score:
    """Take every numeric value that ``process_results`` gives a row; a lost one is ``None``."""

    metrics: frozenset[str]

    def __call__(self, task: Task, row: Row, answer: str) -> Scored:
        official = task.score(row, answer)
        found = scores_in(official)
        scores = {
            name: value
            for name, value in found.items()
            if value is not None or name in self.metrics
        }
        told = ", ".join(official) or "nothing"
        return Scored(scores, verdict=None if scores else f"no number for a row; it gives {told}")


def scores_in(values: Mapping[str, Any]) -> dict[str, float | None]:
    """Return the numbers among a row's values: a lost one is ``None``, and a text is none at all.

    So a metric that a row does not have (it does not apply) and one that it should have and lost
    (``None``, NaN) stay apart.
    """
    return {name: number_of(value) for name, value in values.items() if _numeric(value)}


@dataclass(frozen=True)
class _Given:
    """Sum of a metric over the rows that have it, and their number; a lost one is missing."""

    metric: str

    def __call__(self, rows: Sequence[Sample]) -> tuple[float, float] | None:
        applies = has(self.metric)
        values = [row.scores.get(self.metric) for row in rows if applies(row) is not False]
        known = [value for value in values if value is not None]
        return (float(sum(known)), float(len(known))) if len(known) == len(values) else None


@dataclass(frozen=True)
class _Mean:
    """Scale times the sum over the number of rows that have the metric."""

    scale: float

    def __call__(self, totals: NDArray[float64]) -> NDArray[float64]:
        import numpy as np

        empty: NDArray[float64] = np.full(np.shape(totals)[:-1], np.nan)
        over, under = self.scale * totals[..., 0], totals[..., 1]
        return np.divide(over, under, out=empty, where=under != 0)


def number_of(value: Any) -> float | None:
    """Return a row's value of a metric: a number, or the ``score`` of a mapping; else ``None``."""
    if isinstance(value, Mapping):
        keys = [key for key in _IN_PLACE if key in value]
        return number_of(value[keys[0]]) if keys else None
    if isinstance(value, bool | int | float) or hasattr(value, "__float__"):
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError):
            return None
        return number if math.isfinite(number) else None
    return None


def _numeric(value: Any) -> bool:
    """Say whether a value is a number, or stands where one should be."""
    if isinstance(value, Mapping):
        keys = [key for key in _IN_PLACE if key in value]
        return bool(keys) and _numeric(value[keys[0]])
    return value is None or isinstance(value, bool | int | float) or hasattr(value, "__float__")
