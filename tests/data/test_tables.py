"""The check of a benchmark's tables that verify, plan and every evaluation share."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from harness_tinyworld import DATA
from PIL import Image

from harness.benchmark import benchmark, check_tables
from harness.cli.data import data as data_commands
from harness.cli.plan import plan as plan_command
from harness.data import inspect, same_data
from harness.errors import HarnessError, UsageError
from harness.plugins import names
from harness.records import Sample
from harness.resolve import benchmarks_of

POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
TABLE = "data/test-00000-of-00001.parquet"


@pytest.fixture
def pope(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DATA / "POPE", tmp_path / "POPE"))


def shards(folder: Path, kept: tuple[int, ...], card: bool) -> None:
    """Cut the 720 rows into three shards of 240 and keep some."""
    table = pq.read_table(folder / TABLE)
    (folder / TABLE).unlink()
    for number in kept:
        path = folder / f"data/test-{number:05d}-of-00003.parquet"
        pq.write_table(table.slice(240 * number, 240), path)
    (folder / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n"
        "  - split: test\n    path: data/test-*\n---\n"
    )
    if not card:
        (folder / "README.md").unlink()
        shutil.rmtree(folder / "Full")


@pytest.mark.parametrize("name", names("benchmarks"))
def test_the_miniatures_are_whole_and_counted(name: str) -> None:
    found = check_tables(benchmark(name).task, DATA)
    assert found is not None
    assert found.rows == sum(pq.read_metadata(file).num_rows for file in found.files)
    assert found.notes == ()


@pytest.mark.parametrize("card", [True, False])
def test_shards_that_are_all_there_are_counted_together(pope: Path, card: bool) -> None:
    shards(pope, (0, 1, 2), card)
    found = check_tables("pope/pope.yaml", pope.parent)
    assert found is not None
    assert (found.rows, len(found.files)) == (720, 3)


def gap(card: bool, kept: tuple[int, ...] = (0, 2)) -> Callable[[Path], None]:
    return lambda folder: shards(folder, kept, card)


def broken(folder: Path) -> None:
    data = (folder / TABLE).read_bytes()
    (folder / TABLE).write_bytes(data[: len(data) // 2])


def renamed(to: str, card: bool) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        (folder / to).parent.mkdir(exist_ok=True)
        (folder / TABLE).rename(folder / to)
        if card:
            text = (folder / "README.md").read_text()
            text = text.replace("split: test", "split: validation").replace(TABLE, to)
            (folder / "README.md").write_text(text)
        else:
            (folder / "README.md").unlink()
            shutil.rmtree(folder / "Full")

    return change


def without(column: str) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        table = pq.read_table(folder / TABLE)
        pq.write_table(table.drop_columns([column]), folder / TABLE)

    return change


def two_series(folder: Path) -> None:
    shards(folder, (0, 1, 2), True)
    shutil.copy(folder / "data/test-00000-of-00003.parquet", folder / TABLE)


def outside(folder: Path) -> None:
    text = (folder / "README.md").read_text().replace(TABLE, "../elsewhere.parquet")
    (folder / "README.md").write_text(text)


BROKEN = [
    (gap(True), "shard 00001 of 00003 is not there"),
    (gap(False), "shard 00001 of 00003 is not there"),
    (gap(True, (1,)), "shard 00000 of 00003 is not there and 1 more"),
    (gap(False, (0, 1)), "shard 00002 of 00003 is not there"),
    (lambda f: (f / TABLE).write_text(POINTER), "is a Git LFS pointer"),
    (lambda f: (f / TABLE).write_bytes(b""), "is empty"),
    (broken, "cannot be read"),
    (renamed("data/validation-00000-of-00001.parquet", True), "has the split validation; the"),
    (renamed("data/validation-00000-of-00001.parquet", False), "has the split validation; the"),
    (renamed("validation.parquet", False), "has the split validation; the task pope.yaml wants te"),
    (renamed("rows.parquet", False), "has the split train; the task pope.yaml wants test"),
    (lambda f: (f / TABLE).unlink(), f"lacks {TABLE}"),
    (without("question"), "has no column question"),
    (without("image"), "has no column image"),
    (two_series, "twice, in 00001 and in 00003 shards"),
    (outside, "names data outside of its folder"),
]


@pytest.mark.parametrize(("spoil", "words"), BROKEN)
def test_tables_that_are_not_whole_are_refused_everywhere_in_one_sentence(
    pope: Path, spoil: Callable[[Path], object], words: str
) -> None:
    spoil(pope)
    with pytest.raises(UsageError) as caught:
        benchmarks_of(["pope"], pope.parent)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    planned = CliRunner().invoke(plan_command, ["--bench", "pope", "--data", str(pope.parent)])
    verified = CliRunner().invoke(data_commands, ["verify", str(pope.parent)])
    assert str(planned.exception) == str(caught.value)
    assert words in str(verified.exception)


@pytest.mark.parametrize("path", ["data/**", "**", "data/test**", "data/**/*.parquet"])
def test_a_card_may_name_its_files_as_datasets_reads_patterns(pope: Path, path: str) -> None:
    shutil.rmtree(pope / "Full")
    configs = [{"config_name": "default", "data_files": [{"split": "test", "path": path}]}]
    (pope / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    found = check_tables(benchmark("pope").task, pope.parent)
    assert found is not None
    assert pope / TABLE in found.files
    configs[0]["data_files"][0]["path"] = ""
    (pope / "README.md").write_text(f"---\nconfigs: {json.dumps(configs)}\n---\n")
    assert check_tables(benchmark("pope").task, pope.parent) is None


def test_another_configuration_may_be_absent(pope: Path) -> None:
    shutil.rmtree(pope / "Full")
    assert check_tables("pope/pope.yaml", pope.parent) is not None
    with pytest.raises(UsageError, match="lacks Full/random"):
        check_tables("pope/pope_random.yaml", pope.parent)


def test_ids_that_occur_twice_are_told_and_asked(pope: Path) -> None:
    table = pq.read_table(pope / TABLE)
    pq.write_table(pa.concat_tables([table, table.slice(0, 3)]), pope / TABLE)
    found = check_tables("pope/pope.yaml", pope.parent)
    assert found is not None
    assert found.rows == 2883
    (note,) = found.notes
    assert note.startswith("6 rows of the data set ")
    planned = CliRunner().invoke(plan_command, ["--bench", "pope", "--data", str(pope.parent)])
    assert "6 rows" in planned.output


def test_verify_counts_deep_images_without_decoding(pope: Path) -> None:
    table = pq.read_table(pope / TABLE)
    rows = table.to_pylist()
    deep = io.BytesIO()
    ramp = np.linspace(20000, 34700, 64 * 64).reshape(64, 64).astype(np.uint16)
    Image.fromarray(ramp).save(deep, "PNG")
    for row in (3, 5):
        rows[row]["image"] = {"bytes": deep.getvalue(), "path": None}
    rows[7]["image"] = {"bytes": b"nothing", "path": None}
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), pope / TABLE)
    found = inspect(pope.parent)
    assert found.problems == ()
    deep_note, broken_note = found.notes
    assert deep_note.startswith(f"2 images of {pope / TABLE} have more than 8 bits a channel")
    assert "first in row 3" in deep_note
    assert broken_note.startswith("1 images")
    assert set(found.benchmarks) == {"pope", "pope_adversarial", "pope_popular", "pope_random"}
    done = CliRunner().invoke(data_commands, ["verify", str(pope.parent)])
    assert "more than 8 bits" in done.output
    assert done.exit_code == 0


def rows_of(contents: str) -> list[Sample]:
    return [
        Sample(str(i), content, "", "", "", "yes", 1, "stop") for i, content in enumerate(contents)
    ]


def test_the_same_rows_in_another_order_are_called_that() -> None:
    with pytest.raises(HarnessError, match="the same 3 rows in another order"):
        same_data("pope", rows_of("abc"), rows_of("cab"), ("f", "g"))
    with pytest.raises(HarnessError, match="measured on different data"):
        same_data("pope", rows_of("abc"), rows_of("abd"), ("f", "g"))


def test_the_order_of_rows_in_an_imported_file_says_nothing() -> None:
    rows = rows_of("abc")
    same_data("x", rows, rows[::-1], ("import:f", "import:g"))
    with pytest.raises(HarnessError, match="measured on different data"):
        same_data("x", rows, rows[:2], ("import:f", "import:g"))
    with pytest.raises(HarnessError, match="measured on different data"):
        same_data("x", rows, rows[::-1], ("import:f", "g"))


def test_columns_that_a_task_reads_only_sometimes_are_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(
        "def look(doc):\n"
        "    if 'picture' in doc:\n"
        "        return [doc['picture']]\n"
        "    return [doc['image']]\n"
        "def text(doc, kwargs=None):\n"
        "    hint = doc['hint'] if doc['kind'] == 'a' else ''\n"
        "    return doc.get('lead', '') + doc['question'] + (hint or doc['other'])\n"
        "def score(doc, results):\n"
        "    try:\n"
        "        return {'right': doc['score']}\n"
        "    except KeyError:\n"
        "        return {'right': 0.0}\n"
    )
    (tmp_path / "own.yaml").write_text(
        "task: own\ndataset_path: json\ndataset_kwargs: {data_files: rows.jsonl}\n"
        "test_split: train\ndoc_to_visual: !function code.look\ndoc_to_text: !function code.text\n"
        "process_results: !function code.score\n"
    )
    (tmp_path / "rows.jsonl").write_text(json.dumps({"kind": "b"}) + "\n")
    with pytest.raises(UsageError, match="has no column question in its split train"):
        check_tables(str(tmp_path / "own.yaml"), "hub")
    (tmp_path / "rows.jsonl").write_text(json.dumps({"kind": "b", "question": "q"}) + "\n")
    assert check_tables(str(tmp_path / "own.yaml"), "hub") is not None


def test_a_folder_of_save_to_disk_is_verified_by_its_tables(pope: Path, tmp_path: Path) -> None:
    """What ``save_to_disk`` writes beside them is no table, and a split is a folder there."""
    import datasets

    rows = datasets.load_dataset("parquet", data_files=str(pope / TABLE))["train"].select(range(6))
    shutil.rmtree(pope)
    datasets.DatasetDict({"test": rows}).save_to_disk(str(pope))
    found = inspect(tmp_path)
    assert (found.tables, found.problems) == (1, ())
    assert found.benchmarks == ("pope",), "the splits' own tables are not there"
    next(pope.rglob("*.arrow")).write_bytes(b"ARROW1 torn")
    assert "cannot be read" in inspect(tmp_path).problems[0]


def test_one_json_object_over_several_lines_is_whole(pope: Path) -> None:
    lists = pope / "metadata" / "relation.json"
    lists.parent.mkdir()
    lists.write_text(json.dumps({"a": ["b"], "c": []}, indent=1))
    assert not inspect(pope.parent).problems
    lists.write_text(lists.read_text()[:-3])
    assert "relation.json cannot be read" in " ".join(inspect(pope.parent).problems)
