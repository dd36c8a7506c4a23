"""Commands that take what others made: answers, results, folders of many jobs."""

from __future__ import annotations

import json
from pathlib import Path

import openpyxl
import PIL.Image
import pytest
from harness_tinyworld import DATA

from harness.benchmark import Task, benchmark
from harness.storage import open_store
from tests.support.command import harness

ROWS = 24


def said(done) -> str:
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def answers(tmp_path_factory) -> Path:
    """All right but the first six, as LLaVA's evaluation writes them."""
    file = tmp_path_factory.mktemp("answers") / "tuned.jsonl"
    lines = []
    for row in Task(benchmark("pope").task, DATA).rows(0, ROWS):
        wrong = "no" if row.target == "yes" else "yes"
        text = wrong if int(row.id) < 6 else row.target
        record = {"question_id": row.doc["question_id"], "prompt": row.text, "text": text}
        lines.append(json.dumps(record) + "\n")
    file.write_text("".join(lines))
    return file


def test_answers_are_scored_and_compared_without_a_model(answers, tmp_path):
    words = ("score", answers, "--bench", "pope", "--limit", ROWS, "--out", tmp_path, "--quiet")
    done = harness(*words)
    assert "pope accuracy" in said(done)
    (folder,) = tmp_path.glob("*tuned*/")
    assert f"Next: harness compare {folder} RUN" in done.stderr
    again = said(harness(*words, "--json")).splitlines()
    assert json.loads(again[-1])["judge_calls"] == 0

    compared = said(harness("compare", folder, folder, "--json"))
    (bench,) = json.loads(compared)["benchmarks"]
    (head,) = [each for each in bench["figures"] if each["primary"]]
    assert head["before"] == head["after"] == pytest.approx(100 * (ROWS - 6) / ROWS)


def test_results_of_vlmevalkit_become_a_run(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["index", "question", "answer", "prediction", "hit"])
    for index in range(8):
        book.active.append(
            [index, f"Which is {index}?", "A", "A" if index else "B", int(index > 0)]
        )
    file = tmp_path / "llava_MMBench_DEV_EN_result.xlsx"
    book.save(file)
    done = harness("import", "vlmevalkit", file, "--out", tmp_path / "run")
    assert said(done).startswith("vlmevalkit-MMBench_DEV_EN: 8 rows; hit\n")
    assert f"Next: harness compare {tmp_path / 'run'} RUN" in done.stderr


def test_the_gate_says_how_answers_that_files_lack_are_added(answers, tmp_path):
    lines = answers.read_text().splitlines(keepends=True)
    short = tmp_path / "short.jsonl"
    short.write_text("".join(lines[:-1]))
    runs = []
    for file, code in ((answers, 0), (short, 3)):
        done = harness(
            *("score", file, "--bench", "pope", "--limit", ROWS, "--out", tmp_path, "--quiet")
        )
        assert done.returncode == code, done.stderr
        (folder,) = tmp_path.glob(f"*{file.stem}*/")
        runs.append(folder)
    whole, lacking = runs
    done = harness("gate", lacking, "--baseline", whole)
    assert done.returncode == 3
    assert f"{lacking}: add the answers to the files and run the same harness score" in done.stdout
    assert f"{whole}: " not in done.stdout
    assert "harness run" not in done.stdout


def test_the_gate_says_how_an_import_is_completed(tmp_path):
    runs = []
    for name, lost in (("whole", False), ("lacking", True)):
        file = tmp_path / name / "20261121_100000_samples_mine.jsonl"
        file.parent.mkdir()
        kept = [["yes"] if not (lost and n == 5) else [] for n in range(6)]
        file.write_text(
            "".join(
                json.dumps({"doc_id": n, "target": "yes", "resps": [each], "acc": n % 2,
                            "filtered_resps": each, "input": f"Is it {n}?"}) + "\n"
                for n, each in enumerate(kept)
            )
        )  # fmt: skip
        runs.append(tmp_path / f"run-{name}")
        said(harness("import", "lmms-eval", file.parent, "--out", runs[-1]))
    done = harness("gate", runs[1], "--baseline", runs[0])
    assert done.returncode == 3, done.stdout + done.stderr
    assert f"{runs[1]}: score again with lmms-eval, and import the new files" in done.stdout


def test_results_of_lmms_eval_become_a_run(tmp_path):
    rows = [
        {"doc_id": n, "target": "yes", "resps": [["yes"]], "filtered_resps": ["yes"], "acc": n % 2,
         "input": f"Is it {n}?"}
        for n in range(6)
    ]  # fmt: skip
    file = tmp_path / "20261121_100000_samples_mine.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    told = said(harness("import", "lmms-eval", tmp_path, "--out", tmp_path / "run"))
    assert told.startswith("lmms-mine: 6 rows; acc\n")


@pytest.mark.parametrize("kind", ["method", "loss", "benchmark", "report"])
def test_a_package_is_begun_with_one_command(tmp_path, kind):
    done = harness(f"new-{kind}", "mine", "--out", tmp_path / "mine")
    assert said(done).strip() == str(tmp_path / "mine")
    assert (tmp_path / "mine" / "pyproject.toml").is_file()
    assert f"install -e {tmp_path / 'mine'}" in done.stderr.replace("\n", " ")
    assert harness(f"new-{kind}", "mine", "--out", tmp_path / "mine").returncode == 2


def test_answers_of_many_jobs_are_put_together_once(tmp_path):
    assert harness("compact", tmp_path / "nowhere").returncode == 2
    (tmp_path / "answers").mkdir()
    kept = {name: {"text": name} for name in ("one", "two")}
    for name, answer in kept.items():
        store = open_store(tmp_path)
        store.put({name: answer})
        store.close()
    assert "2 files merged into" in said(harness("compact", tmp_path))
    assert open_store(tmp_path).get(kept) == kept
    assert "nothing to do" in said(harness("compact", tmp_path))


@pytest.fixture
def painted(tmp_path) -> Path:
    """A folder with a table of pairs and LLaVA's file of a supervised training, by their images."""
    images = tmp_path / "images"
    images.mkdir()
    for n in range(2):
        PIL.Image.new("RGB", (64, 64), (200, 100 * n, 0)).save(images / f"{n}.png")
    said = {"question": "What colour is it?", "chosen": "It is red.", "rejected": "A cat."}
    rows = [json.dumps({"image": f"{n}.png", **said}) for n in range(2)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(rows))
    talk = [{"from": "human", "value": "<image>\nWhat is it?"}, {"from": "gpt", "value": "Red."}]
    rows = [{"id": str(n), "image": f"{n}.png", "conversations": talk} for n in range(2)]
    (tmp_path / "llava.json").write_text(json.dumps(rows))
    return tmp_path


@pytest.mark.parametrize("words", ["--pairs pairs.jsonl", "--prompts llava.json"])
def test_a_training_on_a_file_of_ones_own_is_tried(painted, words):
    done = harness("check", *words.split(), "--images", "images", cwd=painted)
    assert said(done).startswith("images      2 can be read"), done.stderr
    assert "\nadapter " in done.stdout
    assert not (painted / "runs").exists()


def test_pairs_that_cannot_be_read_are_refused_before_a_model_is(painted):
    done = harness("check", "--pairs", "pairs.jsonl", cwd=painted)
    assert done.returncode == 1
    assert "--images DIR" in done.stderr
