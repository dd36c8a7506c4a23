from __future__ import annotations

import json

import PIL.Image
import pytest
from harness_given import Options, make_pairs

from harness.errors import UsageError
from harness.pairs import read_given, read_prompts
from harness.plugins import load
from harness.records import Drop, Pair, Prompt
from harness.run import run
from harness.settings import Settings


@pytest.fixture
def demo():
    return load("demos", "tinyworld")


def table(path, prompts, **changed):
    """SeVa's shape, so that it is another one than the demo's prompts have."""
    rows = [
        {
            "image_id": str(prompt.image),
            "question": prompt.question,
            "chosen": prompt.reference,
            "reject": "There is a cat.",
            "id": prompt.id,
            **changed.get(prompt.id, {}),
        }
        for prompt in prompts
    ]
    path.write_text(json.dumps(rows))
    return path


def test_the_contract_is_kept(harness_check, demo, tmp_path):
    path = table(tmp_path / "pairs.json", read_prompts(demo.prompts, 8))
    harness_check("given", values={"pairs": str(path)})


def test_a_prompt_gets_the_pair_of_its_row_or_a_reason(tmp_path):
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    prompts = [Prompt(name, tmp_path / "a.png", "What?", "yes") for name in "abc"]
    path = table(tmp_path / "p.json", prompts, b={"reject": "yes"})
    found = read_given(path)
    strangers = [Prompt("z", tmp_path / "a.png", "What?"), Prompt("c", tmp_path / "a.png", "Who?")]
    made = list(make_pairs([*found.prompts, *strangers], Options(pairs=str(path))))
    assert made[0] == Pair(found.prompts[0], "yes", ("There is a cat.",))
    assert made[:3] == list(found.pairs)
    assert [drop.reason for drop in made if isinstance(drop, Drop)] == [
        "equal", "no pair", "another question",
    ]  # fmt: skip


def test_without_a_file_it_says_how_to_name_one():
    with pytest.raises(UsageError, match="--pairs FILE"):
        next(make_pairs([], Options()))


def settings(out, **changed):
    return Settings(
        "given", ("pope",), limit=6, reports=("json",), out=out, max_prompts=6, **changed
    )


def test_a_run_counts_what_the_file_holds_and_what_it_cannot_use(demo, tmp_path):
    prompts = read_prompts(demo.prompts, 8)
    dropped = {"p0001": {"image_id": "absent.png"}, "p0002": {"reject": prompts[2].reference}}
    path = table(tmp_path / "pairs.json", prompts, **dropped)
    asked = settings(tmp_path / "runs", pairs=str(path), images=demo.prompts.parent)
    first = run(asked)
    assert (len(first.pairs.pairs), first.pairs.prompts) == (5, 7)
    assert first.pairs.dropped == {"image missing": 1, "equal": 1}
    assert first.report.doctor.dropped == first.pairs.dropped
    assert run(asked).reused
    journal = first.folder / "pairs.jsonl"  # killed after the dropped row and one pair
    journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:3]))
    again = run(asked)
    assert again.pairs.pairs == first.pairs.pairs
    assert again.pairs.dropped == first.pairs.dropped


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"method": "seva"}, "'seva' makes its own.*--method given"),
        ({"prompts": "other.jsonl"}, "leave --prompts other.jsonl out"),
        ({"pairs": "absent.json"}, "no file or folder absent.json for --pairs"),
        ({"pairs": "hub:a/b"}, "hf download a/b"),
    ],
)
def test_what_does_not_fit_is_refused_at_once(tmp_path, changed, told):
    from dataclasses import replace

    from harness.resolve import resolve

    asked = settings(tmp_path, pairs="pairs.json")
    with pytest.raises(UsageError, match=told):
        resolve(replace(asked, **changed))


def test_an_answers_own_image_and_segments_reach_the_pair(tmp_path):
    for name in "ab":
        PIL.Image.new("RGB", (8, 8), {"a": "red", "b": "blue"}[name]).save(tmp_path / f"{name}.png")
    row = {"image": "a.png", "question": "What?", "chosen": "a red cat", "rejected": "a blue cat"}
    path = tmp_path / "p.json"
    path.write_text(json.dumps([{**row, "rejected_image": "b.png"}, row]))
    found = read_given(path)
    options = Options(pairs=str(path), segments=5)
    first, second = make_pairs(found.prompts, options)
    assert first == found.pairs[0]
    assert first.sides[2].image == tmp_path / "b.png"
    assert [side.weights for side in second.sides] == [((2, 5, 5.0),), ((2, 6, 5.0),)]
