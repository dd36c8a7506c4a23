"""A task of one's own is identified by the bytes of the files it names."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from harness.benchmark import Task, benchmark, check_tables, data_fingerprint
from harness.benchmark.own_data import _images_of
from harness.errors import UsageError
from harness.model import Model
from harness.resolve import benchmarks_of
from harness.stages import evaluate
from tests.support.checkpoints import write_llava
from tests.support.contexts import eval_context

YAML = """
task: own_json
dataset_path: json
dataset_kwargs:
  data_files: {files}
test_split: train
output_type: generate_until
doc_to_visual: !function utils.visual
doc_to_text: !function utils.text
doc_to_target: answer
process_results: !function utils.res
generation_kwargs: {{max_new_tokens: 2}}
metric_list:
  - {{metric: acc, aggregation: mean, higher_is_better: true}}
"""
CODE = """
from PIL import Image
def visual(doc): return [Image.open(doc["image"]).convert("RGB")]
def text(doc, kw=None): return doc["question"]
def res(doc, r): return {"acc": float(doc["answer"] == "yes")}
"""


def write(place: Path, answer: str, files: str = "../elsewhere/rows.jsonl") -> str:
    """Write a task and its rows beside it; return the task's path."""
    (place / "task").mkdir(exist_ok=True)
    (place / "elsewhere").mkdir(exist_ok=True)
    image = place / "elsewhere" / "a.png"
    if not image.exists():
        Image.new("RGB", (8, 8), "red").save(image)
    (place / "task" / "own.yaml").write_text(YAML.format(files=files))
    (place / "task" / "utils.py").write_text(CODE)
    (place / "elsewhere" / "rows.jsonl").write_text(
        "".join(
            json.dumps({"id": i, "image": str(image), "question": f"q {i}", "answer": answer})
            + "\n"
            for i in range(4)
        )
    )
    return str(place / "task" / "own.yaml")


def test_turned_references_are_other_data_and_are_scored(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    model = Model.open(write_llava(tmp_path / "llava", seed=1), device="cpu")

    def measured() -> list[float | None]:
        benches, inputs = benchmarks_of([task], "hub")
        context = eval_context(tmp_path / "run", benches, "hub")
        plan = dataclasses.replace(context.plan, inputs=inputs)
        found = evaluate("after", model, dataclasses.replace(context, plan=plan))
        return [row.scores["acc"] for rows in found.samples.values() for row in rows]

    task = write(tmp_path, "yes")
    assert measured() == [1.0] * 4
    write(tmp_path, "no")
    assert measured() == [0.0] * 4


def test_bytes_of_rows_and_images_count_and_places_and_times_do_not(tmp_path: Path) -> None:
    task = write(tmp_path, "yes")
    first = data_fingerprint(task, "hub")
    assert data_fingerprint(task, tmp_path) == first  # whatever --data is
    os.utime(tmp_path / "elsewhere" / "rows.jsonl", (1, 1))
    assert data_fingerprint(task, "hub") == first
    Image.new("RGB", (8, 8), "blue").save(tmp_path / "elsewhere" / "a.png")
    second = data_fingerprint(task, "hub")
    assert second != first
    write(tmp_path, "no")
    assert data_fingerprint(task, "hub") not in (first, second)


def test_long_texts_without_an_image_take_no_time(tmp_path: Path) -> None:
    """One row with an image of 1.5 kB in base64 took 18 seconds, one of 4 kB two minutes."""
    write(tmp_path, "yes")
    rows, image = tmp_path / "rows.jsonl", tmp_path / "elsewhere" / "a.png"
    text = json.dumps({"question": "图中的红色" * 200, "a": "A" * 300_000, "image": str(image)})
    rows.write_text(text + '\n{"image": "elsewhere\\/b c.JPG", "told": "see x.png, y.png"}')
    Image.new("RGB", (8, 8), "red").save(tmp_path / "elsewhere" / "b c.JPG")
    begin = time.process_time()
    found = list(_images_of([rows], tmp_path))
    assert found == [image, tmp_path / "elsewhere" / "b c.JPG"]
    assert time.process_time() - begin < 1


def test_relative_paths_are_relative_to_the_task_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    task = write(tmp_path, "yes")
    found = []
    for folder in (tmp_path, tmp_path / "elsewhere"):
        monkeypatch.chdir(folder)
        found.append((data_fingerprint(task, "hub"), len(Task(task, "hub"))))
    assert found[0] == found[1]
    assert found[0][1] == 4


@pytest.mark.parametrize(
    "files",
    ["{train: ../elsewhere/rows.jsonl}", "[../elsewhere/rows.jsonl]", "../elsewhere/*.jsonl"],
)
def test_every_form_of_data_files_is_followed(tmp_path: Path, files: str) -> None:
    plain = data_fingerprint(write(tmp_path, "yes"), "hub")
    assert data_fingerprint(write(tmp_path, "yes", files), "hub") == plain
    assert data_fingerprint(write(tmp_path, "no", files), "hub") != plain


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"files": "none.jsonl"}, r"none\.jsonl, and there is no .*task/none\.jsonl"),
        ({"files": "https://example.org/rows.jsonl"}, "from the network"),
        ({"source": "pandas"}, "can run code"),
        ({"source": "./nowhere"}, "there is no .*task/nowhere"),
    ],
)
def test_what_cannot_be_hashed_is_refused(tmp_path: Path, change: dict, words: str) -> None:
    task = Path(write(tmp_path, "yes", change.get("files", "../elsewhere/rows.jsonl")))
    text = task.read_text().replace(
        "dataset_path: json", f"dataset_path: {change.get('source', 'json')}"
    )
    task.write_text(text)
    with pytest.raises(UsageError, match=words):
        benchmarks_of([str(task)], "hub")


def test_a_task_that_includes_itself_is_refused(tmp_path: Path) -> None:
    task = Path(write(tmp_path, "yes"))
    task.write_text("include: own.yaml\n" + task.read_text())
    with pytest.raises(UsageError, match="leads back"):
        benchmark(str(task))


def test_a_data_set_on_the_hub_is_known_by_its_commit(tmp_path, monkeypatch) -> None:
    """Without a network: what the cache's refs name, else what was fetched last."""
    from harness.benchmark.task_files import hub_commit

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    hub_commit.cache_clear()
    assert data_fingerprint("pope/pope.yaml", "hub") == "hub:lmms-lab-encoder/POPE"
    seen = set()
    for place, digit in enumerate("ab"):
        folder = tmp_path / "datasets--lmms-lab-encoder--POPE" / "snapshots" / (digit * 40)
        folder.mkdir(parents=True)
        os.utime(folder, (place + 1, place + 1))
        hub_commit.cache_clear()
        seen.add(data_fingerprint("pope/pope.yaml", "hub"))
    assert seen == {f"hub:lmms-lab-encoder/POPE@{digit * 40}" for digit in "ab"}
    refs = tmp_path / "datasets--lmms-lab-encoder--POPE" / "refs"
    refs.mkdir()
    (refs / "v1").write_text("a" * 40)
    (refs / "lost").write_text("c" * 40)
    asked = ("a" * 40, "v1", "lost", "d" * 40, "../..")
    found = [hub_commit("lmms-lab-encoder/POPE", one) for one in asked]
    assert found == ["a" * 40, "a" * 40, None, None, None]
    (refs / "main").write_text("a" * 40)
    hub_commit.cache_clear()
    assert hub_commit("lmms-lab-encoder/POPE") == "a" * 40
    hub_commit.cache_clear()


def rows_of(place: Path) -> list[dict[str, object]]:
    text = (place / "elsewhere" / "rows.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def saved(place: Path) -> str:
    """Save the rows as ``Dataset.save_to_disk`` does, in two shards; return the task."""
    import datasets

    task = write(place, "yes")
    held = datasets.Dataset.from_list(rows_of(place))
    datasets.DatasetDict({"train": held}).save_to_disk(place / "disk", num_shards={"train": 2})
    text = Path(task).read_text().replace("dataset_path: json", "dataset_path: ../disk")
    Path(task).write_text(
        text.replace("  data_files: ../elsewhere/rows.jsonl", "  load_from_disk: true")
    )
    return task


def test_a_json_array_is_checked_as_lines_are(tmp_path: Path) -> None:
    task = write(tmp_path, "yes", "../elsewhere/rows.json")
    place = tmp_path / "elsewhere" / "rows.json"
    place.write_text(json.dumps(rows_of(tmp_path)))
    found = check_tables(task, "hub")
    assert found is not None
    assert (found.rows, found.columns) == (4, ("id", "image", "question", "answer"))
    rows = [{**row, "question": "a\u2028b\x85c\x0bd"} for row in rows_of(tmp_path)]
    place.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    found = check_tables(task, "hub")
    assert found is not None
    assert found.rows == 4
    place.write_text(json.dumps(rows_of(tmp_path))[:-20])
    with pytest.raises(UsageError, match="cannot be read"):
        check_tables(task, "hub")
    place.write_text(json.dumps([{"id": 1, "image": "x", "question": "q"}, 5]))
    with pytest.raises(UsageError, match="a row is not a JSON object"):
        check_tables(task, "hub")
    place.write_text(json.dumps([{"id": 1, "image": "x", "question": "q"}]))
    with pytest.raises(UsageError, match="has no column answer"):
        check_tables(task, "hub")


def test_a_folder_of_save_to_disk_is_checked(tmp_path: Path) -> None:
    task = saved(tmp_path)
    found = check_tables(task, "hub")
    assert found is not None
    assert (found.rows, found.columns) == (4, ("id", "image", "question", "answer"))
    (tmp_path / "disk" / "train" / "data-00001-of-00002.arrow").unlink()
    with pytest.raises(
        UsageError, match=r"lacks data-00001-of-00002\.arrow, which its state\.json"
    ):
        check_tables(task, "hub")
    (tmp_path / "disk" / "train" / "data-00001-of-00002.arrow").write_bytes(
        b"version https://git-lfs"
    )
    with pytest.raises(UsageError, match="Git LFS pointer"):
        check_tables(task, "hub")


@pytest.mark.parametrize("form", ["metadata.csv", "metadata.jsonl"])
def test_images_that_a_folders_list_names_must_be_there(tmp_path: Path, form: str) -> None:
    task = write(tmp_path, "yes")
    folder = tmp_path / "pictures"
    folder.mkdir()
    names = ["a.png", "b.png", "c.png"]
    for name in names[:1]:
        Image.new("RGB", (8, 8), "red").save(folder / name)
    row = {"question": "a\u2028b\x0bc"}
    lines = [json.dumps({"file_name": name, **row}, ensure_ascii=False) + "\n" for name in names]
    if form.endswith("csv"):
        lines = ["question,file_name\n", *(f'"in two\nlines",{name}\n' for name in names)]
    (folder / form).write_text("".join(lines))
    text = Path(task).read_text().replace("dataset_path: json", "dataset_path: imagefolder")
    Path(task).write_text(
        text.replace("data_files: ../elsewhere/rows.jsonl", "data_dir: ../pictures")
    )
    with pytest.raises(UsageError, match=r"lacks b\.png and 1 more, which its metadata"):
        check_tables(task, "hub")


def _as_json(path: Path, rows: list[dict[str, object]]) -> Path:
    path = path.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def _as_parquet(path: Path, rows: list[dict[str, object]]) -> Path:
    path = path.with_suffix(".parquet")
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def _as_arrow(path: Path, rows: list[dict[str, object]]) -> Path:
    path, table = path.with_suffix(".arrow"), pa.Table.from_pylist(rows)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, table.schema) as out:
        out.write_table(table)
    return path


@pytest.mark.parametrize("folder", [False, True], ids=["files", "folder"])
@pytest.mark.parametrize(
    "column",
    [str, lambda name: [name], lambda name: {"bytes": None, "path": name}],
    ids=["text", "list", "struct"],
)
@pytest.mark.parametrize("written", [_as_json, _as_parquet, _as_arrow])
def test_an_image_that_rows_name_counts_in_every_table(tmp_path, written, column, folder):
    """Its name stays, its picture changes: other data, or stored answers would be taken for it."""
    task = Path(write(tmp_path, "yes"))
    image = tmp_path / "far" / "a.png"
    image.parent.mkdir()
    Image.new("RGB", (8, 8), "red").save(image)
    place = tmp_path / "rows"
    place.mkdir()
    table = written(place / "rows", [{"image": column(str(image)), "answer": "yes"}])
    if folder:
        task.write_text(task.read_text().replace("dataset_path: json", "dataset_path: ../rows"))
    else:
        kind = table.suffix[1:].replace("jsonl", "json")
        text = YAML.format(files=f"../rows/{table.name}")
        task.write_text(text.replace("dataset_path: json", f"dataset_path: {kind}"))
    found = []
    for colour in ("red", "blue", "red"):
        Image.new("RGB", (8, 8), colour).save(image)
        found.append(data_fingerprint(str(task), "hub"))
    assert found[0] == found[2] != found[1]
