"""The benchmarks: found by name, documented by a row, judged by rules that hands can follow."""

from __future__ import annotations

import importlib
import math
import re
import subprocess
import sys
from pathlib import Path

import pytest
from harness_benchmarks import grader
from harness_benchmarks.mementos import f1
from harness_benchmarks.objects import names_of, read_names, singular
from harness_benchmarks.parse import best_of, letter, yes_no
from harness_tinyworld import minis, scenes
from harness_tinyworld.minis import common
from hypothesis import given
from hypothesis import strategies as st

from harness.benchmark import Benchmark, Choices, benchmark, code_digest, expand, together
from harness.benchmark.catalog import code_files
from harness.errors import HarnessError, UsageError
from harness.plugins import find, load, names
from harness.records import Answer, Sample, Scored

OPTIONS = {"A": "red", "B": "blue", "C": "dark blue", "D": "a green bus"}


# Found by name


@pytest.mark.parametrize("name", names("benchmarks"))
def test_every_benchmark_says_what_it_is(name: str) -> None:
    found: Benchmark = load("benchmarks", name)
    module = importlib.import_module(find("benchmarks", name).module)
    assert found.name == name
    assert re.search(r'^    \{"\w', str(module.__doc__), re.MULTILINE), "an example row"
    assert found.licence
    assert found.source
    columns = [column.name for column in found.columns]
    assert len(set(columns)) == len(columns)
    for column in found.columns:
        assert column.low < column.high < math.inf
        assert not column.lenient or column.lenient in columns
    if found.choices is not None:
        assert any("logit" in column for column in columns)


def test_loading_them_all_imports_nothing_heavy() -> None:
    code = (
        "import sys; from harness.plugins import load, names\n"
        "[load('benchmarks', name) for name in names('benchmarks')]\n"
        "print({'torch', 'lmms_eval', 'numpy', 'datasets', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_benchmark_is_that_of_the_files_that_determine_its_scores(tmp_path: Path) -> None:
    root = tmp_path / "mine"
    (root / "tasks").mkdir(parents=True)
    (root / "parts").mkdir()
    texts = {
        "__init__.py": "",
        "one.py": "from mine.shared import a\nfrom . import late\n",
        "two.py": "def f():\n    import mine.parts.deep\n",
        "shared.py": "from .parts import near",
        "late.py": "",
        "parts/__init__.py": "",
        "parts/near.py": "",
        "parts/deep.py": "",
        "tasks/one.yaml": "task: one",
        "tasks/two.yaml": "task: two",
        "tasks/utils.py": "",
        "words.txt": "",
    }
    for name, text in texts.items():
        (root / name).write_text(text)
    every = ["__init__.py", "tasks/utils.py", "words.txt"]
    found = {
        name: {
            str(path.relative_to(root))
            for path in code_files(root, f"mine.{name}", str(root / "tasks" / f"{name}.yaml"))
        }
        for name in ("one", "two")
    }
    of_one = ["one.py", "late.py", "shared.py", "parts/__init__.py", "parts/near.py"]
    assert found["one"] == {*every, *of_one, "tasks/one.yaml"}
    of_two = ["two.py", "parts/__init__.py", "parts/deep.py", "tasks/two.yaml"]
    assert found["two"] == {*every, *of_two}
    (root / "late.py").write_text("import importlib\nimportlib.import_module(name)")
    assert len(code_files(root, "mine.one", "")) == len(texts), "it cannot be told"


def test_every_installed_benchmark_rests_on_its_own_module_and_not_on_all() -> None:
    import harness_benchmarks

    root = Path(harness_benchmarks.__file__).parent
    pope = {path.name for path in code_files(root, "harness_benchmarks.pope", "pope/pope.yaml")}
    assert {"pope.py", "parse.py", "utils.py"} <= pope
    assert not pope & {"amber.py", "shr.yaml", "mmbench.py"}


def test_suites_stand_for_their_papers_columns() -> None:
    sima, seva = load("suites", "sima14"), load("suites", "seva9")
    heads = [c for name in sima for c in load("benchmarks", name).columns if c.primary]
    assert len(heads) == 14
    assert len(seva) == 9
    assert expand(["pope", "seva9", "pope3", "pope"])[:3] == ("pope", "mmvet", "llavabench")
    assert len(expand(["sima14", "seva9"])) == 15, "five are in both"
    assert expand(["no_such"]) == ("no_such",)


def test_a_near_miss_is_named_for_benchmarks_and_suites() -> None:
    with pytest.raises(UsageError, match="Did you mean 'sima14'"):
        benchmark("sima4")
    with pytest.raises(UsageError, match="Did you mean 'vizwiz'"):
        benchmark("vizwis")
    assert benchmark("pope") is load("benchmarks", "pope")


# Any task of lmms-eval, and task files of one's own


def test_a_task_of_lmms_eval_becomes_a_benchmark() -> None:
    found = benchmark("lmms:textvqa_val")
    assert (found.name, [c.name for c in found.columns]) == ("lmms-textvqa_val", ["exact_match"])
    assert Path(found.task).name == "textvqa_val.yaml"
    assert code_digest("lmms:textvqa_val") != code_digest("pope")
    with pytest.raises(UsageError, match=r"no task 'popee'.*Did you mean 'pope'"):
        benchmark("lmms:popee")


def test_what_asks_and_scores_is_part_of_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Included files of another folder, and the version of lmms-eval, in whose code they lie."""
    (tmp_path / "base").mkdir()
    base, code, task = tmp_path / "base" / "b.yaml", tmp_path / "base" / "u.py", tmp_path / "t.yaml"
    base.write_text("dataset_path: json\n")
    code.write_text("x = 1\n")
    task.write_text("include: base/b.yaml\ntask: t\n")
    seen = [code_digest(str(task))]
    assert seen == [code_digest(str(task))]
    base.write_text("dataset_path: json\ngeneration_kwargs: {max_new_tokens: 512}\n")
    seen.append(code_digest(str(task)))
    code.write_text("x = 2\n")
    seen += [code_digest(str(task)), code_digest("pope")]
    monkeypatch.setattr("harness.benchmark.catalog.version", lambda name: "0.7.9")
    seen += [code_digest(str(task)), code_digest("pope")]
    assert len(set(seen)) == 6


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("task: [a, b", "cannot be read"),
        ("group: x\ntask: [a, b]", "A group"),
        ("- 1", "is not a task"),
    ],
)
def test_a_file_that_is_no_task_is_refused(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "own.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=told):
        benchmark(str(file))
    with pytest.raises(UsageError, match="There is no task file"):
        benchmark(str(tmp_path / "none.yaml"))


# Readings


@pytest.mark.parametrize(
    ("answer", "read"),
    [
        *(("B", "B"), ("b", "B"), ("B.", "B"), ("(B)", "B"), ("B) blue", "B"), ("A. red", "A")),
        *(("The answer is B", "B"), ("Answer: D", "D"), ("option c", "C"), ("I think B, so", "B")),
        *(("It is dark blue.", "C"), ("It is a red one", "A"), ("A green bus", "D")),
        *(("A or B", None), ("A, or D", None), ("red or blue", None), ("", None), ("none", None)),
        *(("A car", None), ("E", None), ("I do not know", None)),
        *(("It is (A).\n\nB", "B"), ("Not B but:\n<answer> A </answer>", "A"), ("A\nB", None)),
        *(("The answer is a green bus.", "D"), ("The best choice is a red one", "A")),
        *(("Answer: A and B", None), ("The answer is (A) or (B)", None), ("Not B", None)),
        *(("The answer is B, a blue one", "B"), ("Answer: C, not B", "C"), ("option b or c", None)),
        *(("It isn't A, it is C", "C"), ("The answer is not A but D.", "D"), ("not a red", "A")),
        *(("Answer: A green bus", "D"), ("The answer is a", "A"), ("option a is right", "A")),
        *(("The answer is A because of the light", "A"), ("the answer is (a).", "A")),
        *(("The answer is a blurred picture of B", "B"), ("\\boxed{\\text{A}}", "A")),
    ],
)
def test_letters_by_hand(answer: str, read: str | None) -> None:
    assert letter(answer, OPTIONS) == read


def test_an_option_that_is_written_out_is_chosen_whatever_letters_it_holds() -> None:
    options = {"A": "sample B", "B": "sample A", "C": "Washington, D.C."}
    said = ("A. sample B", "The right one:\nB) sample A\n", "C. Washington, D.C.")
    assert [letter(text, options) for text in said] == ["A", "B", "C"]
    assert letter("A. sample B\nB. sample A", options) is None


@given(
    st.sampled_from("ABCD"),
    st.sampled_from(
        [
            *("{}", "({})", "{}.", "The answer is {}.", "{}) x", "**{}**", "It's {}", "Answer: {}"),
            *("The answer is **{}**.", "\\boxed{{{}}}", "The correct answer is: {}", "`{}`"),
            *("The answer should be {}", "<answer>{}</answer>", "{}\nIt is so.", "I choose {}"),
        ]
    ),
)
def test_every_form_of_a_letter_is_read(right: str, form: str) -> None:
    assert letter(form.format(right), dict.fromkeys("ABCD", "something")) == right


def test_the_best_of_an_answer_and_the_references_in_it() -> None:
    def score(text: str) -> float:
        return {"red bus": 0.6, "bus": 0.9}.get(text, 0.0)

    assert best_of("a red bus there", ["red bus", "car"], score, 0.0) == 0.6
    assert best_of("a red bus there", ["red bus", "bus"], score, 0.0) == 0.9
    assert best_of("busses", ["bus"], score, 0.1) == 0.1
    assert best_of("There is no bus", ["no"], lambda text: 1.0, 0.0) == 1.0
    assert best_of("Yes, there is no car", ["no"], lambda text: 1.0, 0.0) == 0.0


def test_rows_count_together_by_name_and_else_alone() -> None:
    row = Sample("7", "", "", "", "", None, 0, "missing", units={"pair": "existence 1.png"})
    assert together("pair")(row) == "existence 1.png"
    assert together("figure")(row) == "row 7"


def test_log_probabilities_decide_whatever_was_written() -> None:
    two = Benchmark(
        "b", "B", "", lambda t, r, a: Scored({}), (), choices=lambda r: Choices(("Yes", "No"), 1)
    )
    assert two.asked(None) == ("Yes", "No")
    right = two.logit(None, Answer("Hm", choices=(-2.0, -2.0 + math.log(3))))
    assert right["logit"] == 1.0
    assert right["logit_right"] == pytest.approx(0.75)
    assert two.logit(None, Answer("Hm", choices=(-1.0, -1.0)))["logit"] == 0.0, "a tie"
    assert two.logit(None, Answer("Hm", choices=(-1000.0, -2000.0)))["logit_right"] == 0.0
    missing = {"logit": None, "logit_right": None}
    assert two.logit(None, Answer("Hm")) == missing
    assert two.logit(None, Answer("Hm", choices=(-1.0, math.nan))) == missing
    none = Benchmark("b", "B", "", lambda t, r, a: Scored({}), ())
    assert none.asked(None) == ()
    assert none.logit(None, Answer("Hm")) == {}


# The built-in grader and the word lists


def test_likeness_by_hand() -> None:
    assert grader.overlap("the red bus", "a red car") == pytest.approx(0.5)
    assert grader.overlap("", "red") == 0.0
    assert grader.overlap("red", "the") is None, "no verdict without a reference"


def test_unsupported_clauses_by_hand() -> None:
    facts = ["a small red star at the top left", "a large blue ring on the right"]
    assert grader.unsupported("The image shows a red star and a blue ring.", facts) == ()
    assert grader.unsupported("There are red stars", facts) == ()
    assert grader.unsupported("A red ring, a blue ring", facts) == ("A red ring",)
    assert grader.unsupported("A large red star", facts) == ("A large red star",)
    assert grader.unsupported("It is there.", facts) == (), "claims nothing"
    assert grader.unsupported("A red ring", []) is None
    told = grader.sentences("One. Two is 3.5 m!\n- three\n\n...")
    assert told == ("One.", "Two is 3.5 m!", "- three")


def test_things_are_found_by_their_longest_name() -> None:
    table = names_of(
        [("hot dog", "food"), ("dog", "dog"), ("puppy", "dog"), ("wine glass", "glass")]
    )
    text = "Two hot dogs, a dog and three puppies beside wine glasses; hot soup."
    assert table.mentions(text) == ("food", "dog", "dog", "glass")
    assert table.name("Puppies") == "dog"
    assert table.name("cat") == "cat"
    assert [singular(w) for w in ("buses", "boxes", "glass", "cities", "people", "bus")] == [
        *("bus", "box", "glass", "city", "person", "bus")
    ]


def test_a_list_of_synonyms_is_read_or_refused(tmp_path: Path) -> None:
    file = tmp_path / "synonyms.txt"
    file.write_text("person, man, woman\n\nhot dog,sausage in a bun\n")
    assert read_names(file).mentions("A woman with hot dogs") == ("person", "hot dog")
    empty = tmp_path / "empty.txt"
    empty.write_text("\n , \n")
    with pytest.raises(HarnessError, match="is empty"):
        read_names(empty)
    with pytest.raises(HarnessError, match="cannot be read"):
        read_names(tmp_path / "none.txt")


def test_f1_of_names_by_hand() -> None:
    assert f1(["a", "b"], ["a", "c", "c"]) == 0.5
    assert f1([], ["a"]) == 0.0
    assert f1(["a"], []) is None


def test_yes_and_no() -> None:
    assert [yes_no(text) for text in ("Yes!", "It is not", "perhaps")] == ["yes", "no", None]


# Miniatures


def test_no_miniature_shows_an_image_of_the_training_prompts() -> None:
    first = {name: next(common.scenes(name)).seed for name in common._ORDER}
    assert min(first.values()) >= 5_000_000_000 > scenes.MMVET + 1
    assert len(set(first.values())) == len(first)
    assert max(first.values()) - min(first.values()) == 10_000_000 * (len(first) - 1)


@pytest.mark.parametrize("name", ["amber", "hallusion", "mmbench", "mme", "shr"])
def test_the_shipped_miniatures_are_what_the_code_makes(name: str, tmp_path: Path) -> None:
    from harness_tinyworld import DATA
    from harness_tinyworld.minis import table

    for file in table.write(minis.load(name), tmp_path):
        shipped = DATA / file.relative_to(tmp_path)
        assert shipped.read_bytes() == file.read_bytes()


def test_mme_asks_about_every_image_once_with_yes_and_once_with_no() -> None:
    rows = minis.load("mme").tables[0].rows()
    pairs: dict[str, list[str]] = {}
    for row in rows:
        pairs.setdefault(row["question_id"], []).append(row["answer"])
    assert set(map(tuple, pairs.values())) == {("Yes", "No")}


def test_mmbench_turns_the_options_and_the_answer_with_them() -> None:
    rows = minis.load("mmbench").tables[0].rows()
    right: dict[int, set[str]] = {}
    for row in rows:
        right.setdefault(row["index"] % 1_000_000, set()).add(row[row["answer"]])
    assert len(rows) == 4 * len(right)
    assert all(len(texts) == 1 for texts in right.values())


def test_hallusion_twins_differ_in_the_answer_to_their_first_question() -> None:
    rows = minis.load("hallusion").tables[0].rows()
    answers: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        answers.setdefault((row["set_id"], row["question_id"]), []).append(row["gt_answer"])
    assert {key[1]: tuple(value) for key, value in answers.items()} == {
        "0": ("1", "0"),
        "1": ("1", "1"),
        "2": ("0", "0"),
    }
