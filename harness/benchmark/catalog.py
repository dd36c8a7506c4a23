"""What ``--bench`` takes: installed benchmarks, suites of them, and any lmms-eval image task.

- ``pope``: an entry point in the group ``harness.benchmarks``.
- ``sima14``: an entry point in ``harness.suites``, a tuple of such names.
- ``lmms:mmstar``: a task of the installed lmms-eval, by its task name; ``lmms:mmstar:math`` takes
  the metric ``math`` for the headline, and a group of tasks stands for its tasks.
- ``folder/task.yaml``: a task file of one's own.

The last two are read by :mod:`harness.benchmark.foreign`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from harness.benchmark.code_files import code_files
from harness.benchmark.definition import Benchmark
from harness.benchmark.foreign import BRIDGE, foreign, is_foreign, members, task_file
from harness.errors import UsageError, near_miss
from harness.plugins import digest_of, find, load, names
from harness.records import distinct, fingerprint
from harness.storage import files_digest, folder_digest


def expand(wanted: Sequence[str]) -> tuple[str, ...]:
    """Put the members of suites and groups in the place of their names; each appears once.

    Raises:
        UsageError: if two packages claim a suite.
    """
    known = names("suites")
    found: list[str] = []
    for name in wanted:
        found += load("suites", name) if name in known else members(name)
    return distinct(found)


def benchmark(name: str) -> Benchmark:
    """Return the benchmark that a word after ``--bench`` means.

    Raises:
        UsageError: if nothing has that name, naming the near miss.
    """
    if is_foreign(name):
        return foreign(name)
    installed = [*names("benchmarks"), *names("suites")]
    if name not in installed:
        raise UsageError(
            f"No benchmark or suite is named '{name}'.{near_miss(name, installed)} "
            f"Installed: {', '.join(installed)}. List them with: harness list benchmarks"
        )
    found: Benchmark = load("benchmarks", name)
    return found


def code_digest(name: str) -> str:
    """Hash the code that scores a benchmark, for :func:`harness.plan.resolve`.

    Of a benchmark's package those files are hashed that determine its scores, see
    :mod:`harness.benchmark.code_files`; a task file with everything beside it.
    """
    if is_foreign(name):
        return fingerprint(BRIDGE, name, folder_digest(task_file(name).parent, "*"))
    module = find("benchmarks", name).module
    spec = find_spec(module.split(".")[0])
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        return digest_of("benchmarks", name)
    root = Path(spec.origin).parent
    return files_digest(root, code_files(root, module, benchmark(name).task))
