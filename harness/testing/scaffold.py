"""Packages of a new plugin: pip-installable, tested, running before a line is changed."""

from __future__ import annotations

import keyword
import re
from pathlib import Path
from string import Template

from harness.errors import UsageError
from harness.plugins import names
from harness.storage import write_whole
from harness.testing import templates

_FILES = {
    "method": templates.METHOD_FILES,
    "loss": templates.LOSS_FILES,
    "benchmark": templates.BENCHMARK_FILES,
    "report": templates.REPORT_FILES,
}
_MANY = {"method": "methods", "loss": "losses", "benchmark": "benchmarks", "report": "reports"}


def new_package(kind: str, name: str, out: Path) -> Path:
    """Write the package of a new plugin and return its folder.

    Args:
        kind: ``"method"``, ``"loss"``, ``"benchmark"`` or ``"report"``.
        name: what ``--method`` and its like will take: lower-case letters, digits and underscores.
        out: folder to write; it must be absent or empty.

    Raises:
        UsageError: if the name cannot be one or is taken, or the folder holds something.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise UsageError(
            f"'{name}' cannot be the name of a {kind}: use lower-case letters, digits and "
            f"underscores, a letter first, as in: harness new-{kind} my_{kind} --out DIR"
        )
    owners = names(_MANY[kind]).get(name)
    if owners:
        raise UsageError(
            f"The {kind} '{name}' is there already, from {', '.join(owners)}. Choose another name."
        )
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty. Name a new folder with --out.")
    words = {"name": name, "dist": name.replace("_", "-")}
    for path, text in _FILES[kind].items():
        write_whole(out / Template(path).substitute(words), Template(text).substitute(words))
    if kind == "benchmark":
        _draw(out / f"harness_{name}" / "images")
    return out


def _draw(folder: Path) -> None:
    """Draw the images that a new benchmark begins with."""
    from PIL import Image

    folder.mkdir()
    for colour in templates.COLOURS:
        Image.new("RGB", (64, 64), colour).save(folder / f"{colour}.png")


def new_method(name: str, out: Path) -> Path:
    """Write the package of a new method; see :func:`new_package`."""
    return new_package("method", name, out)


def new_loss(name: str, out: Path) -> Path:
    """Write the package of a new loss; see :func:`new_package`."""
    return new_package("loss", name, out)
