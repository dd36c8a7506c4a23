"""Room 6: hand the finished comparison to each report that was asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError

if TYPE_CHECKING:
    from harness.comparison import ReportInput

Writer = Callable[["ReportInput", Path], Path]


def write_reports(
    report: ReportInput, folder: Path, writers: Mapping[str, Writer]
) -> dict[str, Path]:
    """Let each writer write its file into the run folder and return the files by report name.

    Raises:
        HarnessError: if a writer fails; the others' files are written all the same.
    """
    written: dict[str, Path] = {}
    failed: dict[str, Exception] = {}
    for name, write in writers.items():
        try:
            written[name] = write(report, folder)
        except Exception as error:
            failed[name] = error
    for name, cause in failed.items():
        if isinstance(cause, HarnessError):
            raise cause
        raise HarnessError(
            f"The report '{name}' could not be written: {type(cause).__name__}: {cause}. The "
            f"comparison itself is done and lies in {folder}; leave that report out of --report."
        ) from cause
    return written
