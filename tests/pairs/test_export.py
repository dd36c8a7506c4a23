"""Exported pairs: in the shapes that the other projects document, and the same pairs when read."""

from __future__ import annotations

import json

import jsonschema
import PIL.Image
import pytest

from harness.errors import HarnessError, UsageError
from harness.pairs import export_pairs, read_given
from harness.records import Pair, Prompt

TEXT = {"type": "string"}


def closed(**properties):
    """A JSON object with exactly these keys."""
    names = sorted(properties)
    return {
        "type": "object", "properties": properties, "required": names,
        "additionalProperties": False,
    }  # fmt: skip


ONE_IMAGE = {"type": "array", "items": TEXT, "minItems": 1, "maxItems": 1}
SHAREGPT = closed(  # data/README.md of LLaMA-Factory: a ranking data set in sharegpt format
    conversations={
        "type": "array", "minItems": 1,
        "items": closed(**{"from": {"enum": ["human", "gpt"]}, "value": TEXT}),
    },
    chosen=closed(**{"from": {"const": "gpt"}, "value": TEXT}),
    rejected=closed(**{"from": {"const": "gpt"}, "value": TEXT}),
    images=ONE_IMAGE,
)  # fmt: skip
ENTRY = closed(  # the same page: the entry of dataset_info.json
    file_name=TEXT,
    formatting={"const": "sharegpt"},
    ranking={"const": True},
    columns=closed(
        messages={"const": "conversations"}, chosen={"const": "chosen"},
        rejected={"const": "rejected"}, images={"const": "images"},
    ),
)  # fmt: skip
SWIFT = closed(  # Custom-dataset.md of ms-swift: DPO, with images
    messages={
        "type": "array", "minItems": 2,
        "items": closed(role={"enum": ["user", "assistant"]}, content=TEXT),
    },
    rejected_response=TEXT,
    images=ONE_IMAGE,
)  # fmt: skip


@pytest.fixture
def pairs(tmp_path):
    """Three pairs on two images; one pair rejects two answers, one image has an orientation."""
    PIL.Image.new("RGB", (8, 6), "red").save(tmp_path / "a.png")
    turned = PIL.Image.new("RGB", (8, 6), "blue")
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / "b.jpg", exif=exif)
    one, two = tmp_path / "a.png", tmp_path / "b.jpg"
    return [
        Pair(Prompt("p1", one, "What?"), "Rød.", ("blue", "green")),
        Pair(Prompt("p2", two, "Why?\nSay it."), "Because.", ("No.",)),
        Pair(Prompt("p3", one, "Who?"), "Nobody.", ("A dog.",)),
    ]


def rows(pairs):
    return [
        (pair.prompt.question, pair.chosen, rejected)
        for pair in pairs
        for rejected in pair.rejected
    ]


def marks(value):
    return json.dumps(value).count("<image>")


@pytest.mark.parametrize("form", ["trl", "llama-factory", "ms-swift"])
def test_what_is_written_is_read_back_as_the_same_pairs(pairs, tmp_path, form):
    out = tmp_path / "out"
    done = export_pairs(pairs, form, out)
    assert (done.pairs, done.rows, done.left_out) == (3, 4, ())
    names = {"llama-factory": "pairs.json", "ms-swift": "pairs.jsonl"}
    found = read_given(out / names.get(form, ""), keep=tmp_path / "kept")
    assert rows(found.pairs) == rows(pairs)
    expected = [pair.prompt for pair in pairs for _ in pair.rejected]
    for prompt, origin in zip(found.prompts, expected, strict=True):
        assert prompt.open_image().tobytes() == origin.open_image().tobytes()


def test_llama_factorys_documented_schema_holds(pairs, tmp_path):
    export_pairs(pairs, "llama-factory", tmp_path / "out")
    made = json.loads((tmp_path / "out/pairs.json").read_text())
    jsonschema.validate(made, {"type": "array", "items": SHAREGPT})
    info = json.loads((tmp_path / "out/dataset_info.json").read_text())
    jsonschema.validate(info, closed(pairs=ENTRY))
    assert all((tmp_path / "out" / name).is_file() for row in made for name in row["images"])
    assert all(marks(row) == len(row["images"]) for row in made)
    assert len(list((tmp_path / "out/images").iterdir())) == 2


def test_ms_swifts_documented_schema_holds(pairs, tmp_path):
    export_pairs(pairs, "ms-swift", tmp_path / "out")
    lines = (tmp_path / "out/pairs.jsonl").read_text().splitlines()
    for row in map(json.loads, lines):
        jsonschema.validate(row, SWIFT)
        assert row["images"][0].startswith("/")
        assert PIL.Image.open(row["images"][0]).size in ((8, 6), (6, 8))
        assert marks(row) == 1


def test_trls_columns_load_as_a_vision_dataset(pairs, tmp_path):
    from datasets import load_dataset
    from trl.data_utils import is_conversational

    export_pairs(pairs, "trl", tmp_path / "out")
    made = load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache"))
    assert set(made.column_names) == {"id", "images", "prompt", "chosen", "rejected"}
    assert is_conversational(made[0])
    assert made[2]["images"][0].size == (6, 8)  # upright


def test_an_image_mark_in_a_text_is_left_out_where_it_would_count(pairs, tmp_path):
    pairs[1] = Pair(pairs[1].prompt, "a <image> b", ("c",))
    assert export_pairs(pairs, "ms-swift", tmp_path / "one").left_out == ("p2",)
    assert export_pairs(pairs, "trl", tmp_path / "two").left_out == ()


def test_only_the_marked_one_of_a_prompts_pairs_is_left_out(pairs, tmp_path):
    pairs[1] = Pair(pairs[0].prompt, "a <image> b", ("c",))
    done = export_pairs(pairs, "ms-swift", tmp_path / "out")
    assert (done.pairs, done.left_out) == (2, (pairs[0].prompt.id,))


def test_wrong_requests_leave_nothing_behind(pairs, tmp_path):
    with pytest.raises(UsageError, match=r"'llama_factory'.*Did you mean 'llama-factory'"):
        export_pairs(pairs, "llama_factory", tmp_path / "out")
    with pytest.raises(UsageError, match="not empty"):
        export_pairs(pairs, "trl", tmp_path)
    (tmp_path / "b.jpg").write_bytes(b"no image")
    with pytest.raises(HarnessError, match=r"b\.jpg"):
        export_pairs(pairs, "trl", tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "b.jpg"}
