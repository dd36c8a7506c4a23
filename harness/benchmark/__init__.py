"""All that a benchmark author needs: benchmark, metrics, task, rubric, source files, catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.benchmark.catalog import benchmark, code_digest, expand
from harness.benchmark.definition import Benchmark, Choices, Papers
from harness.benchmark.foreign import directions, is_adhoc_result
from harness.benchmark.foreign_columns import adhoc_columns, fitted, known_columns, scores_in
from harness.benchmark.json_stream import BrokenListError, list_items
from harness.benchmark.metrics import (
    Metric,
    all_of,
    f1_of,
    flip_column,
    has,
    headline,
    mean_of,
    present,
    ratio_of,
    together,
)
from harness.benchmark.readings import numeric
from harness.benchmark.rubric import Anchor, JudgePrompt, Rubric, UnparsableReply, judge_prompt
from harness.benchmark.source_files import (
    Files,
    Reading,
    SourceFiles,
    SourcePath,
    SourceRow,
    malformed,
    texts_of,
    value_of,
)
from harness.benchmark.table_files import check_files, check_shards, stored_rows
from harness.benchmark.tables import check_tables, facts_of, tables_below
from harness.benchmark.task import Row, Task
from harness.benchmark.task_files import (
    HUB,
    OWN,
    DataPlaces,
    configs_of,
    data_fingerprint,
    dataset_name,
    datasets_cache,
    local_folder,
    place_of,
    read_columns,
    task_settings,
    yaml_file,
)
from harness.old_names import forward as _forward
from harness.records import Scored

__all__ = [
    "HUB",
    "OWN",
    "Anchor",
    "Benchmark",
    "BrokenListError",
    "Choices",
    "DataPlaces",
    "Files",
    "JudgePrompt",
    "Metric",
    "Papers",
    "Reading",
    "Row",
    "Rubric",
    "Scored",
    "SourceFiles",
    "SourcePath",
    "SourceRow",
    "Task",
    "UnparsableReply",
    "adhoc_columns",
    "all_of",
    "benchmark",
    "check_files",
    "check_shards",
    "check_tables",
    "code_digest",
    "configs_of",
    "data_fingerprint",
    "dataset_name",
    "datasets_cache",
    "directions",
    "expand",
    "f1_of",
    "facts_of",
    "fitted",
    "flip_column",
    "has",
    "headline",
    "is_adhoc_result",
    "judge_prompt",
    "known_columns",
    "list_items",
    "local_folder",
    "malformed",
    "mean_of",
    "numeric",
    "place_of",
    "present",
    "ratio_of",
    "read_columns",
    "scores_in",
    "stored_rows",
    "tables_below",
    "task_settings",
    "texts_of",
    "together",
    "value_of",
    "yaml_file",
]

if not TYPE_CHECKING:
    __getattr__ = _forward(__name__)
