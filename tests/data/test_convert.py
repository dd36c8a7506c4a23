"""Official files become the rows that the miniatures hold, or an error that names file and line."""

from __future__ import annotations

import contextlib
import json
import shutil
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from itertools import islice
from pathlib import Path

import PIL.Image
import pyarrow.parquet as parquet
import pytest
from click.testing import CliRunner
from harness_benchmarks.graphs import StrangeGraphError, synonyms
from harness_benchmarks.mementos import f1
from harness_benchmarks.standins import read_standins, standins_of
from harness_tinyworld import DATA
from hypothesis import given
from hypothesis import strategies as st

from harness.benchmark import Files, Task, check_tables
from harness.benchmark.json_stream import BrokenListError, list_items
from harness.cli.data import data as data_commands
from harness.data import convert, inspect, mirror, verify
from harness.data.conversion import Converted
from harness.errors import HarnessError, UsageError
from harness.eval import score_answers
from harness.plugins import load
from harness.records import Sample
from harness.runs import Scoring
from harness.settings import EvalSettings
from harness.stages.contamination import coco_number
from harness.storage import read_journal
from tests.support import published

WRITERS = {name: getattr(published, name) for name in ("mmhal", "shr", "amber", "mementos")}
SHARING = {name: getattr(published, name) for name in ("amber_all", "hallusion_all")}
LISTED = {"pope": published.pope}
"""Benchmarks of which many rows show one image."""


@pytest.fixture
def made(tmp_path: Path) -> Callable[..., Converted]:
    """Publish a miniature in ``files``, change it, and convert it to ``out``."""

    def make(name: str, change: Callable[[Path], object] = lambda folder: None, **options: bool):
        files = tmp_path / "files"
        if not files.exists():
            files.mkdir()
            {**WRITERS, **SHARING, **LISTED}[name](files)
        change(files)
        return convert(load("benchmarks", name), files, tmp_path / "out", **options)

    return make


def table(done: Converted) -> list[dict]:
    files = sorted((done.folder / "data").iterdir())
    return [row for file in files for row in parquet.read_table(file).to_pylist()]


# From the files to the scores


@pytest.mark.parametrize("name", ["mmhal", "shr", "amber"])
def test_converted_files_are_the_rows_that_were_published(name, made, tmp_path) -> None:
    done = made(name)
    benchmark = load("benchmarks", name)
    one, two = Task(benchmark.task, DATA), Task(benchmark.task, tmp_path / "out")
    assert (done.rows, done.images, done.missing, len(two)) == (4, 4, (), 4)
    for here, there in zip(islice(one.rows(), 4), two.rows(), strict=True):
        assert (there.content, there.image, there.text) == (here.content, here.image, here.text)
        for answer in (here.target, "A red circle and a blue star.", ""):
            wanted = benchmark.score(one, here, answer).scores
            assert benchmark.score(two, there, answer).scores == wanted
            assert None not in wanted.values()
        assert dict(benchmark.groups(there.doc)) == dict(benchmark.groups(here.doc))
    assert verify(tmp_path / "out")[0].revision.startswith("files:")


@pytest.mark.parametrize("name", SHARING)
def test_rows_that_share_an_image_are_converted_and_hold_it_once(name, made, tmp_path) -> None:
    done = made(name)
    benchmark = load("benchmarks", name)
    one, two = Task(benchmark.task, DATA), Task(benchmark.task, tmp_path / "out")
    assert (done.missing, len(two)) == ((), done.rows)
    for here, there in zip(islice(one.rows(), done.rows), two.rows(), strict=True):
        assert (there.content, there.image, there.text) == (here.content, here.image, here.text)
        scores = benchmark.score(two, there, "No").scores
        assert scores == benchmark.score(one, here, "No").scores
        assert benchmark.groups(there.doc) == benchmark.groups(here.doc)
    (file,) = (done.folder / "data").iterdir()
    (column,) = (
        column
        for group in [parquet.ParquetFile(file).metadata.row_group(0)]
        for column in map(group.column, range(group.num_columns))
        if column.path_in_schema == "image.bytes"
    )
    images = {row["image"]["bytes"] for row in table(done) if row["image"]}
    whole = sum(map(len, images))  # once, and twice in the statistics of small values
    assert column.total_uncompressed_size < 4 * whole


def test_popes_lists_become_one_table_with_their_splits(made, tmp_path) -> None:
    docs = []
    done = made("pope", lambda files: docs.extend(published.pope(files)))
    found = table(done)
    wanted = ("question_id", "question", "answer", "image_source", "category")
    assert [[row[k] for k in wanted] for row in found] == [[doc[k] for k in wanted] for doc in docs]
    assert any("holds 2 questions; LLaVA's evaluation asks 2910" in note for note in done.notes)
    rows = list(Task(load("benchmarks", "pope").task, tmp_path / "out").rows())
    assert [row.text.split("\n")[0] for row in rows] == [doc["question"] for doc in docs]
    for split in ("adversarial", "popular", "random"):
        bench = load("benchmarks", f"pope_{split}")
        assert check_tables(bench.task, tmp_path / "out") is not None
        mine = [row.content for row in rows if row.doc["category"] == split]
        assert [row.content for row in Task(bench.task, tmp_path / "out").rows()] == mine
    assert inspect(tmp_path / "out").benchmarks == ("pope", *(f"pope_{s}" for s in SPLITS))


SPLITS = ("adversarial", "popular", "random")


def test_answers_to_popes_own_lists_give_the_mean_f1_of_the_splits(tmp_path) -> None:
    """LLaVA's folder, its file of answers, and its rule: what is not denied is a yes."""
    published.pope(tmp_path, packed=False, many=40)
    done = convert(load("benchmarks", "pope_random"), tmp_path, tmp_path / "out")
    assert done.benchmark == "pope"
    said, sure = [], {split: [0, 0, 0] for split in SPLITS}  # both yes, said alone, true alone
    for number, row in enumerate(table(done)):
        text = ("Yes.", "No, it is not.", "There is one.", "no")[(number * 7 + number // 5) % 4]
        said.append({"question_id": number, "prompt": row["question"], "text": text})
        yes, true = text in ("Yes.", "There is one."), row["answer"] == "yes"
        if yes or true:
            sure[row["category"]][0 if yes and true else 1 if yes else 2] += 1
    f1 = {
        split: 200 * both / (2 * both + one + other) for split, (both, one, other) in sure.items()
    }
    (tmp_path / "answers.jsonl").write_text("\n".join(map(json.dumps, said)))
    for name, column, figure in (
        ("pope", "mean F1 of the splits (LLaVA's rule)", sum(f1.values()) / 3),
        ("pope_random", "F1 (LLaVA's rule)", f1["random"]),
    ):
        asked = EvalSettings(benches=(name,), data=str(tmp_path / "out"), out=tmp_path / "runs")
        mine = [one for one, row in zip(said, table(done), strict=True)
                if name == "pope" or row["category"] == "random"]  # fmt: skip
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, mine)))
        found = score_answers(Scoring((tmp_path / f"{name}.jsonl",), name), asked)
        levels = json.loads((found.folder / "comparison.json").read_text())["levels"]
        (shown,) = [level for level in levels if level["column"] == column]
        assert shown["figure"] == pytest.approx(figure, abs=1e-9)
        assert shown["interval"][0] < figure < shown["interval"][1]


def test_mementos_is_asked_and_scored_by_its_own_words(made, tmp_path) -> None:
    done = made("mementos")
    assert any("robo_action_graph_v1.pkl is not there" in note for note in done.notes)
    benchmark = load("benchmarks", "mementos")
    task = Task(benchmark.task, tmp_path / "out")
    rows = {row.doc["question_id"]: row for row in task.rows()}
    assert list(rows) == ["cmc_10", "rw_7", "rw_8", "rb_9"]
    assert rows["rw_8"].doc["description"] == "A line\nbreak, a dog and a chair."
    assert rows["rw_8"].text.startswith("Write a description for the given image sequence")
    assert [row.doc["domain"] for row in rows.values()] == [
        *("comics", "daily-life", "daily-life", "robotics")
    ]
    # The description's objects: dog, puppy. The answer's dog is that dog; puppy is not said.
    assert rows["rw_7"].doc["objects"] == ["dog", "puppy"]
    scores = benchmark.score(task, rows["rw_7"], "The dogs run and sit.").scores
    assert scores == {"objects": pytest.approx(2 / 3), "behaviors": 1.0}
    # "cap" may stand for the description's hat, and "jog" for run; "girl" is in no list.
    scores = benchmark.score(task, rows["cmc_10"], "A bear jogs in a cap, a girl.").scores
    assert scores == {"objects": 1.0, "behaviors": pytest.approx(2 / 3)}
    assert benchmark.score(task, rows["rb_9"], "A can.").scores["behaviors"] is None


@pytest.mark.slow
def test_the_embedded_model_scores_the_same_on_converted_data(tmp_path) -> None:
    from harness.eval import measure
    from harness.settings import EvalSettings

    for name in WRITERS:
        files = tmp_path / name
        files.mkdir()
        WRITERS[name](files)
        convert(load("benchmarks", name), files, tmp_path / "out")
    outcomes = {}
    for where in (str(tmp_path / "out"), "tinyworld"):
        runs = tmp_path / f"runs{len(outcomes)}"  # with a store of its own: all is asked again
        outcome = measure(EvalSettings(tuple(WRITERS), data=where, limit=2, device="cpu", out=runs))
        assert outcome.calls == 2 * len(WRITERS)
        outcomes[where] = {
            name: read_journal(outcome.folder / "after" / f"{name}.jsonl", Sample)
            for name in WRITERS
        }
    here, there = outcomes.values()
    for name in ("mmhal", "shr", "amber"):
        for one, two in zip(here[name], there[name], strict=True):
            assert (one.content, one.answer, one.scores) == (two.content, two.answer, two.scores)
    for samples in here.values():
        assert all(sample.answer and sample.error is None for sample in samples)
        assert all(None not in sample.scores.values() for sample in samples)


def test_shr_joins_five_lists(made) -> None:
    rows = table(made("shr"))
    docs = published.rows("SHR")
    assert [row["facts"] for row in rows] == [doc["facts"] for doc in docs]
    assert [row["image"]["bytes"] for row in rows] == [doc["image"]["bytes"] for doc in docs]
    photos = [load("benchmarks", "shr").image_source(row) for row in rows]
    assert [photo and coco_number(photo) for photo in photos] == ["", 547168, "", 9]


def test_packed_and_unpacked_files_are_the_same_data(made, tmp_path) -> None:
    packed = made("mmhal")
    shutil.rmtree(packed.folder)

    def unpack(files: Path) -> None:
        shutil.unpack_archive(files / "test_data.zip", files)
        (files / "test_data.zip").unlink()
        (files / "linked").symlink_to(files)  # a loop is walked once
        published.archive(files / "other.zip", {"images/m0_o.jpg": b"an older one"})

    again = made("mmhal", unpack)
    assert again.fingerprint == packed.fingerprint


# What is refused


def edit(file: str, old: str, new: str, count: int = -1) -> Callable[[Path], object]:
    """Replace text in a published file; the text has to be there."""

    def change(files: Path) -> None:
        text = (files / file).read_text(encoding="utf-8")
        assert old in text
        (files / file).write_text(text.replace(old, new, count), encoding="utf-8")

    return change


def without(file: str) -> Callable[[Path], object]:
    return lambda files: (files / file).unlink()


def cut(file: str, count: int = 60) -> Callable[[Path], object]:
    return lambda files: (files / file).write_bytes((files / file).read_bytes()[:-count])


def put(file: str, data: bytes) -> Callable[[Path], object]:
    def change(files: Path) -> None:
        (files / file).parent.mkdir(parents=True, exist_ok=True)
        (files / file).write_bytes(data)

    return change


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n"
"""A program in PostScript, which Pillow would hand to Ghostscript."""
FACTS, TEMPLATE = "shr/shr_factual_part2.jsonl", "response_template.json"
FIGURES = "HallusionBench.json"


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        ("mmhal", without(TEMPLATE), r"no response_template.json in .*it has: test_data.zip.*data "
         r"describe --bench mmhal"),
        ("mmhal", cut(TEMPLATE), r"response_template.json, line \d+: no valid JSON"),
        ("mmhal", edit(TEMPLATE, "[", "{", 1), r"line 1: no valid JSON \(a list was expected\)"),
        ("mmhal", edit(TEMPLATE, '"m1"', '"m0"', 1), r"line \d+: m0 was in response_template.json, "
         r"line 2 already"),
        ("mmhal", edit(TEMPLATE, '"question"', '"query"', 1), "line 2: 'question' is not there"),
        ("mmhal", edit(TEMPLATE, "/m2_o.jpg", "/away.jpg"), r"1 of 4 images are not there: "
         r"away.jpg \(response_template.json, line \d+\).*--partial"),
        ("mmhal", edit(TEMPLATE, "/m2_o.jpg", "/\\u001b[2J.jpg"), r"there: \\u001b\[2J.jpg \("),
        ("mmhal", put("images/m3_o.jpg", EPS), r"m3_o.jpg of .* cannot be decoded \(no image of a"),
        ("mmhal", cut("test_data.zip"), r"archive .*test_data.zip cannot be read.*fetch it again"),
        ("mmhal", put(f"old/{TEMPLATE}", b"[]"), rf"different files {TEMPLATE}: .*/old/"),
        ("shr", without(FACTS), r"no shr_factual_part2.jsonl in"),
        ("shr", edit(FACTS, "]}", "]", 1), r"shr_factual_part2.jsonl, line 1: no valid JSON"),
        ("shr", edit(FACTS, '"2317431"', '"2317432"'), r"line 2: image 2317432 has facts already"),
        ("shr", edit(FACTS, '"2317431": [', '"2317431": [3, '), r"'2317431' holds something else"),
        ("shr", put(FACTS, b'{"1": []}\n\xff\n'), r"part2.jsonl, line 2: no UTF-8 text"),
        ("shr", edit("VG/image_data.json", '"image_id": 2317430', '"image_id": 7'),
         r"line 5: image 2317430 is not in image_data.json"),
        ("shr", edit("shr/val_images_final.json", '"2317430"', '"x"'), r"image_id is not a number"),
        ("shr", without("VG/VG_100K_2/2317431.jpg"), r"VG_100K_2/2317431.jpg \(val_images_final"),
        ("shr", put("VG/VG_100K/2317430.jpg", b"no image"),
         r"VG_100K/2317430.jpg of val_images_final.json, line \d+ cannot be decoded"),
        ("amber", edit("annotations.json", '"id": 2,', '"id": 9,'), r"question 2 is not in ann"),
        ("pope", edit("coco_pope_random.json", '"label": "yes"', '"label": "maybe"', 1),
         r"coco_pope_random.json, line \d+: the label 'maybe' is neither yes nor no"),
        ("pope", without("coco_pope_popular.json"), r"no coco_pope_popular.json in"),
        ("hallusion_all", edit(FIGURES, '"visual_input": "0"', '"visual_input": "1"', 1),
         r"HallusionBench.json, line \d+: the question needs a figure and names none"),
        ("hallusion_all", edit(FIGURES, "0_1.png", "away.png", 1), r"1 of 176 images"),
        ("hallusion_all", edit(FIGURES, '"gt_answer": "1"', '"gt_answer": "2"', 1),
         r"the answer '2' is neither 0 nor 1"),
        ("amber_all", edit("annotations.json", '"relation"', '"link"', 1),
         r"annotations.json, line \d+: the type 'link' is none of generative, discr"),
        ("amber_all", edit("annotations.json", '"no"', '"NO"', 1), r"truth 'NO' is neither yes"),
        ("mementos", edit("dl_description.csv", "rw_8.png,", "rw_8.png,x,"),
         r"dl_description.csv, line 3: 3 columns, where the first line names 2"),
        ("mementos", edit("dl_description.csv", "rw_8.png", "rw_7.png"),
         r"dl_description.csv, line 3: rw_7 was in dl_description.csv, line 2 already"),
        ("mementos", edit("robo_description.csv", "image", "x"), r"robo_desc.*csv, line 2: the"),
        ("mementos", cut("dl_description.csv", 8), r"dl_description.csv, line 3: no table"),
        ("mementos", put("sym_graphs/dl_object_graph_v1.pkl", b"\x80\x04N."),
         r"dl_object_graph_v1.pkl: its step NONE builds no texts"),
    ],
)  # fmt: skip
def test_broken_files_are_named_and_nothing_is_left(name, change, told, made, tmp_path) -> None:
    with pytest.raises(HarnessError, match=f"(?s){told}"):
        made(name, change)
    assert list(tmp_path.rglob("out/*")) == []


def test_rows_without_an_image_are_left_out_by_name_when_asked(made, tmp_path) -> None:
    def change(files: Path) -> None:
        (files / "VG/VG_100K_2/2317431.jpg").unlink()
        (files / "VG/VG_100K/2317430.jpg").write_bytes(b"no image")

    done = made("shr", change, partial=True)
    assert (done.rows, done.expected, done.images) == (2, 200, 2)
    assert sorted(done.missing) == [
        "VG_100K/2317430.jpg (val_images_final.json, line 5): no image of a known format",
        "VG_100K_2/2317431.jpg (val_images_final.json, line 8)",
    ]
    card = (done.folder / "README.md").read_text()
    assert all(text in card for text in done.missing)
    assert str(tmp_path) not in card
    assert len(Task(load("benchmarks", "shr").task, tmp_path / "out")) == 2


def test_what_is_there_is_not_replaced(made, tmp_path) -> None:
    (tmp_path / "out/.MMHal-Bench.new/data").mkdir(parents=True)  # a killed conversion's
    made("mmhal")
    assert not (tmp_path / "out/.MMHal-Bench.new").exists()
    with pytest.raises(UsageError, match="is there already"):
        made("mmhal")
    made("amber", lambda files: published.amber(files))
    with pytest.raises(UsageError, match="amber_g was made by harness data convert"):
        mirror([load("benchmarks", "amber")], tmp_path / "out")
    with pytest.raises(UsageError, match="harness data mirror --bench mme"):
        convert(load("benchmarks", "mme"), tmp_path, tmp_path / "out")
    with pytest.raises(UsageError, match=r"no folder .*nowhere.*data describe --bench shr"):
        convert(load("benchmarks", "shr"), tmp_path / "nowhere", tmp_path / "out")


def test_names_in_an_archive_never_become_paths(made, tmp_path) -> None:
    def change(files: Path) -> None:
        docs = published.rows("MMHal-Bench")
        images = {f"../../../{doc['image_id']}_o.jpg": doc["image"]["bytes"] for doc in docs}
        published.archive(files / "test_data.zip", images)

    done = made("mmhal", change)
    assert done.rows == 4
    assert {path.name for path in tmp_path.iterdir()} == {"files", "out"}


def test_two_files_of_one_name_and_size_are_told_apart_by_their_bytes(tmp_path) -> None:
    for folder, data in (("a", b"one"), ("b", b"one")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.bmp").write_bytes(data)
    assert str(Files(tmp_path, "").find("1.bmp")) == str(tmp_path / "a" / "1.bmp")
    (tmp_path / "b" / "1.bmp").write_bytes(b"two")
    with pytest.raises(UsageError, match=r"different files 1\.bmp"):
        Files(tmp_path, "").find("1.bmp")


def test_pillow_would_take_a_program_for_an_image() -> None:
    with PIL.Image.open(BytesIO(EPS)) as image:
        assert image.format == "EPS"


def test_bytes_that_are_no_text_are_noted(made) -> None:
    """The published table of daily life has such a byte."""

    def change(files: Path) -> None:
        file = files / "dl_description.csv"
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"sit;", b"sit\xef\xbc"))

    done = made("mementos", change)
    assert any("dl_description.csv, line 2: bytes" in note for note in done.notes)
    assert table(done)[1]["description"].startswith("Two dogs sit\ufffd")


def test_the_command_tells_what_it_wrote_and_what_to_type_next(tmp_path) -> None:
    files, out = tmp_path / "files", tmp_path / "out"
    files.mkdir()
    published.mmhal(files)
    run = CliRunner()
    told = run.invoke(data_commands, ["describe", "--bench", "mmhal"]).output
    for part in ("Apache-2.0", "96 rows, 96 images", "test_data.zip", "huggingface.co/datasets/"):
        assert part in told
    assert "harness data convert mmhal FOLDER --out DIR" in told
    done = run.invoke(data_commands, ["convert", "mmhal", str(files), "--out", str(out)])
    assert "MMHal-Bench: 4 of 96 rows, 4 images" in done.output
    assert f"harness run --method seva --bench mmhal --data {out}" in done.output
    assert "1 data sets, 2 files" in run.invoke(data_commands, ["verify", str(out)]).output
    (out / "MMHal-Bench/README.md").write_text("changed")
    broken = run.invoke(data_commands, ["verify", str(out)])
    assert "README.md has changed" in str(broken.exception)
    for name in ("amber", "mementos", "shr"):
        told = run.invoke(data_commands, ["describe", "--bench", name]).output
        assert f"harness data convert {name} FOLDER --out DIR" in told


# Parts


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(st.text(), part, max_size=3),
    max_leaves=6,
)  # fmt: skip


@given(st.lists(JSON, max_size=6), st.integers(1, 7), st.sampled_from([None, 1]), st.booleans())
def test_a_list_is_read_in_any_pieces(items, size, indent, ascii_only) -> None:
    text = json.dumps(items, indent=indent, ensure_ascii=ascii_only)
    pieces = (text[start : start + size] for start in range(0, len(text), size))
    assert [item for _, item in list_items(pieces)] == items


@given(st.lists(JSON, max_size=4), st.data())
def test_a_damaged_list_is_refused_exactly_when_python_refuses_it(items, draw) -> None:
    text = json.dumps(items)
    start = draw.draw(st.integers(0, len(text)))
    end = draw.draw(st.integers(start, min(len(text), start + 2)))
    text = text[:start] + draw.draw(st.sampled_from(["", *',][{}:1 x"\n'])) + text[end:]
    try:
        wanted = json.loads(text)
    except ValueError:
        wanted = None
    pieces = iter([text[:3], text[3:]])
    if isinstance(wanted, list):
        assert [item for _, item in list_items(pieces)] == wanted
    else:
        with pytest.raises(BrokenListError):
            list(list_items(pieces))


def test_an_error_in_a_list_has_its_line_and_depth_is_limited() -> None:
    text = '[\n {"a": 1},\n {"b" 2},\n {"c": 3}]'
    with pytest.raises(BrokenListError) as caught:
        list(list_items(iter(text)))
    assert caught.value.line == 3
    with pytest.raises(BrokenListError, match="nested too deeply"):
        list(list_items(iter(["[" + "[" * 200_000])))


def test_a_long_list_is_never_held_as_a_whole() -> None:
    item = json.dumps({"regions": [{"phrase": "a man riding a wave " * 25}] * 20})  # 10 kB
    pieces = iter(["[", *([item, ","] * 2999), item, "]"])
    tracemalloc.start()
    assert sum(1 for _ in list_items(pieces)) == 3000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * len(item)


def test_graphs_are_taken_out_of_pickles_that_python_wrote() -> None:
    graph = {
        "hat": {"": ["cap", "Hat"]},
        "group": {"": [], "girls": ["people"]},
        "retract": {"": [" retract,"]},
        **{f"word {number}": {"": ["x" * 300]} for number in range(400)},
    }
    found = synonyms(published.pickled("ObjectGraph", graph))
    assert found[:4] == [
        *[("group girls", "people"), ("hat", "cap"), ("hat", "hat"), ("retract", "retract")]
    ]
    assert len(found) == 404


def test_a_pickle_that_would_run_code_is_refused_and_does_not_run(tmp_path) -> None:
    trace = tmp_path / "ran"
    code = (
        "import os, sys\nfrom pickle import dumps\n"
        f"class Bad:\n    def __reduce__(self): return os.mkdir, ({str(trace)!r},)\n"
        "sys.stdout.buffer.write(dumps(Bad()))"
    )
    hostile = published.other_python(code)
    with pytest.raises(StrangeGraphError, match="its step TUPLE1 builds no texts"):
        synonyms(hostile)
    assert not trace.exists()


@given(st.binary(max_size=60))
def test_any_bytes_are_a_graph_or_refused(data: bytes) -> None:
    for start in (b"", b"\x80\x04"):
        with contextlib.suppress(StrangeGraphError):
            assert isinstance(synonyms(start + data), list)


def test_a_word_stands_for_one_of_the_reference_at_most(tmp_path) -> None:
    words = standins_of([("grab", "capture"), ("hold", "capture", "keep"), ("run",), ("capture",)])
    # By hand, after the authors' notebook: the answer's word becomes the reference's.
    assert words.exchanged(["capture", "run"], ["hold"]) == ({"hold", "run"}, {"hold"})
    assert words.exchanged(["capture"], ["grab"]) == ({"grab"}, {"grab"})
    assert words.exchanged(["grab"], ["hold"]) == ({"grab"}, {"hold"})  # no class, no detour
    assert words.exchanged(["capture", "keep"], ["hold"]) == ({"hold", "keep"}, {"hold"})
    assert words.exchanged(["capture", "hold"], ["hold"]) == ({"capture", "hold"}, {"hold"})
    assert words.exchanged(["hold"], ["capture"]) == ({"hold"}, {"capture"})  # one direction only
    assert f1(*words.exchanged(["runs", "x"], ["run"])) == pytest.approx(2 / 3)
    file = tmp_path / "list.txt"
    file.write_text("grab, capture\n\nhold,capture , keep\n")
    assert read_standins(file).goals == {
        "capture": frozenset({"grab", "hold"}),
        "keep": frozenset({"hold"}),
    }
