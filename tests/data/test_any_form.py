"""A data set in another form than the hub's becomes the rows that its task reads, or a sentence."""

from __future__ import annotations

import base64
import csv
import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from harness_tinyworld import DATA

from harness.benchmark import Task, benchmark, check_tables
from harness.data import convert, inspect, verify
from harness.errors import HarnessError, UsageError

NAME, ROWS = "realworldqa", 6
BENCH = benchmark(NAME)
FOLDER = "RealWorldQA"
Record = dict[str, Any]


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """The first rows of the miniature, with their images' bytes."""
    (file,) = (DATA / FOLDER / "data").glob("test-*.parquet")
    return parquet.read_table(file).slice(0, ROWS).to_pylist()


def named(records: list[Record], folder: Path, within: str = "images") -> list[Record]:
    """Write the images as files, and name them in the rows."""
    (folder / within).mkdir(parents=True, exist_ok=True)
    for n, record in enumerate(records):
        (folder / within / f"im{n}.png").write_bytes(record["image"]["bytes"])
    return [{**record, "image": f"{within}/im{n}.png"} for n, record in enumerate(records)]


def as_list(records: list[Record], folder: Path) -> None:
    (folder / "deep").mkdir(parents=True)
    (folder / "deep/rows.json").write_text(json.dumps(named(records, folder)))
    (folder / "config.json").write_text('{"a": 1}')


def as_list_within(records: list[Record], folder: Path) -> None:
    rows = named(records, folder)
    (folder / "rows.json").write_text(json.dumps({"version": 1, "data": rows}))


def as_lines(records: list[Record], folder: Path) -> None:
    rows = named(records, folder)
    (folder / "test.jsonl").write_text("\r\n".join(map(json.dumps, rows)))
    (folder / "train.jsonl").write_text(json.dumps({**rows[0], "question": "another one"}))


def as_image_folder(records: list[Record], folder: Path) -> None:
    rows = named(records, folder)
    rows = [{"file_name": row.pop("image"), **row} for row in rows]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))


def as_table(records: list[Record], folder: Path) -> None:
    folder.mkdir(parents=True)
    rows = [{**one, "image": base64.b64encode(one["image"]["bytes"]).decode()} for one in records]
    with (folder / "rows.tsv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t")
        writer.writeheader()
        writer.writerows(rows)


def as_shards(records: list[Record], folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    for n in range(2):
        table = pa.Table.from_pylist(records[3 * n : 3 * n + 3])
        parquet.write_table(table, folder / f"data/test-{n:05d}-of-00002.parquet")


def saved_to_disk(records: list[Record], folder: Path) -> None:
    table = datasets.Dataset.from_list(records).cast_column("image", datasets.Image())
    datasets.DatasetDict({"test": table, "train": table.select([0])}).save_to_disk(folder)


def zipped(write: Callable[[list[Record], Path], None]) -> Callable[[list[Record], Path], None]:
    def pack(records: list[Record], folder: Path) -> None:
        write(records, folder / "inside")
        with zipfile.ZipFile(folder / "all.zip", "w") as archive:
            for path in sorted((folder / "inside").rglob("*")):
                archive.write(path, f"../../{path.relative_to(folder)}")
        for path in sorted((folder / "inside").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()

    return pack


FORMS = [
    *(as_list, as_list_within, as_lines, as_image_folder, as_table, as_shards, saved_to_disk),
    *(zipped(as_lines), zipped(as_shards)),
]


@pytest.mark.parametrize("write", FORMS)
def test_every_form_becomes_the_same_rows(
    write: Callable[[list[Record], Path], None], records: list[Record], tmp_path: Path
) -> None:
    write(records, tmp_path / "files")
    done = convert(BENCH, tmp_path / "files", tmp_path / "out")
    assert (done.rows, done.expected, done.missing) == (ROWS, None, ())
    wanted = list(Task(BENCH.task, DATA).rows(0, ROWS))
    found = list(Task(BENCH.task, tmp_path / "out").rows())
    assert [row.content for row in found] == [row.content for row in wanted]
    assert [row.target for row in found] == [row.target for row in wanted]
    assert verify(tmp_path / "out")[0].revision.startswith("files:")
    assert str(tmp_path) not in (done.folder / "README.md").read_text()
    assert not [path for path in tmp_path.iterdir() if path.name not in ("files", "out")]


def test_one_archive_may_be_named_itself(records: list[Record], tmp_path: Path) -> None:
    zipped(as_list)(records, tmp_path)
    assert convert(BENCH, tmp_path / "all.zip", tmp_path / "out").rows == ROWS


def two_tables(records: list[Record], folder: Path) -> None:
    as_list(records, folder)
    (folder / "other.json").write_text((folder / "deep/rows.json").read_text())


def lost_shard(records: list[Record], folder: Path) -> None:
    as_shards(records, folder)
    (folder / "data/test-00000-of-00002.parquet").unlink()


def lost_image(records: list[Record], folder: Path) -> None:
    as_list(records, folder)
    (folder / "images/im3.png").unlink()


def lost_column(records: list[Record], folder: Path) -> None:
    as_list([{"image": one["image"], "query": one["question"]} for one in records], folder)


def mixed(records: list[Record], folder: Path) -> None:
    as_list([{**one, "level": n or "none"} for n, one in enumerate(records)], folder)


def several_images(records: list[Record], folder: Path) -> None:
    rows = [{**row, "image": [row["image"]]} for row in named(records, folder)]
    (folder / "rows.json").write_text(json.dumps(rows))


def torn(records: list[Record], folder: Path) -> None:
    as_list(records, folder)
    text = (folder / "deep/rows.json").read_text()
    (folder / "deep/rows.json").write_text(text[:-40])


def leads_out(records: list[Record], folder: Path) -> None:
    rows = named(records, folder)
    (folder.parent / "secret.png").write_bytes(records[0]["image"]["bytes"])
    rows[2]["image"] = "../secret.png"
    (folder / "rows.json").write_text(json.dumps(rows))


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (two_tables, "2 tables have the columns that realworldqa reads.*after the split test"),
        (lost_shard, "shard 00000 of 00002 is not there"),
        (lost_image, r"1 of 6 images are not there: images/im3.png \(rows.json, entry 4\)"),
        (
            lost_column,
            "do not have the form that realworldqa reads: .*question.* Nothing was written",
        ),
        (mixed, "The column 'level' holds values of several kinds: .*str in rows.json, entry 1"),
        (several_images, "entry 1: the image is given as list"),
        (torn, "rows.json, line 1 is not JSON"),
        (leads_out, r"1 of 6 images are not there: ../secret.png"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    write: Callable[[list[Record], Path], None], told: str, records: list[Record], tmp_path: Path
) -> None:
    write(records, tmp_path / "files")
    with pytest.raises(HarnessError, match=told):
        convert(BENCH, tmp_path / "files", tmp_path / "out")
    assert not (tmp_path / "out" / FOLDER).exists()
    assert not list((tmp_path / "out").glob(".*")) if (tmp_path / "out").exists() else True


def test_rows_without_an_image_may_be_left_out(records: list[Record], tmp_path: Path) -> None:
    lost_image(records, tmp_path / "files")
    done = convert(BENCH, tmp_path / "files", tmp_path / "out", partial=True)
    assert (done.rows, done.missing) == (5, ("images/im3.png (rows.json, entry 4)",))


def test_ones_own_table_of_one_split_of_pope_is_that_split(tmp_path: Path) -> None:
    (file,) = (DATA / "POPE" / "Full").glob("random-*.parquet")
    as_list(parquet.read_table(file).slice(0, 4).to_pylist(), tmp_path / "files")
    done = convert(benchmark("pope_random"), tmp_path / "files", tmp_path / "out")
    assert (done.benchmark, done.rows) == ("pope_random", 4)
    assert inspect(tmp_path / "out").benchmarks == ("pope_random",)


def test_a_task_that_reads_no_single_image_is_not_converted(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with pytest.raises(UsageError, match="nothing to convert for mmmu: no table has known"):
        convert(benchmark("mmmu"), tmp_path / "files", tmp_path / "out")


# Read where they are, or refused with the command that lays them out


def as_on_the_hub(records: list[Record], folder: Path) -> None:
    (folder / "data").mkdir(parents=True)
    table = datasets.Dataset.from_list(records).cast_column("image", datasets.Image())
    for n in range(2):
        half = table.select(range(3 * n, 3 * n + 3))
        half.to_parquet(folder / f"data/test-{n:05d}-of-00002.parquet")


def in_cache(records: list[Record], data: Path) -> None:
    """The hub's cache: blobs, links to them, and a name for the newest version."""
    as_on_the_hub(records, data / "files")
    place = data / f"datasets--lmms-lab-encoder--{FOLDER}"
    for version in ("a" * 40, "b" * 40):
        (place / "snapshots" / version / "data").mkdir(parents=True)
    for path in sorted((data / "files/data").iterdir()):
        (place / "blobs").mkdir(exist_ok=True)
        path.rename(place / "blobs" / path.name)
        (place / f"snapshots/{'b' * 40}/data/{path.name}").symlink_to(f"../../../blobs/{path.name}")
    (place / "refs").mkdir()
    (place / "refs/main").write_text("b" * 40)


def in_folder(write: Callable[[list[Record], Path], None]) -> Callable[..., None]:
    return lambda records, data: write(records, data / FOLDER)


@pytest.mark.parametrize("write", [in_cache, in_folder(saved_to_disk), in_folder(as_on_the_hub)])
def test_forms_that_an_evaluation_reads_itself(
    write: Callable[[list[Record], Path], None], records: list[Record], tmp_path: Path
) -> None:
    write(records, tmp_path)
    found = check_tables(BENCH.task, tmp_path)
    assert found is not None
    assert inspect(tmp_path).benchmarks == (NAME,)
    assert found.rows == ROWS
    wanted = list(Task(BENCH.task, DATA).rows(0, ROWS))
    assert [row.content for row in Task(BENCH.task, tmp_path).rows()] == [
        row.content for row in wanted
    ]


def one_split(records: list[Record], folder: Path) -> None:
    saved_to_disk(records, folder / "all")
    (folder / "all/test").rename(folder / FOLDER)


def archive(records: list[Record], folder: Path) -> None:
    zipped(as_list)(records, folder)
    (folder / "all.zip").rename(folder / f"{FOLDER}.zip")


def two_versions(records: list[Record], folder: Path) -> None:
    in_cache(records, folder)
    (folder / f"datasets--lmms-lab-encoder--{FOLDER}/refs/main").unlink()


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (in_folder(as_list), "names its images in deep/rows.json, and does not hold them.*convert"),
        (in_folder(as_lines), "names its images in test.jsonl, and does not hold them.*convert"),
        (in_folder(as_table), "names its images in rows.tsv"),
        (in_folder(zipped(as_lines)), "holds an archive, all.zip.*harness data convert"),
        (one_split, "is one split that save_to_disk wrote by itself.*harness data convert"),
        (archive, "is an archive in .*harness data convert NAME .*RealWorldQA.zip"),
        (two_versions, "holds 2 versions of RealWorldQA, and its refs/main names none"),
    ],
)
def test_forms_to_convert_are_refused_before_a_model_is_asked(
    write: Callable[[list[Record], Path], None], told: str, records: list[Record], tmp_path: Path
) -> None:
    write(records, tmp_path)
    with pytest.raises(UsageError, match=told):
        check_tables(BENCH.task, tmp_path)
    (problem,) = inspect(tmp_path).problems
    assert re.search(told, problem)


# MMBench's own tables

_TSV = {
    "mmbench": ("en", "mmbench_dev_20230712.tsv"),
    "mmbench_cn": ("cn", "mmbench_dev_cn_20231003.tsv"),
}


def as_published(config: str, count: int = 8) -> list[Record]:
    """The miniature's first rows as MMBench's table has them; rotations name their first row."""
    table = parquet.read_table(DATA / "MMBench" / config / "dev-00000-of-00001.parquet")
    found = []
    for doc in table.slice(0, count).to_pylist():
        first, image = doc["index"] < 1_000_000, base64.b64encode(doc["image"]["bytes"]).decode()
        row = {
            key: doc[key] for key in ("index", "question", "hint", *"ABCD", "answer", "category")
        }
        row["image"] = image if first or doc["index"] % 2 else str(doc["index"] % 1_000_000)
        found.append(
            {**row, "source": doc["source"], "l2-category": doc["L2-category"], "split": "dev"}
        )
    return found


def publish(folder: Path, name: str, rows: list[Record]) -> None:
    folder.mkdir()
    with (folder / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter="\t", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


@pytest.mark.parametrize("name", _TSV)
def test_mmbenchs_tables_are_the_rows_that_llava_asks(name: str, tmp_path: Path) -> None:
    config, file = _TSV[name]
    rows = as_published(config)
    rows[0] |= {"hint": "Read\nthis.", "D": "None"}  # pandas takes the option for a lack of one
    publish(tmp_path / "files", file, rows)
    bench = benchmark(name)
    done = convert(bench, tmp_path / "files", tmp_path / "out")
    assert (done.rows, done.images) == (8, len({row["index"] % 1_000_000 for row in rows}))
    here = list(Task(bench.task, DATA).rows(0, 8))
    there = list(Task(bench.task, tmp_path / "out").rows())
    assert [row.content for row in there[1:]] == [row.content for row in here[1:]]
    assert there[0].image == here[0].image
    assert [bench.units(row.doc) for row in there] == [bench.units(row.doc) for row in here]
    theirs = bench.under("llava-1.5")
    short = {
        "en": "Answer with the option's letter from the given choices directly.",
        "cn": "请直接回答选项字母。",
    }[config]
    first, second = rows[:2]
    assert theirs.question(there[0]) == "\n".join(
        ["Read\nthis.", first["question"], *(f"{key}. {first[key]}" for key in "ABC"), short]
    )
    assert theirs.question(there[1]) == "\n".join(
        [second["question"], *(f"{key}. {second[key]}" for key in "ABCD"), short]
    )
    assert bench.score(Task(bench.task, tmp_path / "out"), there[1], second["answer"]).scores[
        "judged"
    ]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"image": "777"}, r"tsv, line 2: its image is that of row '777', which stands not before"),
        ({"image": "?" * 99}, "line 2: the image is no base64"),
        ({"index": "x1"}, "line 2: the index 'x1' is no number"),
        ({"answer": "F"}, "line 2: the answer 'F' is none of A, B, C, D"),
        ({"image": base64.b64encode(b"x" * 90).decode()}, "line 2 cannot be decoded"),
    ],
)
def test_a_damaged_table_of_mmbench_is_refused(changed: Record, told: str, tmp_path: Path) -> None:
    rows = as_published("en", 2)
    publish(tmp_path / "files", _TSV["mmbench"][1], [rows[0] | changed, rows[1]])
    with pytest.raises(HarnessError, match=told):
        convert(benchmark("mmbench"), tmp_path / "files", tmp_path / "out")
    assert not (tmp_path / "out/MMBench").exists()
