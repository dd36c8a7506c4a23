"""Answers that exist already: found, matched, scored like any other, or refused as a whole."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow
import pyarrow.parquet
import pytest
from harness_tinyworld import DATA
from hypothesis import given
from hypothesis import strategies as st

from harness.benchmark import Row, Task, benchmark
from harness.errors import HarnessError, UsageError
from harness.eval import score_answers
from harness.records import Answer
from harness.resolve import resolve_eval
from harness.runs import Scoring, compare_runs, open_run, score_given
from harness.runs.answer_files import GivenAnswer, answers_of, files_in, read_answers
from harness.runs.matching import match
from harness.runs.scoring import _files_by_benchmark
from harness.settings import EvalSettings
from harness.stages import sample_of

POPE = 40


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    return list(Task(benchmark("pope").task, DATA).rows(0, POPE))


def said(row: Row) -> str:
    """Right in every third row; otherwise wrong, or in a form that only a lenient reading takes."""
    wrong = "no" if row.target == "yes" else "yes"
    return (row.target, f"{row.target.title()}.", wrong)[int(row.id) % 3]


def write_lines(file: Path, records: list[Any], start: str = "") -> Path:
    lines = "\n".join(json.dumps(record) for record in records) + "\n"
    file.write_text(start + lines, encoding="utf-8")
    return file


def write_table(file: Path, records: list[dict[str, Any]], encoding: str) -> Path:
    with file.open("w", encoding=encoding, newline="") as out:
        delimiter = "\t" if file.suffix.lower() == ".tsv" else ","
        writer = csv.DictWriter(out, list(records[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(records)
    return file


def write_sheet(file: Path, records: list[dict[str, Any]]) -> Path:
    book = openpyxl.Workbook()
    book.active.append(list(records[0]))
    for record in records:
        book.active.append(list(record.values()))
    book.save(file)
    return file


def files_of(rows: list[Row], folder: Path) -> dict[str, Path]:
    """The same answers as four harnesses and a plain script write them."""
    llava = [
        {"question_id": row.doc["question_id"], "prompt": f"{row.text}\nOne word.",
         "text": said(row), "answer_id": "x", "model_id": "llava_v1.5_7b", "metadata": {}}
        for row in rows
    ]  # fmt: skip
    samples = [
        {"doc_id": int(row.id), "input": row.text, "target": row.target, "resps": [[said(row)]],
         "filtered_resps": [said(row).lower()], "doc_hash": "0", "pope_accuracy": {"score": 1}}
        for row in rows
    ]  # fmt: skip
    kit = [
        {"index": row.doc["question_id"], "question": row.doc["question"], "answer": row.target,
         "category": "adversarial", "prediction": said(row)}
        for row in rows
    ]  # fmt: skip
    pope = [{"question": row.doc["question"], "answer": said(row)} for row in rows]
    plain = [{"id": row.id, "response": said(row)} for row in reversed(rows)]
    return {
        "llava": write_lines(folder / "answers.jsonl", llava),
        "lmms": write_lines(folder / "x_samples_pope.jsonl", samples),
        "xlsx": write_sheet(folder / "llava_v1.5_7b_POPE.xlsx", kit),
        "csv": write_table(folder / "kit.csv", kit, "utf-8-sig"),
        "tsv": write_table(folder / "kit.tsv", kit, "utf-8"),
        "pope": write_lines(folder / "pope.jsonl", pope),
        "plain": write_lines(folder / "plain.jsonl", plain, start="\ufeff"),
        "mapping": _write(folder / "mapping.json", json.dumps({r.id: said(r) for r in rows})),
    }


def _write(file: Path, text: str) -> Path:
    file.write_text(text)
    return file


def test_rows_that_wait_for_their_answers_hold_no_image(
    rows: list[Row], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting: list[Row] = []

    def watched(name: str, rows: list[Row], *given: Any, **more: Any) -> Any:
        waiting.extend(rows)
        return match(name, rows, *given, **more)

    shown: list[Any] = []
    monkeypatch.setattr("harness.runs.scoring.match", watched)
    monkeypatch.setattr("harness.storage.thumbnails.SIDE", 8)
    monkeypatch.setattr("harness.eval.save_thumbnail", lambda *given: shown.extend(given[2]))
    file = _write(tmp_path / "a.jsonl", json.dumps({"question_id": "0", "text": "Yes"}))
    score_answers(Scoring((file,), "a"), EvalSettings(benches=("pope",), limit=1, out=tmp_path))
    assert [max(image.size) for image in shown] == [8]
    assert "image" in rows[0].doc
    assert [set(row.doc) for row in waiting] == [set(rows[0].doc) - {"image"}]
    listed = {"images": [rows[0].doc["image"]], "texts": ["a"]}
    assert replace(rows[0], doc=listed).bare().doc == {"texts": ["a"]}


def test_one_evaluation_in_eight_files_is_one_arm(rows: list[Row], tmp_path: Path) -> None:
    task, bench = Task(benchmark("pope").task, DATA), benchmark("pope")
    right = [sample_of(task, bench, row, Answer(said(row))).scores for row in rows]
    folders = []
    for name, file in files_of(rows, tmp_path).items():
        asked = EvalSettings(benches=("pope",), limit=POPE, out=tmp_path / "runs")
        found = score_answers(Scoring((file,), name), asked)
        samples = found.report.after["pope"]
        assert [sample.answer for sample in samples] == [said(row) for row in rows], name
        strict = [(s.scores["strict"], s.scores["lenient"]) for s in samples]
        assert strict == [(s["strict"], s["lenient"]) for s in right], name
        assert found.report.missing == 0
        folders.append(found.folder)
    one, other = open_run(folders[0]), open_run(folders[-1])
    figures = compare_runs(one, other).compared.benchmarks[0].figures
    assert all(figure.difference in (0.0, None) for figure in figures)
    assert one.report.method == "answers of llava"
    assert any("another order" in note for note in open_run(folders[6]).report.notes)


def test_a_partial_file_is_said_and_its_rows_are_missing(rows: list[Row], tmp_path: Path) -> None:
    given = [{"id": r.id, "output": said(r) if n else ""} for n, r in enumerate(rows[:-4])]
    file = write_lines(tmp_path / "a.jsonl", given)
    asked = EvalSettings(benches=("pope",), limit=POPE, out=tmp_path / "runs")
    found = score_answers(Scoring((file,), "a"), asked)
    assert found.report.missing > 0
    assert any("4 of 40 rows have no answer in the files" in note for note in found.report.notes)
    assert any("1 answers are empty texts" in note for note in found.report.notes)
    assert [s.answer for s in found.report.after["pope"]][-4:] == [None] * 4


# Matching


def row(place: int, question: str, **doc: Any) -> Row:
    return Row(str(place), f"c{place}", "im", question, (), "x", {"question": question, **doc})


def answer(place: int, text: str, question: str = "", **ids: str) -> GivenAnswer:
    return GivenAnswer(f"f.jsonl, line {place + 1}", place, ids, question, text)


TEN = [row(n, f"What is thing {n}?", key=f"k{n * n}") for n in range(10)]


@given(st.permutations(range(10)), st.integers(1, 10))
def test_answers_find_their_rows_in_any_order(order: list[int], many: int) -> None:
    said = [answer(p, f"a{n}", id=f"k{n * n}") for p, n in enumerate(order[:many])]
    found = match("b", TEN, said).answers
    assert {key: one.text for key, one in found.items()} == {str(n): f"a{n}" for n in order[:many]}


def test_questions_decide_where_ids_count_something_else() -> None:
    """Ids that run from 0 in another order than the data's must not be taken for positions."""
    said = [answer(p, f"a{n}", f"what is thing {n}", id=str(p)) for p, n in enumerate([3, 1, 2, 0])]
    found = match("b", TEN[:4], said).answers
    assert {key: one.text for key, one in found.items()} == {str(n): f"a{n}" for n in range(4)}


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ([answer(0, "a", id="nobody"), answer(1, "b", id="k0")], r"1 of 2 answers match no row of"),
        (
            [answer(0, "a", id="k0"), answer(1, "b", id="k0")],
            "1 rows of b have several.*row 0: f.jsonl, line 1 and f.jsonl, line 2",
        ),
        ([answer(n, "a", f"other {n}", id=str(n)) for n in range(5)], "5 of 5 answers.*line 3"),
        ([answer(n, "a") for n in range(10)], "10 of 10 answers match no row.*no id"),
    ],
)
def test_what_does_not_fit_is_refused_as_a_whole(said: list[GivenAnswer], told: str) -> None:
    with pytest.raises(UsageError, match=told) as found:
        match("b", TEN, said)
    assert "Nothing was taken" in str(found.value)


def test_a_question_is_the_same_however_its_letters_are_encoded() -> None:
    rows = [row(n, f"Où est le café {n}？") for n in range(4)]
    said = [answer(p, f"a{n}", f"Ou\u0300 est le cafe\u0301 {n}?") for p, n in enumerate([2, 0, 3])]
    found = match("b", rows, said).answers
    assert {key: one.text for key, one in found.items()} == {"2": "a2", "0": "a0", "3": "a3"}


def test_the_same_answer_twice_is_said() -> None:
    found = match("b", TEN, [answer(0, "a", id="k0"), answer(1, "a", id="k0")])
    assert any("more than once" in note for note in found.notes)


def test_an_id_that_two_rows_share_is_told_apart_by_the_question() -> None:
    """MME asks two questions about an image, and its ids name the image alone."""
    rows = [row(n, f"Is it {n % 2}?", question_id=f"color/{n // 2}.jpg") for n in range(8)]
    said = [
        answer(p, f"a{n}", f"Is it {n % 2}?\nAnswer yes or no.", question_id=f"color/{n // 2}.jpg")
        for p, n in enumerate([5, 4, 0, 1, 7])
    ]
    found = match("mme", rows, said)
    assert {k: one.text for k, one in found.answers.items()} == {
        str(n): f"a{n}" for n in (5, 4, 0, 1, 7)
    }
    assert "5 answers matched by question_id = question_id" in found.notes


def test_a_column_of_the_same_name_is_surer_than_the_position() -> None:
    """Ids from 1, a file of the first rows and no question: positions would be off by one."""
    rows = [row(n, "Describe it.", question_id=n + 1) for n in range(9)]
    found = match("amber", rows, [answer(n, f"a{n}", question_id=str(n + 1)) for n in range(5)])
    assert {key: one.text for key, one in found.answers.items()} == {
        str(n): f"a{n}" for n in range(5)
    }


NUMBERED = [row(n, "Describe it.", question_id=n + 1) for n in range(99)]
UNNUMBERED = [row(n, "Describe it.") for n in range(99)]


@pytest.mark.parametrize("question", ["", "Describe it."])
@pytest.mark.parametrize(
    ("rows", "ids", "limit", "first"),
    [
        (NUMBERED, range(99), 50, 0),  # a whole file from 0, whose first rows fit from 1 too
        (NUMBERED, range(1, 100), 50, 1),
        (NUMBERED, range(1, 99), None, None),  # from 0 without its first row, or from 1
        (UNNUMBERED, range(1, 61), None, None),
        (UNNUMBERED, range(1, 61), 50, None),
    ],
)
def test_ids_that_count_from_elsewhere_are_never_moved_by_one(
    rows: list[Row], ids: range, limit: int | None, first: int | None, question: str, tmp_path: Path
) -> None:
    lines = [{"id": n, "prompt": question, "text": f"a{n}"} for n in ids]
    file = write_lines(tmp_path / "a.jsonl", lines)
    whole = (lambda: rows) if limit else None
    column = "id"
    if first is None:
        with pytest.raises(UsageError, match=r"Nothing was taken.*--id-column.*position"):
            match("b", rows[:limit], read_answers(file), whole=whole)
        first, column = 0, "id=position"
    found = match("b", rows[:limit], read_answers(file, row_id=column), whole=whole)
    said = {key: one.text for key, one in found.answers.items()}
    assert said == {str(n - first): f"a{n}" for n in ids if n - first < (limit or 99)}


@given(
    st.sets(st.integers(0, 999_999), min_size=1, max_size=6),
    st.sampled_from(
        ["{}", "{}.0", "{:06d}", "COCO_val2014_{:012d}.jpg", "{:012d}.png", "a/images/{:05d}.jpg"]
    ),
    st.sampled_from(["{}", "COCO_val2014_{:012d}", "{:012d}.jpg", "a/{:05d}.jpg"]),
)
def test_a_number_is_the_same_id_in_every_form(ids: set[int], given: str, there: str) -> None:
    order = sorted(ids)
    rows = [row(n, "Describe it.", image=there.format(each)) for n, each in enumerate(order)]
    said = [answer(p, f"a{each}", image_id=given.format(each)) for p, each in enumerate(order)]
    found = match("chair", rows, said[::-1]).answers
    assert {key: one.text for key, one in found.items()} == {
        str(n): f"a{each}" for n, each in enumerate(order)
    }


def test_an_id_as_it_is_goes_before_its_number() -> None:
    rows = [row(n, "What?", key=key) for n, key in enumerate(["7", "007", "x"])]
    said = [answer(p, f"a{key}", id=key) for p, key in enumerate(["007", "x", "7"])]
    found = match("b", rows, said).answers
    assert {key: one.text for key, one in found.items()} == {"0": "a7", "1": "a007", "2": "ax"}
    either = [row(n, "What?", key=key) for n, key in enumerate(["007", "0007"])]
    with pytest.raises(UsageError, match="1 of 2 answers match no row"):
        match("b", either, [answer(0, "a", id="007"), answer(1, "b", id="07")])


def test_columns_in_common_and_the_question_find_a_row_together() -> None:
    """HallusionBench: no column is an id, and one of them changed between two versions."""
    rows = [
        row(n, f"Is {q} larger?", set_id=str(s), figure_id=str(f), question_id=str(q), visual="2")
        for n, (s, f, q) in enumerate(
            (s, f, q) for s in range(3) for f in range(2) for q in range(2)
        )
    ]
    said = [
        GivenAnswer(f"e{n}", p, {"question_id": str(each.doc["question_id"])}, each.text, f"a{n}",
                    {"set_id": each.doc["set_id"], "figure_id": each.doc["figure_id"],
                     "question_id": each.doc["question_id"], "visual": "1"})
        for p, (n, each) in enumerate(reversed(list(enumerate(rows))))
    ]  # fmt: skip
    found = match("hallusion", rows, said)
    assert {key: one.text for key, one in found.answers.items()} == {r.id: f"a{r.id}" for r in rows}
    twice = [row(len(rows), rows[0].text, set_id="0", figure_id="0", question_id="0", visual="3")]
    with pytest.raises(UsageError, match=r"1 of 12 answers fit several.*may be of row 0, 2, 4"):
        match("hallusion", [*rows, *twice], said)


def test_an_id_that_several_rows_share_is_not_taken_for_one_of_another_column() -> None:
    """POPE: ``question_id`` counts from 1 in each split, and ``id`` counts all rows from 0."""
    rows = [
        row(n, f"Is {n % 40} here?", id=str(n), question_id=str(n % 40 + 1)) for n in range(120)
    ]
    part = [answer(n, str(n), question_id=str(each.doc["question_id"]))
            for n, each in enumerate(rows[40:80])]  # fmt: skip
    with pytest.raises(UsageError, match=r"question_id = id.*of row 0, 40, 80\. Nothing was taken"):
        match("pope", rows, part)
    # The first rows alone have each id once; which rows those are, the file does not say.
    with pytest.raises(UsageError, match=r"of row 0, 40, 80\. Nothing was taken"):
        match("pope", rows[:40], part, whole=lambda: rows)
    asked = [answer(n, "a", id=str(n)) for n in range(40)]
    assert set(match("pope", rows, asked).answers) == {each.id for each in rows[:40]}


def test_a_question_that_many_rows_ask_is_told_apart_by_the_columns_in_common() -> None:
    rows = [
        row(n, "Is a person here?", question_id=str(n % 70), category="abc"[n // 70])
        for n in range(210)
    ]
    said = [
        GivenAnswer(f"e{n}", p, {"question_id": str(n % 70)}, rows[n].text, f"a{n}",
                    {"question_id": str(n % 70), "category": "abc"[n // 70]})
        for p, n in enumerate(reversed(range(210)))
    ]  # fmt: skip
    found = match("pope", rows, said)
    assert {key: one.text for key, one in found.answers.items()} == {r.id: f"a{r.id}" for r in rows}


@given(st.integers(1, 2), st.integers(0, 28))
def test_splits_in_another_order_are_found_by_runs_of_questions(moved: int, cut: int) -> None:
    """LLaVA's POPE: ids of its own, and half of the questions are the same in all splits."""
    names = [[f"thing {n}" if n % 2 else f"{split} {n % 13}" for n in range(40)] for split in "abc"]
    rows = [row(40 * s + n, f"Is there a {names[s][n]}?") for s in range(3) for n in range(40)]
    order = [0, *((2, 1) if moved == 2 else (1, 2))]
    said = [
        answer(
            0, f"{s} {n}", f"Is there a {names[s][n]}?\nOne word.", question_id=f"{k}00{n + 100}"
        )
        for k, s in enumerate(order, start=1)
        for n in range(40)
    ][: 120 - cut]
    found = match("pope", rows, said).answers
    assert all(one.text == f"{int(key) // 40} {int(key) % 40}" for key, one in found.items())
    assert len(found) == 120 - cut


def test_a_row_that_cannot_be_read_costs_its_own_answer_alone() -> None:
    broken = Row("4", "c4", "im", "", (), "", {}, "the row cannot be read: a torn image")
    rows = [*TEN[:4], broken, *TEN[5:]]
    said = [answer(n, f"a{n}", id=f"k{n * n}") for n in range(10)]
    found = match("b", rows, said)
    assert len(found.answers) == 9
    assert any(
        "1 of 10 answers belong to none of the rows that were read" in n for n in found.notes
    )
    with pytest.raises(UsageError, match="2 of 10 answers match no row"):
        match("b", rows[:-1], said)


def test_answers_beyond_the_limit_are_left_out_and_counted(rows: list[Row], tmp_path: Path) -> None:
    file = write_lines(tmp_path / "a.jsonl", [{"id": r.id, "output": said(r)} for r in rows])
    asked = EvalSettings(benches=("pope",), limit=8, out=tmp_path / "runs")
    found = score_answers(Scoring((file,), "a"), asked)
    assert len(found.report.after["pope"]) == 8
    assert any("32 of 40 answers belong to none" in note for note in found.report.notes)


def test_rows_none_of_which_can_be_read_are_no_table_of_missing_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = write_lines(tmp_path / "a.jsonl", [{"id": n, "output": "yes"} for n in range(8)])
    monkeypatch.setattr(Task, "_row", lambda self, index: [][index])
    asked = EvalSettings(benches=("pope",), limit=8, out=tmp_path / "runs")
    with pytest.raises(HarnessError, match=r"None of the 8 rows of pope .*IndexError.*data verify"):
        score_answers(Scoring((answers,), "a"), asked)


def test_columns_that_decide_the_rows_decide_the_folder(rows: list[Row], tmp_path: Path) -> None:
    one, two = next(
        (one, two)
        for one in rows
        for two in rows
        if one.doc["question"] == two.doc["question"]
        and one.doc["image_source"] != two.doc["image_source"]
    )
    told = {}
    for name, order in (("a", (one, two)), ("b", (two, one))):
        records = [
            {key: row.doc[key] for key in ("question", "image_source", "category")} | {"pred": said}
            for row, said in zip(order, ("yes", "no"), strict=True)
        ]
        file = write_lines(tmp_path / f"{name}.jsonl", records)
        plan = resolve_eval(EvalSettings(benches=("pope",), limit=POPE))
        found = score_given(Scoring((file,), "x"), plan)
        told[found.digest] = {s.id: s.answer for s in found.samples["pope"] if s.answer}
    assert list(told.values()) == [{one.id: "yes", two.id: "no"}, {one.id: "no", two.id: "yes"}]


@pytest.mark.parametrize(
    ("named", "files", "told"),
    [
        (["mmeyer"], ["mmeyer/mme.jsonl", "mmeyer/pope.jsonl"], [["mme.jsonl"], ["pope.jsonl"]]),
        (
            ["x"],
            ["x/mmbench.jsonl", "x/mmbench_cn.jsonl"],
            [["mmbench.jsonl"], ["mmbench_cn.jsonl"]],
        ),
        (["x"], ["x/AMBER.jsonl", "x/amber_all.jsonl"], [["AMBER.jsonl"], ["amber_all.jsonl"]]),
        (["x"], ["x/pope-1/mme.jsonl", "x/pope/a.jsonl"], [["mme.jsonl"], ["a.jsonl"]]),
        (["pope", "mme"], ["pope/1.jsonl", "mme/2.jsonl"], [["2.jsonl"], ["1.jsonl"]]),
    ],
)
def test_a_file_is_of_the_benchmark_whose_whole_name_it_has(
    named: list[str], files: list[str], told: list[list[str]], tmp_path: Path
) -> None:
    for file in files:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_text("{}")
    pairs = {"mmbench.jsonl": ("mmbench", "mmbench_cn"), "AMBER.jsonl": ("amber", "amber_all")}
    asked = list(map(benchmark, pairs.get(told[0][0], ("mme", "pope"))))
    found = _files_by_benchmark([tmp_path / name for name in named], asked)
    assert [[file.name for file in found[bench.name]] for bench in asked] == told


# Reading


def test_control_characters_that_a_sheet_writes_in_letters_are_read_as_such(tmp_path: Path) -> None:
    """A question with Windows line ends, as VLMEvalKit's MathVista has them."""
    book = openpyxl.Workbook()
    for line in (("index", "question", "prediction"), (1, "One._x000D_\nTwo?", "_x0041_ _x00")):
        book.active.append(line)
    book.save(tmp_path / "a.xlsx")
    (only,) = read_answers(tmp_path / "a.xlsx")
    assert (only.question, only.text) == ("One.\r\nTwo?", "A _x00")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.jsonl", '{"id": 1, "said": "x"}', "no column of answers.*--answer-column"),
        ("a.jsonl", '{"id": 1, "text": "x"}\n{"id": 2}', "1 of 2 records .* no 'text'"),
        (
            "a.jsonl",
            '{"id": 1, "text": ["x", "y"]}\n{"id": 2, "text": "x"}\n{"id": 3, "text": {"a": 1}}',
            r"2 of 3 records .*'text' .a.jsonl, line 1: 2 answers; a.jsonl, line 3: an object .a",
        ),
        ("a.jsonl", '{"id": 1, "answer": "no", "my_output": "x"}', "'answer' and 'my_output'"),
        ("a.jsonl", '{"id": 1, "te', "line 1 is not JSON"),
        ("a.jsonl", "", "holds no answers"),
        ("a.pkl", "x", "a pickle is never opened"),
        ("a.xlsx", "x", "cannot be read.*no .xlsx file"),
        ("a.jsonl", '{"id": 1, "text": true}', "1 of 1 records .* line 1: true"),
        ("a.csv", "id,text,text\n1,2,3", "several columns of the name text"),
        ("a.json", "<html>404</html>", "line 1 is not JSON.*begins with '<html>404"),
        ("a.jsonl.gz", "x", "cannot be read .BadGzipFile"),
        ("a.csv", "index,prediction\n1,2,3", "line 2 has another number of columns"),
    ],
)
def test_files_are_refused_in_words(tmp_path: Path, name: str, text: str, told: str) -> None:
    with pytest.raises(HarnessError, match=told):
        read_answers(_write(tmp_path / name, text))


PLAIN = [{"question_id": n, "text": f"{n}: \u201cyes\u201d, I think"} for n in (4, 5, 6)]


def as_lines(end: str) -> str:
    return end.join(json.dumps(each, ensure_ascii=False) for each in PLAIN)


def as_table(parts: str, end: str = "\n") -> str:
    out = io.StringIO(newline="")
    writer = csv.writer(out, delimiter=parts, lineterminator=end)
    writer.writerows([[" Question_ID", "Text "], *(each.values() for each in PLAIN)])
    return out.getvalue()


def as_parquet() -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(PLAIN), out)
    return out.getvalue()


def as_sheet(change: Callable[[Any, Any], None] = lambda book, sheet: None) -> bytes:
    book, out = openpyxl.Workbook(), io.BytesIO()
    for each in (PLAIN[0], *(each.values() for each in PLAIN)):
        book.active.append(list(each))
    change(book, book.active)
    book.save(out)
    return out.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl", as_lines("\r\n").encode()),
        ("a.jsonl", as_lines("\n").encode("utf-16")),
        ("a.jsonl", as_lines("\n").encode("utf-16-le")),
        ("a.jsonl", json.dumps(PLAIN).encode()),
        ("a.json", json.dumps(PLAIN, indent=1).encode("utf-8-sig")),
        ("a.json", as_lines("\n").encode("utf-8-sig")),
        ("a.json", json.dumps({n: PLAIN[n] for n in range(3)}).encode("utf-16")),
        ("a.JSONL.gz", gzip.compress(as_lines("\n").encode(), mtime=0)),
        ("a.csv", as_table(",", "\r\n").encode("utf-8-sig")),
        ("a.csv", as_table(";").encode("utf-16")),
        ("a.csv", as_table("\t").encode()),
        ("a.tsv", as_table("\t").encode("utf-16")),
        ("a.csv.gz", gzip.compress(as_table(",").encode(), mtime=0)),
        ("a.parquet", as_parquet()),
        ("a.xlsx", as_sheet()),
        ("a.xlsx", as_sheet(lambda book, sheet: book.create_sheet("n", 0).append(["note"]))),
        ("wrong.csv", as_sheet()),
    ],
)
def test_a_file_is_read_by_what_it_holds(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    found = read_answers(tmp_path / name)
    ids = [one.ids.get("question_id") or one.ids.get("Question_ID") for one in found]
    assert ids == [str(each["question_id"]) for each in PLAIN]
    assert [one.text for one in found] == [each["text"] for each in PLAIN]


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("a.xlsx", as_sheet(lambda b, s: s.merge_cells("A2:A4")), r"1 merged cells \(A2:A4\)"),
        ("a.xlsx", as_sheet(lambda b, s: b.copy_worksheet(s)), "2 sheets with rows"),
        ("a.csv", as_table(",").encode("cp1252"), "Line 2 of .* is not UTF-8 text.*Save"),
        ("a.jsonl.gz", gzip.compress(b"{}" * 9, mtime=0)[:-9], "cannot be read .EOFError"),
    ],
)
def test_what_lost_its_values_is_refused(tmp_path: Path, name: str, data: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(HarnessError, match=told):
        read_answers(tmp_path / name)


def test_a_packed_file_has_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.data.tables._UNPACKED", 1000)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(b" " * 1001))
    (tmp_path / "a.xlsx").write_bytes(as_sheet())
    for name in ("a.jsonl.gz", "a.xlsx"):
        with pytest.raises(HarnessError, match="unpacks to more than 1000 bytes"):
            read_answers(tmp_path / name)


def test_a_folder_is_searched_for_answers_and_the_rest_is_said(tmp_path: Path) -> None:
    for name in ("deep/er/one.jsonl", "__MACOSX/._one.jsonl", ".cache/two.jsonl", "~$one.xlsx"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write_lines(tmp_path / name, PLAIN[:2])
    write_lines(tmp_path / "results.json", [{"accuracy": 0.5}])
    found, notes = answers_of(files_in(tmp_path), [tmp_path], None, None, None)
    assert [one.text for one in found] == [each["text"] for each in PLAIN[:2]]
    assert notes == ("1 files of the folder hold no answers: results.json",)
    with pytest.raises(UsageError, match="no column of answers"):
        answers_of([tmp_path / "results.json"], [tmp_path / "results.json"], None, None, None)


@pytest.mark.parametrize(
    ("record", "text"),
    [
        ({"id": 1, "answer": "no", "model_output": "Yes."}, "Yes."),
        ({"id": 1, "answer": "no", "output_tokens": 12}, "no"),
        ({"id": 1, "response": {"role": "assistant", "content": "Yes."}}, "Yes."),
    ],
)
def test_what_the_model_said_is_told_from_what_stands_beside(
    tmp_path: Path, record: dict[str, Any], text: str
) -> None:
    (found,) = read_answers(write_lines(tmp_path / "a.jsonl", [record]))
    assert found.text == text


def test_a_list_of_questions_is_no_file_of_answers() -> None:
    said = [answer(n, f"What is thing {n}?\nOne word.", id=f"k{n * n}") for n in range(10)]
    found = match("b", TEN, said)
    assert len(found.answers) == 10
    with pytest.raises(UsageError, match=r"10 of 10 answers to b are the questions.*line 1, f"):
        match("b", TEN, [answer(n, f"What is thing {n}?", id=f"k{n * n}") for n in range(10)])


def test_answers_that_are_all_the_references_are_noted() -> None:
    rows = [row(n, f"What is thing {n}?", key=f"k{n}") for n in range(60)]
    for text, noted in (("x", True), ("y", False)):
        said = [answer(n, "x" if n else text, id=f"k{n}") for n in range(60)]
        notes = match("b", rows, said).notes
        assert any("the reference word for word" in note for note in notes) is noted


def test_a_failed_request_is_no_answer(tmp_path: Path) -> None:
    rows = [
        {"doc_id": 0, "target": "x", "filtered_resps": ["[LMMS_EVAL_REQUEST_FAILED after 5]"]},
        {"doc_id": 1, "target": "x", "filtered_resps": [""]},
    ]
    found = read_answers(write_lines(tmp_path / "s.jsonl", rows))
    assert [one.text for one in found] == [None, ""]
    kit = [{"index": 1, "prediction": None}, {"index": 2, "prediction": "yes"}]
    for file in (
        write_table(tmp_path / "a.csv", kit, "utf-8"),
        write_table(tmp_path / "a.TSV", kit, "utf-8"),
        write_sheet(tmp_path / "a.xlsx", kit),
    ):  # an empty cell, however it is written
        assert [one.text for one in read_answers(file)] == [None, "yes"], file.name


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"v1_0": "a", "v1_1": None}, [("v1_0", "a"), ("v1_1", None)]),
        ({"question": "Is there a bird?", "answer": "yes"}, [("Is there a bird?", "yes")]),
        (
            {"acc": 50.0, "results": {"4": 1, "5": 0}, "outputs": {"4": "B.", "5": "A."}},
            [("4", "B."), ("5", "A.")],
        ),
        ({"run": "x", "rows": [{"id": "7", "answer": "c"}]}, [("7", "c")]),
        (
            {"id": {"0": 7, "1": 9}, "prediction": {"0": "c", "1": None}},
            [("7", "c"), ("9", None)],
        ),
    ],
)
def test_one_json_file_holds_answers_by_id_one_record_or_a_list(
    tmp_path: Path, content: Any, told: list[tuple[str, str | None]]
) -> None:
    (tmp_path / "answers.json").write_text(json.dumps(content))
    found = read_answers(tmp_path / "answers.json")
    assert [(one.ids.get("id", one.question), one.text) for one in found] == told
