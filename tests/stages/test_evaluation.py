"""Asking and scoring: one odd row is counted with its reason, a hopeless beginning ends early."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import datasets
import harness_tinyworld
import numpy as np
import PIL.Image
import pytest

from harness.benchmark import benchmark, mean_of
from harness.compare import compare
from harness.errors import HarnessError
from harness.model import Model
from harness.records import FIRST, LENGTH, NOT_FINITE, Answer, Request
from harness.stages import evaluate
from tests.support.contexts import eval_context

TASK = """
dataset_path: local/Odd
task: odd
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
def score(doc, results):
    text = results[0]
    text.encode("utf-8")
    if text == "nothing": return {"submission": text}
    if text == "exit": raise SystemExit(0)
    return {"right": float("nan") if text == "lost" else float(text == doc["target"])}
"""


class Saying:
    """Says what it is told to, as a server may say anything; counts how often it is asked."""

    source = fingerprint = "saying"

    def __init__(self, *said: Answer | str) -> None:
        self.said, self.calls, self.limits = said, 0, []

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        for request in requests:
            said = self.said[self.calls % len(self.said)]
            self.calls += 1
            self.limits.append(request.max_new_tokens)
            yield said if isinstance(said, Answer) else Answer(said, tokens=2)


def png(mode: str, value: int = 0) -> bytes:
    if mode == "I;16":
        ramp = np.linspace(20_000, 34_700, 64).astype(np.uint16).reshape(8, 8)
        image = PIL.Image.fromarray(ramp)
    else:
        image = PIL.Image.new(mode, (8, 8), value)
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Return a function that measures images with a model, in one folder and data set."""
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))

    def measure(model, images, *, code=CODE, target="yes", **options):
        folder = tmp_path / "data" / "Odd"
        folder.mkdir(parents=True, exist_ok=True)
        table = datasets.Dataset.from_dict(
            {
                "image": [None if raw is None else {"bytes": raw, "path": None} for raw in images],
                "question": [f"q{n}?" for n in range(len(images))],
                "target": [target] * len(images),
            }
        )
        table = table.cast_column("image", datasets.Image(decode=False))
        table.cast_column("image", datasets.Image()).to_parquet(folder / "test-0.parquet")
        (tmp_path / "odd.yaml").write_text(TASK)
        (tmp_path / "code.py").write_text(code)
        bench = benchmark(str(tmp_path / "odd.yaml"))
        context = eval_context(tmp_path, [bench], tmp_path / "data")
        plan = context.plan
        plan = replace(plan, settings=replace(plan.settings, **options))
        found = evaluate("after", model, replace(context, plan=plan))
        return found.samples[bench.name]

    return measure


GOOD = [png("RGB", value) for value in range(FIRST)]


def journal(folder: Path) -> list[dict]:
    lines = (folder / "after" / "file-odd.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "id" in row]


def test_images_that_cannot_be_shown_are_refused_row_by_row(odd):
    model = Saying("yes")
    images = [GOOD[0], png("I;16"), None, b"no image", GOOD[0][:45], *GOOD]
    samples = odd(model, images)
    assert model.calls == len(images) - 4
    assert [sample.state for sample in samples] == ["answered", *["missing"] * 4, *["answered"] * 8]
    assert samples[0].scores == samples[-1].scores == {"right": 1.0}
    reasons = [sample.error for sample in samples[1:5]]
    assert "its mode is I;16; save it with 8 bits a channel" in reasons[0]
    assert all(reason.startswith("the row cannot be read: ") for reason in reasons)
    again = odd(model, images)
    assert [sample.content for sample in again] == [sample.content for sample in samples]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_how_an_accented_letter_is_composed_makes_no_answer_wrong_or_changed(odd, form):
    """As macOS, some tokenisers and some data sets write them: one sign, or letter and accent."""
    word = "un café noir, 한국어"
    said = [normalize("NFC", word), normalize("NFD", word), "un cafe noir"]
    composed, parted, other = odd(Saying(*said), GOOD[:3], target=normalize(form, word))
    assert [row.scores["right"] for row in (composed, parted, other)] == [1.0, 1.0, 0.0]
    assert [row.answer for row in (composed, parted)] == said[:2], "kept as it was said"
    assert composed.said == parted.said != other.said
    arms = ([composed, other], [replace(parted, id="0", content=composed.content), other])
    columns = {"b": (mean_of("right", name="right", primary=True),)}
    (found,) = compare({"b": arms[0]}, {"b": arms[1]}, columns, draws=20).benchmarks
    assert found.changed_answers == 0


def test_rows_that_cannot_be_read_do_not_end_the_beginning_but_a_data_set_of_them_does(odd):
    images = [png("I;16")] * (FIRST + 2) + [GOOD[0]]
    assert [sample.state for sample in odd(Saying("yes"), images)][-1] == "answered"
    with pytest.raises(HarnessError, match=r"cannot be compared row by row.* row 0: .*8 bits"):
        odd(Saying("yes"), [png("I;16")] * FIRST)


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ("\ud83d", "refused by the scorer"),
        ("lost", "missing"),
        ("exit", "refused by the scorer"),
        ("nothing", "not applicable"),
        ("", "answered"),
        (Answer("", 4, LENGTH), "cut"),
        (Answer("yes", 4, LENGTH), "cut"),
        (Answer("<think>is it", 4, LENGTH), "thought only"),
        (Answer(None, finish=NOT_FINITE, error="not finite"), "not finite"),
        (Answer(None, finish="missing", error="503"), "missing"),
    ],
)
def test_one_odd_answer_never_ends_an_evaluation(odd, tmp_path, said, state):
    samples = odd(Saying("yes", said, "yes"), GOOD[:3])
    assert [sample.state for sample in samples] == ["answered", state, "answered"]
    assert len(journal(tmp_path)) == 3
    value = samples[1].scores.get("right")
    assert value == (
        None if samples[1].answer is None else {"yes": 1.0, "": 0.0}.get(samples[1].answer)
    )


def test_code_that_prints_or_ends_the_process_costs_its_rows_and_leaves_stdout_alone(odd, capsys):
    noisy = "print('of the task')\n" + CODE.replace(
        "def look(doc): ", "def look(doc):\n    shown(doc)\n    "
    )
    noisy += (
        "def shown(doc):\n    print(doc['question'])\n    if doc['question'] == 'q1?': quit()\n"
    )
    samples = odd(Saying("yes"), GOOD[:3], code=noisy)
    assert [sample.state for sample in samples] == ["answered", "missing", "answered"]
    assert samples[1].error.startswith("the row cannot be read: SystemExit: ")
    told = capsys.readouterr()
    assert "of the task" in told.err
    assert "of the task" not in told.out
    assert "q2?" not in told.out


def test_thoughts_are_kept_apart_from_what_is_scored(odd):
    (sample,) = odd(Saying(Answer("<think>no, or not?</think>\nyes", 20)), GOOD[:1])
    assert (sample.answer, sample.thought, sample.scores) == ("yes", "no, or not?", {"right": 1.0})
    assert sample.tokens == 2, "3 of 31 letters, and 20 tokens"


HOPELESS = [
    (Answer(None, finish="missing", error="the server failed: 401"), "missing: the server .* 401"),
    (Answer(None, finish=NOT_FINITE, error="not finite: m"), "not finite: m.*--dtype float32"),
    ("", "empty. Ask the model one of these"),
    (Answer("y", 1, LENGTH), "cut at one token.*--max-new-tokens"),
    (Answer("", 4, LENGTH, thought="hm"), "thought only: it ended after 4 tokens.*--max-new-tok"),
    (
        "\ud83d",
        r"refused by the scorer: UnicodeEncodeError: .* \(code.py:5\).*Repair the benchmark",
    ),
    ("nothing", "gives submission"),
]


@pytest.mark.parametrize(("said", "told"), HOPELESS)
def test_a_hopeless_beginning_is_told_in_one_paragraph(odd, said, told):
    model = Saying(said)
    with pytest.raises(HarnessError, match=told) as found:
        odd(model, [*GOOD, *GOOD])
    assert model.calls == FIRST, "nothing more is asked"
    assert "\n" not in str(found.value)
    assert "none of the first 8 rows can be measured" in str(found.value)


def test_what_is_finished_is_kept_and_does_not_end_a_later_call(odd, tmp_path):
    first = odd(Saying("yes"), GOOD[:4])
    assert len(first) == 4
    path = tmp_path / "after" / "file-odd.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]))  # header and two rows: the call was killed here
    broken = Saying(Answer(None, finish="missing", error="away"))
    samples = odd(broken, GOOD[:4])
    assert [sample.state for sample in samples] == ["answered", "answered", "missing", "missing"]
    assert [sample.state for sample in odd(Saying("yes"), GOOD[:4])] == ["answered"] * 4


def test_a_limit_of_ones_own_takes_the_place_of_the_tasks(odd, tmp_path):
    model = Saying(Answer("y", 1, LENGTH))
    assert odd(model, GOOD[:2], max_new_tokens=1)[0].state == "cut", "one token was wanted"
    assert model.limits == [1, 1]
    (tmp_path / "after" / "file-odd.jsonl").unlink()
    other = Saying("yes")
    odd(other, GOOD[:3])
    assert set(other.limits) == {4}


def test_a_real_model_with_a_broken_layer_is_never_scored(odd, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = tmp_path / "nan"
    folder.mkdir()
    for file in Path(harness_tinyworld.MODEL).iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = load_file(folder / "model.safetensors")
    name = [key for key in weights if "mlp.down_proj" in key][-1]
    weights[name][0] = float("nan")
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(HarnessError, match=r"not finite: .*nan gives NaN or infinity in float32"):
        odd(Model.open(folder, device="cpu"), GOOD)
