"""By augmentation: how far answers changed, and how hard the negatives are under the model."""

from __future__ import annotations

import json

import PIL.Image
import pytest
from click.testing import CliRunner

from harness.cli.augmentations import augmentations
from harness.errors import UsageError
from harness.pairs import augmentations_of, contact_sheet
from harness.records import Answer, Drop, Pair, Prompt, to_json
from harness.storage import Journal, write_json

STEPS = ("mild", "strong")


class Scores:
    """Scores an answer by its length, so that a longer one is less likely."""

    def answer(self, requests):
        for request in requests:
            yield Answer("", choices=tuple(-float(len(text)) for text in request.choices))


@pytest.fixture
def run(tmp_path):
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "i.png")
    prompts = [Prompt(f"p{n}", tmp_path / "i.png", "what?") for n in range(4)]
    rows = [
        Pair(prompts[0], "aaaa", ("bb",), {"changes": {"mild": 0.05, "strong": 0.5}}),
        Pair(prompts[1], "aaaa", ("bbbbbb",), {"changes": {"mild": 0.25, "strong": 0.5}}),
        Pair(prompts[2], "aaaa", ("b",), {"changes": {"mild": 0.0, "strong": 1.0}}),
        Drop(prompts[3], "equal", {"changes": {"mild": 0.0, "strong": 0.0}}),
    ]
    for row, name in zip(rows, ("mild", "mild", "strong"), strict=False):
        row.meta["augmentation"] = name
    journal: Journal = Journal(tmp_path / "pairs.jsonl", "f", to_json)
    journal.append(*rows)
    journal.finish()
    return tmp_path


def test_the_table_is_what_the_pairs_say(run):
    mild, strong = augmentations_of(run, Scores())
    assert (mild.name, mild.answers, mild.equal, mild.near) == ("mild", 4, 0.5, 0.75)
    assert mild.distance == pytest.approx(0.075)
    assert (mild.pairs, mild.scored) == (2, 2)
    assert mild.ratio == pytest.approx((-4 + 2 - 4 + 6) / 2)  # log p(chosen) - log p(rejected)
    assert mild.inverted == 0.5
    assert (strong.pairs, strong.ratio, strong.inverted) == (1, -3.0, 1.0)
    bare = augmentations_of(run)
    assert [each.ratio for each in bare] == [None, None]
    assert augmentations_of(run, Scores(), limit=1)[0].scored == 1


def test_the_command_shows_it_without_a_model_and_refuses_what_has_none(run, tmp_path):
    done = CliRunner().invoke(augmentations, [str(run), "--score", "0"], catch_exceptions=False)
    assert "mild" in done.output
    assert "50%" in done.output
    done = CliRunner().invoke(augmentations, [str(run), "--score", "0", "--json"])
    assert [each["pairs"] for each in json.loads(done.output)["augmentations"]] == [2, 1]
    with pytest.raises(UsageError, match=r"no settings\.json"):
        CliRunner().invoke(augmentations, [str(run)], catch_exceptions=False)
    assert contact_sheet(run, tmp_path / "none.png") == 0


def test_pairs_without_augmentations_are_refused_by_name(tmp_path):
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "i.png")
    journal: Journal = Journal(tmp_path / "pairs.jsonl", "f", to_json)
    journal.append(Pair(Prompt("p", tmp_path / "i.png", "q"), "a", ("b",)))
    journal.finish()
    write_json(tmp_path / "settings.json", {"asked": {}, "inputs": {}})
    with pytest.raises(UsageError, match="do not say what changed"):
        augmentations_of(tmp_path)
