"""What lmms-eval is not allowed to do to us."""

from __future__ import annotations

import os
import shutil

import harness_tinyworld
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import ImageFile

from harness.lmms import Task


def test_edited_data_is_read_anew_and_the_process_is_left_as_it_was(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("API_TYPE", raising=False)
    shutil.copytree(harness_tinyworld.DATA / "POPE", tmp_path / "POPE")
    first = next(Task("pope/pope.yaml", tmp_path).rows())

    (file,) = (tmp_path / "POPE/data").glob("*.parquet")
    table = pq.read_table(file)
    place = table.schema.get_field_index("question")
    edited = pa.array(["Is anything new?", *table["question"].to_pylist()[1:]])
    pq.write_table(table.set_column(place, table.schema.field(place), edited), file)

    again = next(Task("pope/pope.yaml", tmp_path).rows())
    assert again.text.startswith("Is anything new?")
    assert again.content != first.content
    assert again.image == first.image
    assert "API_TYPE" not in os.environ
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
