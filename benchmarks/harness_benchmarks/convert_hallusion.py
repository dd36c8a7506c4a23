"""HallusionBench's official files: ``HallusionBench.json`` and the figures that it names.

178 of the 1129 questions are asked without a figure and name no file. Figures lie in
``hallusion_bench.zip`` by category, subcategory and name; the archive could not be had.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

from harness.benchmark import Files, Reading, SourceFiles, SourceRow, malformed, value_of

_LIST = "HallusionBench.json"
_KEY = ("category", "subcategory", "set_id", "figure_id", "question_id")
_TEXTS = (*_KEY, "visual_input", "sample_note", "question", "gt_answer", "gt_answer_details")


def read(files: Files) -> Reading:
    """Read the list in its order."""
    return Reading([_entry(where, item) for where, item in files.items(_LIST)])


def _entry(where: str, item: Any) -> SourceRow:
    values = {name: value_of(item, name, str, where) for name in _TEXTS}
    if values["gt_answer"] not in ("0", "1"):
        raise malformed(where, f"the answer '{values['gt_answer']}' is neither 0 nor 1")
    name = item.get("filename")
    images: tuple[str, ...] = ()
    if name is not None:
        path = PurePosixPath(value_of(item, "filename", str, where))
        images = ("/".join(path.parts[-3:]),)  # category, subcategory and file
    elif values["visual_input"] != "0":
        raise malformed(where, "the question needs a figure and names none")
    return SourceRow(" ".join(values[name] for name in _KEY), where, values, images)


OFFICIAL = SourceFiles(
    fetch=(
        f"{_LIST}, from https://github.com/tianyi-lab/HallusionBench",
        "hallusion_bench.zip, from the link in its README",
    ),
    rows=1129,
    images=346,
    read=read,
)
