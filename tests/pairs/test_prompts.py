from __future__ import annotations

import json

import PIL.Image
import pytest

from harness.errors import HarnessError, UsageError
from harness.pairs import prompts_fingerprint, read_prompts
from harness.pairs.prompts import gather


@pytest.fixture
def image(tmp_path):
    PIL.Image.new("RGB", (8, 8), "red").save(tmp_path / "a.png")
    return "a.png"


def written(folder, *lines):
    path = folder / "p.jsonl"
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines))
    return path


def test_both_vocabularies_are_read(tmp_path, image):
    ours = {"id": "x", "image": image, "question": "What?", "reference": "A."}
    sima = {"image": image, "text": "Why?", "ground_truth": "B."}
    first, second = read_prompts(written(tmp_path, ours, "", sima))
    assert (first.id, first.question, first.reference) == ("x", "What?", "A.")
    assert (second.id, second.question, second.reference) == ("3", "Why?", "B.")
    assert first.open_image().size == (8, 8)


@pytest.mark.parametrize(
    ("given", "known"),
    [(5, "5"), (2.5, "2.5"), ("", ""), (True, None), (["a"], None), (float("nan"), None)],
)
@pytest.mark.parametrize("key", ["question", "query"])  # our own form, and one of a data set
def test_a_number_as_reference_is_its_text(tmp_path, image, given, known, key):
    path = written(tmp_path, {"image": image, key: "How many?", "reference": given})
    (prompt,) = gather(path)[0].prompts
    assert prompt.reference == known


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"image": "a.png", "question": ', "it is not JSON"),
        ("[1]", "not a JSON object"),
        ({"question": "What?"}, "needs the texts"),
        ({"image": "a.png", "question": ""}, "needs the texts"),
        ({"image": "a.png", "question": "  "}, "needs the texts"),
        ({"image": "b.png", "question": "What?"}, "does not exist"),
        ({"image": "b" * 5000, "question": "What?"}, "does not exist"),
        ({"image": "", "question": "What?"}, "its image has no name"),
        ({"image": "https://x.org/a.png", "question": "What?"}, r"an address \(https://x\.org/a"),
        ({"image": "data:image/png;base64,AAAA", "question": "What?"}, r"an address \(data:image"),
        ({"image": "a\0.png", "question": "What?"}, r"'.*a\\x00\.png' does not exist"),
        ({"id": "1", "image": "a.png", "question": "Again?"}, "earlier line"),
        ({"image": "a.png", "question": "What \ud83d?"}, "half a surrogate pair"),
        ({"image": "a.png", "question": "What?", "reference": "\ude00"}, "half a surrogate pair"),
    ],
)
def test_a_broken_line_is_named_by_its_number(tmp_path, image, line, reason):
    good = {"id": "1", "image": image, "question": "What?"}
    with pytest.raises(HarnessError, match=rf"Line 2 of .*p\.jsonl cannot be used: .*{reason}"):
        read_prompts(written(tmp_path, good, line))


def test_what_windows_writes_is_read(tmp_path, image):
    line = json.dumps({"image": image, "question": "What?", "id": None})
    (tmp_path / "p.jsonl").write_bytes(f"\ufeff{line}\r\n{line}\r\n".encode())
    assert [prompt.id for prompt in read_prompts(tmp_path / "p.jsonl")] == ["1", "2"]


def test_no_utf8_is_named_by_its_number(tmp_path):
    (tmp_path / "p.jsonl").write_bytes(b'\n\xff\xfe{"image"\n')
    with pytest.raises(HarnessError, match=r"Line 2 of .*not UTF-8"):
        read_prompts(tmp_path / "p.jsonl")


def test_no_file_and_no_prompts(tmp_path):
    with pytest.raises(UsageError, match="--prompts"):
        read_prompts(tmp_path / "absent.jsonl")
    with pytest.raises(HarnessError, match="holds no prompts"):
        read_prompts(written(tmp_path, ""))


def test_the_fingerprint_sees_the_bytes_of_the_images(tmp_path, image):
    path = written(tmp_path, {"image": image, "question": "What?"})
    first = prompts_fingerprint(path, read_prompts(path))
    PIL.Image.new("RGB", (8, 8), "blue").save(tmp_path / image)
    assert prompts_fingerprint(path, read_prompts(path)) != first


def test_a_file_whose_images_are_addresses_says_how_they_are_fetched(tmp_path):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"image": "https://x.invalid/a.png", "question": "What?"}))
    with pytest.raises(HarnessError, match=r"https://x\.invalid/a\.png; --allow-urls fetches it"):
        gather(path)


def test_a_file_address_is_a_path(tmp_path, image):
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps({"image": (tmp_path / image).as_uri(), "question": "What?"}))
    (prompt,) = gather(path)[0].prompts
    assert prompt.open_image().size
