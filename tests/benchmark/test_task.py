"""What lmms-eval is not allowed to do to us."""

from __future__ import annotations

import os
import runpy
import shutil
from pathlib import Path

import datasets
import harness_tinyworld
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import ImageFile

from harness.benchmark import Task, benchmark, datasets_cache
from harness.errors import HarnessError, UsageError
from harness.model import Model
from harness.stages import evaluate
from tests.support.contexts import eval_context


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


@pytest.mark.parametrize("variable", ["HF_DATASETS_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_the_cache_is_where_datasets_has_it_and_said_when_it_cannot_be_written(
    tmp_path, monkeypatch, variable
):
    for name in ("HF_DATASETS_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path / "cache"))
    theirs = runpy.run_path(datasets.config.__file__, run_name="datasets.config")
    assert datasets_cache()[0] == Path(theirs["HF_DATASETS_CACHE"])

    (tmp_path / "cache").touch()  # as a read-only home does not let a folder be made
    with pytest.raises(UsageError, match=rf"{tmp_path}.* cannot be written.*export (\w+)=") as told:
        Task("pope/pope.yaml", harness_tinyworld.DATA)
    moved = str(told.value).partition("export ")[2].partition("=")[0]
    monkeypatch.setenv(moved, str(tmp_path / "other"))
    assert len(Task("pope/pope.yaml", harness_tinyworld.DATA)) > 0


def test_a_table_that_does_not_say_which_columns_are_images_is_read_alike(tmp_path):
    """pandas and pyarrow write no such note, and ``datasets`` takes the column for two texts."""
    shutil.copytree(harness_tinyworld.DATA / "POPE", tmp_path / "POPE")
    (file,) = (tmp_path / "POPE/data").glob("*.parquet")
    pq.write_table(pq.read_table(file).replace_schema_metadata(None), file)
    row, known = (
        next(Task("pope/pope.yaml", d).rows()) for d in (tmp_path, harness_tinyworld.DATA)
    )
    assert (row.problem, row.content, row.image) == (None, known.content, known.image)


OWN = """
dataset_path: local/Own
task: own
test_split: test
output_type: generate_until
doc_to_visual: !function code.look
doc_to_text: "question"
doc_to_target: "target"
process_results: !function code.score
generation_kwargs: {max_new_tokens: 4}
metric_list:
  - {metric: right, aggregation: mean, higher_is_better: true}
"""
CODE = """
def look(doc): return [doc["image"].convert("RGB")]
def score(doc, results): return {"right": float(doc["target"] in results[0])}
"""


@pytest.mark.parametrize(
    ("task", "code", "said"),
    [
        (OWN, CODE, None),
        (OWN.replace("code.score", "code.scoer"), CODE, r"Reading the task .*own\.yaml .*scoer"),
        (OWN, CODE.replace('doc["image"]', 'doc["img"]'), r"row 0: .*'img' \(code\.py:2\)"),
        (
            OWN,
            CODE.replace("results[0]", "results[1]"),
            r"row 0: its scoring fails: .* \(code\.py:3\)",
        ),
        (OWN.replace("split: test", "split: tset"), CODE, r"of own \(split tset\) cannot"),
    ],
)
def test_a_mistake_in_a_task_of_ones_own_is_named_with_its_place(
    tmp_path, monkeypatch, task, code, said
):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    rows = [{"image": PIL.Image.new("RGB", (8, 8)), "question": "q?", "target": "a"}]
    columns = {name: datasets.Value("string") for name in ("question", "target")}
    features = datasets.Features({"image": datasets.Image(), **columns})
    (tmp_path / "data" / "Own").mkdir(parents=True)
    table = datasets.Dataset.from_list(rows, features=features)
    table.to_parquet(tmp_path / "data" / "Own" / "test-0.parquet")
    (tmp_path / "own.yaml").write_text(task)
    (tmp_path / "code.py").write_text(code)
    bench = benchmark(str(tmp_path / "own.yaml"))
    model = Model.open(harness_tinyworld.MODEL, device="cpu")
    context = eval_context(tmp_path, [bench], tmp_path / "data")
    if said is None:
        (sample,) = evaluate("after", model, context).samples[bench.name]
        assert sample.scores["right"] in (0.0, 1.0)
    else:
        with pytest.raises(HarnessError, match=said):
            evaluate("after", model, context)
