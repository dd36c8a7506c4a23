"""The form of a miniature benchmark: tables of rows, written as a hub data set would be."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness_tinyworld import NOTICE

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Table:
    """One split of one config.

    `columns` gives each column's type: "string", "int64", ..., "image" for an RGB array of bytes,
    or a list of one such name, or a mapping of names to such. `rows` makes the rows; an image is
    an array of shape (h, w, 3).
    """

    columns: dict[str, Any]
    rows: Callable[[], list[Row]]
    split: str = "test"
    config: str = "default"

    @property
    def file(self) -> str:
        """Where the split lies in the data set's folder."""
        place = "data" if self.config == "default" else self.config
        return f"{place}/{self.split}-00000-of-00001.parquet"


@dataclass(frozen=True, slots=True)
class Mini:
    """A miniature: the hub data set's name without its owner, what it holds, its tables.

    `extra` gives further text files by their path, such as word lists that a scorer reads.
    """

    folder: str
    about: str
    tables: tuple[Table, ...]
    extra: Mapping[str, str] = field(default_factory=dict)


def png(image: np.ndarray) -> bytes:
    """Encode RGB bytes of shape (height, width, 3) as PNG."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def _feature(kind: Any) -> Any:
    from datasets import Image, List, Value

    if isinstance(kind, list):
        return List(_feature(kind[0]))
    if isinstance(kind, dict):
        return {name: _feature(part) for name, part in kind.items()}
    return Image() if kind == "image" else Value(kind)


def _cell(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return {"bytes": png(value), "path": None}
    return [_cell(item) for item in value] if isinstance(value, list) else value


def write(mini: Mini, data: Path) -> list[Path]:
    """Write a miniature's tables and its card below the data folder; return the files."""
    from datasets import Dataset, Features
    from pyarrow import parquet

    folder, files = data / mini.folder, []
    for table in mini.tables:
        features = Features({name: _feature(kind) for name, kind in table.columns.items()})
        rows = [{name: _cell(row[name]) for name in table.columns} for row in table.rows()]
        target = folder / table.file
        target.parent.mkdir(parents=True, exist_ok=True)
        # Rows that share an image hold it once: `to_parquet` writes every copy.
        parquet.write_table(
            Dataset.from_list(rows, features=features).data.table,
            target,
            compression="zstd",
            dictionary_pagesize_limit=2**24,
        )
        files.append(target)
    for name, text in {"README.md": card(mini, files), **mini.extra}.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        files.append(target)
    return files


def card(mini: Mini, files: Sequence[Path]) -> str:
    """Write the data set card, whose front matter names configs and splits for `datasets`.

    Each config's description holds a hash of the tables: `datasets` keeps a copy of what it read
    under a key made of this front matter, not of the files, and would serve old rows for ever.
    """
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
    lines = ["---", "configs:"]
    for config in dict.fromkeys(table.config for table in mini.tables):
        lines += [f"- config_name: {config}", f"  description: tables {digest}", "  data_files:"]
        for table in mini.tables:
            if table.config == config:
                lines += [f"  - split: {table.split}", f"    path: {table.file}"]
    lines += ["---", "", f"# {mini.folder}, in miniature", "", mini.about, ""]
    lines += [f"This is a {NOTICE}.", "It is made by `python -m harness_tinyworld.build`.", ""]
    return "\n".join(lines)
