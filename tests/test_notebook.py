"""docs/notebook.ipynb runs as it stands, and the outputs in it are those of a run of it.

``python tests/test_notebook.py`` executes it and writes its outputs anew.
"""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOK = Path(__file__).parent.parent / "docs" / "notebook.ipynb"
LARGEST = 60_000


def executed(folder: Path) -> nbformat.NotebookNode:
    """Return the notebook as it is after a run in an empty folder, without its progress."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    place = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=300, record_timing=False, resources=place).execute()
    notebook.metadata["language_info"] = {"name": "python"}  # not that of this machine
    for cell in code_of(notebook):
        kept: list[nbformat.NotebookNode] = []
        for one in cell.outputs:
            if one.get("name") == "stderr":
                continue
            if kept and one.get("name") == kept[-1].get("name") == "stdout":
                kept[-1].text += one.text  # what a line of progress between them had parted
            else:
                kept.append(one)
        cell.outputs = kept
        for output in cell.outputs:
            output.get("data", {}).pop("image/jpeg", None)  # the same picture as PNG is enough
    return notebook


def code_of(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def told(cell: nbformat.NotebookNode) -> list[str]:
    """Kinds and headings of a cell's outputs; figures may differ between processors."""
    found = []
    for output in cell.outputs:
        data = output.get("data", {})
        headings = re.findall(r"<th>(.*?)</th>", data.get("text/html", ""))
        found += [output.output_type, *sorted(data), *(h for h in headings if not h.isdigit())]
    return found


def test_the_notebook_names_no_place_of_a_machine_and_is_small():
    text = NOTEBOOK.read_text("utf-8")
    assert len(text) < LARGEST
    assert not re.search(r"/(home|root|tmp|Users|work)/|site-packages|\b[A-Z]:\\\\", text)
    assert "image/png" in text


@pytest.mark.slow
def test_the_notebook_runs_and_holds_the_outputs_of_a_run(tmp_path):
    kept = nbformat.read(NOTEBOOK, as_version=4)
    again = executed(tmp_path)
    assert [told(cell) for cell in code_of(again)] == [told(cell) for cell in code_of(kept)], (
        "call python tests/test_notebook.py"
    )
    assert len(list((tmp_path / "runs").glob("seva-*"))) == 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as empty:
        nbformat.write(executed(Path(empty)), NOTEBOOK)
