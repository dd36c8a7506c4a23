"""Pairs with several images, several turns or no image: read, counted, exported, kept apart."""

from __future__ import annotations

import json

import pytest

from harness.errors import HarnessError
from harness.pairs import bound, diagnose, export_pairs, given_answers, pair_report_text, read_given
from harness.pairs.generate import Sieve
from harness.pairs.given import given_fingerprint
from harness.pairs.prompts import gather
from harness.records import Pair, Prompt, from_json, to_json
from harness.stages.contamination import seen_in
from tests.support.pair_files import embedded, images, json_file, parquet

LATER = [("What is shown?", "A dog."), ("Where?", "In a street.")]


@pytest.fixture
def folder(tmp_path):
    images(tmp_path, "a.png", "b.png", "c.png")
    return tmp_path


def said(kind, texts, last=None):
    """Turns in ShareGPT's or in OpenAI's words."""
    role, value = ("from", "value") if kind == "sharegpt" else ("role", "content")
    names = ("human", "gpt") if kind == "sharegpt" else ("user", "assistant")
    turns = [{role: names[n % 2], value: text} for n, text in enumerate(texts)]
    return turns + ([] if last is None else [{role: names[len(turns) % 2], value: last}])


def reply(text):
    return [{"role": "assistant", "content": text}]


def mia(folder):
    """As run_dpo.py of MIA-DPO reads it: a list of images, and marks between the words."""
    return [
        {
            "prompt": "Image1:<image>\nImage2:<image>\nIn Image2, what animal is it?",
            "chosen": "A cat.", "rejected": "A dog.", "image": ["a.png", "b.png"],
        },
        {"prompt": "<image>\nWhat is it?", "chosen": "x", "rejected": "y", "image": "a.png"},
    ]  # fmt: skip


FORMS = {
    "MIA-DPO": (mia, "Image1:<image>\nImage2:<image>\nIn Image2, what animal is it?", (), "ab"),
    "LLaMA-Factory": (
        lambda _: [{
            "conversations": said("sharegpt", ["<image><image>What?", "A dog.", "And?"]),
            "chosen": {"from": "gpt", "value": "x"}, "rejected": {"from": "gpt", "value": "y"},
            "images": ["a.png", "b.png"],
        }],
        "And?", (("What?", "A dog."),), "ab",
    ),
    "SIMA": (
        lambda _: [{
            "image": "a.png",
            "conversations": said("sharegpt", ["<image>\nWhat?", "A dog.", "And?"], "x"),
            "rejected_conversations": said("sharegpt", ["<image>\nWhat?", "A dog.", "And?"], "y"),
        }],
        "And?", (("What?", "A dog."),), "a",
    ),
    "ms-swift": (
        lambda _: [{
            "messages": said("", ["<image>What?", "A dog.", "<image>And here?"], "x"),
            "rejected_response": "y", "images": ["a.png", "b.png"],
        }],
        "<image>And here?", (("<image>What?", "A dog."),), "ab",
    ),
    "TRL": (
        lambda _: [{
            "prompt": said("", ["What?", "A dog.", "And?"]), "chosen": reply("x"),
            "rejected": reply("y"), "images": ["a.png", "b.png", "c.png"],
        }],
        "And?", (("What?", "A dog."),), "abc",
    ),
    "TRL in parts": (
        lambda _: [{
            "prompt": [{"role": "user", "content": [
                {"type": "text", "text": "Is "}, {"type": "image"},
                {"type": "text", "text": " in "},
                {"type": "image"}, {"type": "text", "text": "?"},
            ]}],
            "chosen": reply("x"), "rejected": reply("y"),
            "images": ["a.png", "b.png"],
        }],
        "Is <image> in <image>?", (), "ab",
    ),
    "TRL, implicit": (
        lambda _: [{
            "chosen": said("", ["Q", "A", "R"], "x"), "rejected": said("", ["Q", "A", "R"], "y"),
        }],
        "R", (("Q", "A"),), "",
    ),
    "Alpaca": (
        lambda _: [{
            "instruction": "And?", "input": "", "chosen": "x", "rejected": "y",
            "history": [["What?", "A dog."]], "images": ["a.png"],
        }],
        "And?", (("What?", "A dog."),), "a",
    ),
    "RLAIF-V without an image": (
        lambda _: [{"image": None, "question": "Why?", "chosen": "x", "rejected": "y"}],
        "Why?", (), "",
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_every_form_keeps_its_images_and_turns(folder, form):
    rows, question, history, names = FORMS[form]
    path = json_file(folder, rows(folder))
    found = read_given(path)
    assert not found.dropped
    pair = found.pairs[0]
    assert isinstance(pair, Pair)
    assert (pair.prompt.question, pair.prompt.history) == (question, history)
    assert [image.stem for image in pair.prompt.images] == list(names)
    assert next(given_answers(path))[:2] == (pair.prompt.id, question)
    assert from_json(Pair, json.loads(json.dumps(to_json(pair)))) == pair


def test_images_in_a_table_are_found_without_their_bytes(tmp_path):
    """The second reading leaves columns of bytes out, and has to come to the same texts."""
    rows = [
        {
            "images": [embedded(n) for n in range(count)],
            "prompt": text,
            "chosen": "x",
            "rejected": "y",
        }
        for count, text in (
            (2, "<image><image>What?"),
            (2, "1: <image> 2: <image>"),
            (1, "<image>W"),
        )
    ]
    path = parquet(tmp_path, rows)
    found = read_given(path, keep=tmp_path / "kept")
    assert [len(prompt.images) for prompt in found.prompts] == [2, 2, 1]
    again = [(id_, question) for id_, question, _ in given_answers(path)]
    assert again == [(prompt.id, prompt.question) for prompt in found.prompts]
    assert all(isinstance(item, Pair) for _, _, item in given_answers(path))


def test_an_embedded_rejected_image_is_the_same_in_both_readings(tmp_path):
    rows = [
        {"image": embedded(0), "rejected_image": embedded(1), "question": "Q", "chosen": "x"},
        {
            "image": embedded(0),
            "rejected_image": None,
            "question": "Q",
            "chosen": "x",
            "rejected": "y",
        },
        {"image": None, "rejected_image": None, "question": "Q", "chosen": "x", "rejected": "y"},
    ]
    path = parquet(tmp_path, [{"rejected": None, **row} for row in rows])
    found = read_given(path, keep=tmp_path / "kept")
    by_id = {id_: item for id_, _, item in given_answers(path)}
    again = [bound(by_id[prompt.id], prompt) for prompt in found.prompts]
    assert again == list(found.pairs)
    assert [len(pair.sides) for pair in again] == [2, 0, 0]


def test_where_a_model_is_asked_only_one_image_and_question_is_taken(folder):
    rows = [{"prompt": f"q{n}", **each, "chosen": "x", "rejected": "y"} for n, each in enumerate([
        {"image": "a.png"}, {"image": ["a.png", "b.png"]}, {"image": None},
        {"image": "a.png", "prompt": said("", ["Q", "A", "R"])},
    ])]  # fmt: skip
    path = json_file(folder, rows)
    assert len(read_given(path).pairs) == 4
    found, _ = gather(path)
    assert [prompt.question for prompt in found.prompts] == ["q0"]
    assert [drop.reason for drop in found.dropped] == [
        "several images",
        "no image",
        "several turns",
    ]
    with pytest.raises(HarnessError, match="1 several images"):
        gather(json_file(folder, rows[1:2], "one.json"))


def prompts(folder):
    one, two, three = (folder / f"{name}.png" for name in "abc")
    history = tuple(LATER)
    return [
        Prompt("1", one, "What?"),
        Prompt("2", one, "Which?", more_images=(two, three)),
        Prompt("3", two, "1: <image>\n2: <image>\nWhich?", more_images=(one,)),
        Prompt("4", three, "When?", history=history),
        Prompt("5", one, "<image>And?", more_images=(two,), history=(("<image>What?", "A."),)),
        Prompt("6", None, "Why?"),
    ]


def test_what_others_cannot_say_is_said_once(folder):
    pairs = [Pair(prompt, "x", ("y",)) for prompt in prompts(folder)]
    report = diagnose(pairs)
    assert report.shapes == (("several images", 3), ("earlier turns", 2), ("no image", 1))
    text = pair_report_text(report)
    assert "pairs with several images: 3" in text
    assert f"[2] {folder / 'a.png'}, {folder / 'b.png'}, {folder / 'c.png'}" in text
    assert "[6] no image" in text
    assert "earlier question: What is shown?\n  answer: A dog.\n" in text
    plain = diagnose(pairs[:1])
    assert "shapes" not in to_json(plain)
    path = json_file(folder, [{"image": None, "question": "Q", "chosen": "x", "rejected": "y"}])
    notes = " ".join(read_given(path).notes)
    assert "1 of 1 have no image" in notes
    assert "its column may be images, image" in notes


def test_old_records_keep_their_bytes(folder):
    assert to_json(prompts(folder)[0]).keys() == {"id", "image", "question", "reference"}


@pytest.mark.parametrize("form", ["trl", "llama-factory", "ms-swift"])
def test_what_is_written_is_read_back(folder, form):
    pairs = [Pair(prompt, "x", ("y",)) for prompt in prompts(folder)]
    out = folder / "out"
    assert export_pairs(pairs, form, out).left_out == ()
    names = {"llama-factory": "pairs.json", "ms-swift": "pairs.jsonl"}
    found = read_given(out / names.get(form, ""), keep=folder / "kept")
    for prompt, origin in zip(found.prompts, prompts(folder), strict=True):
        assert (prompt.question, prompt.history) == (origin.question, origin.history)
        assert [image.tobytes() for image in prompt.open_images()] == [
            image.tobytes() for image in origin.open_images()
        ]


def test_a_stray_mark_is_left_out(folder):
    prompt = Prompt("9", folder / "a.png", "<image>What?", history=(("Q", "a <image> b"),))
    pairs = [Pair(prompt, "x", ("y",)), Pair(prompts(folder)[1], "x", ("y <image>",))]
    pairs += [Pair(prompts(folder)[0], "x", ("y",))]
    assert export_pairs(pairs, "ms-swift", folder / "out").left_out == ("9", "2")


def test_every_image_is_hashed_known_and_opened(folder):
    path = json_file(folder, mia(folder))
    found = read_given(path)
    before = given_fingerprint(path, found, None)
    (folder / "b.png").write_bytes((folder / "c.png").read_bytes())
    assert given_fingerprint(path, found, None) != before
    assert {seen.owner for seen in seen_in(found.prompts)} == {"1", "2"}
    assert len(seen_in(prompts(folder))) == 3
    (folder / "b.png").write_bytes(b"no image")
    sieve = Sieve(None, None)
    stray = Prompt("7", folder / "a.png", "<image> Why?", more_images=(folder / "c.png",))
    kept = [prompt.id for prompt in sieve.prompts([*prompts(folder), stray])]
    assert kept == ["1", "4", "6"]
    reasons = [drop.reason for drop in sieve.dropped()]
    assert reasons == ["unreadable image"] * 3 + ["images or turns"]
