"""``comparison.json``: everything that was found out, for programs.

The same run gives the same bytes, but for the object ``clock``.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from harness.records import to_json
from harness.report import ReportInput
from harness.storage import write_whole

NAME = "comparison.json"
PARTS = ("comparison", "levels", "clock")
SHOWN_ONLY = ("examples", "before", "after", "curves", "images")
"""Fields of the report's input that other files of the run folder hold."""


def write(report: ReportInput, folder: Path) -> Path:
    """Write ``comparison.json`` into the run folder, whole or not at all.

    ``comparison`` is the JSON form of :class:`harness.compare.Comparison`; read it back with
    :func:`harness.records.from_json`. It is null where one model was measured by itself, whose
    figures are in ``levels``. ``run`` says where it comes from. Examples are left out:
    the samples themselves lie beside this file. Only ASCII is written, so that no tool chokes.

    Raises:
        HarnessError: if the file cannot be written.
    """
    doctor = dataclasses.replace(report.doctor, examples=()) if report.doctor else None
    bare = dataclasses.replace(report, doctor=doctor, **dict.fromkeys(SHOWN_ONLY, ()))
    run = to_json(bare)
    parts = {name: run.pop(name) for name in PARTS}
    for name in SHOWN_ONLY:
        run.pop(name)
    text = json.dumps(
        {**parts, "run": run}, indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False
    )
    return write_whole(folder / NAME, text + "\n")
