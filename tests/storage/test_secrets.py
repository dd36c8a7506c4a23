"""No trace of the key stays in a text, and nothing else is touched."""

from __future__ import annotations

import base64
import html
import json
import time
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.records import Drop, Prompt
from harness.storage import Store, is_secret, journal_of, without_keys, write_json, write_whole

SECRET = 'sk-Proj/77"Qx+9zK4\\mB2vW8nL5'
TEXTS = st.text(alphabet='abc XYZ-_%\\&#;"/+=0189\n*', max_size=30)


@pytest.fixture(autouse=True)
def key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)


def encodings(part: str) -> dict[str, str]:
    data = part.encode()
    return {
        "plain": part,
        "url": urllib.parse.quote(part, safe=""),
        "every sign in the url": "".join(f"%{byte:02x}" for byte in data),
        "json": json.dumps(part)[1:-1],
        "json with slashes": json.dumps(part)[1:-1].replace("/", "\\/"),
        "every sign in json": "".join(f"\\u{byte:04X}" for byte in data),
        "html": html.escape(part).replace("&quot;", "&#34;"),
        "html numbers": "".join(f"&#x{byte:x};" for byte in data),
        "base64": base64.b64encode(data).decode(),
        "base64 for urls": base64.urlsafe_b64encode(data).decode(),
        "base64 behind a user": base64.b64encode(b"me:" + data).decode(),
        "base64 later": base64.b64encode(b"a" + data + b"z").decode().rstrip("="),
    }


@given(st.integers(0, len(SECRET) - 8), st.integers(8, 40), TEXTS, TEXTS)
def test_no_part_of_eight_signs_stays_in_any_encoding(start, length, before, after):
    part = SECRET[start : start + length]
    for name, written in encodings(part).items():
        found = without_keys(f"{before} {written} {after}")
        assert "***" in found, name
        assert written not in found, name
        for one in (found, urllib.parse.unquote(found), html.unescape(found)):
            windows = [SECRET[i : i + 8] for i in range(len(SECRET) - 7)]
            assert not [window for window in windows if window in one], name


def in_lines(text: str, width: int, sign: str) -> str:
    return sign.join(text[at : at + width] for at in range(0, len(text), width))


def otherwise(key: str) -> dict[str, str]:
    data = key.encode()
    return {
        "in capitals": key.upper(),
        "in lines": "\n".join(key[at : at + 5] for at in range(0, len(key), 5)),
        "sign by sign": json.dumps(list(key)),
        "with hidden signs": "\u200b".join(key),
        "url twice": urllib.parse.quote("".join(f"%{byte:02x}" for byte in data)),
        "url in json": json.dumps(json.dumps(key)),
        "hexadecimal": f"0{data.hex()}",
        "octal": "".join(f"\\{byte:03o}" for byte in data),
        "mail": "".join(f"={byte:02X}" for byte in data),
        "javascript": "".join(f"\\u{{{byte:x}}}" for byte in data),
        "backwards": key[::-1],
        "full-width": "".join(chr(0xFEE0 + byte) for byte in data),
        "in bold letters": "".join(
            chr(0x1D400 + ord(sign) - 65) if sign.isupper() else sign for sign in key
        ),
        "base32": base64.b32encode(data).decode(),
        "base32 in small letters": base64.b32encode(b"abc" + data).decode().lower(),
        "base64 twice": base64.b64encode(base64.b64encode(data)).decode(),
        "base64 of hexadecimal": base64.b64encode(data.hex().encode()).decode(),
        "base64 in lines": in_lines(base64.b64encode(data).decode(), 10, "\n"),
        "base64 in lines in JSON": json.dumps(in_lines(base64.b64encode(data).decode(), 4, "\r\n")),
        "base32 in lines": in_lines(base64.b32encode(data).decode(), 8, "\n    "),
        "hexadecimal in lines": in_lines(data.hex(), 12, " \n"),
    }


@pytest.mark.parametrize("name", otherwise(SECRET))
def test_it_is_found_however_it_is_written(name):
    written = otherwise(SECRET)[name]
    found = without_keys(f"No such key: {written}, as 1234 others")
    assert found.startswith("No such key: ")
    assert found.endswith(", as 1234 others")
    assert len(found.replace("***", "")) < 60
    signs = "".join(filter(str.isalnum, found.removeprefix("No such key: ").lower()))
    bare = "".join(filter(str.isalnum, SECRET.lower()))
    assert not [at for at in range(len(bare) - 7) if bare[at : at + 8] in signs]


def test_words_that_a_key_is_made_of_are_no_secret(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "my-local-server-2024")
    text = "Ask my local server; a MY-LOCAL SERVER answers in 2023."
    assert without_keys(text) == text


@given(st.text(max_size=200))
def test_other_texts_stay_as_they_are(text):
    assert without_keys(text) == text


def test_seven_signs_and_short_keys_are_no_secrets(monkeypatch):
    assert without_keys(f"so {SECRET[3:10]} stays") == f"so {SECRET[3:10]} stays"
    monkeypatch.setenv("OPENAI_API_KEY", "EMPTY")
    assert without_keys("an EMPTY room") == "an EMPTY room"


@pytest.mark.parametrize("dummy", ["anything", "PLACEHOLDER", "sk-no-key-required", "Not-Needed"])
def test_a_placeholder_takes_no_word_out_of_an_answer(monkeypatch, dummy):
    """llama.cpp, LM Studio and others ask for any key at all; each of these became ``***``."""
    monkeypatch.setenv("OPENAI_API_KEY", dummy)
    text = (
        "No ticket is required or needed; anything goes. A pre-required PLACEHOLDER, as Required."
    )
    assert without_keys(text) == text
    assert is_secret(dummy) is ("-" in dummy)
    if is_secret(dummy):  # the whole key is taken out in any case
        assert without_keys(f"key {dummy}, {encodings(dummy)['base64']}") == "key ***, ***"


def test_every_written_file_is_clean_and_still_readable(tmp_path: Path):
    prompt = Prompt("1", Path("a.png"), f"say {SECRET} twice: {SECRET[4:20]}")
    drop = Drop(prompt, "equal", {"url": encodings(SECRET)["url"]})
    journal = journal_of(tmp_path / "j.jsonl", "f", Drop)
    journal.append(drop)
    journal.finish()
    write_json(tmp_path / "a.json", {"said": SECRET, "coded": encodings(SECRET)["base64"]})
    write_whole(tmp_path / "a.md", f"# {SECRET}\n")
    store = Store(tmp_path / "store.sqlite")
    store.put({"key": {"text": SECRET}})
    assert store.get(["key"]) == {"key": {"text": "***"}}
    store.close()
    again = journal_of(tmp_path / "j.jsonl", "f", Drop).rows[0]
    assert again.prompt.question == "say *** twice: ***"
    assert json.loads((tmp_path / "a.json").read_text()) == {"coded": "***", "said": "***"}
    for path in tmp_path.iterdir():
        data = path.read_bytes()
        for part in (SECRET, json.dumps(SECRET)[1:-1], encodings(SECRET)["url"]):
            assert part.encode() not in data


def test_a_megabyte_takes_little_time():
    text = json.dumps({"rows": ["It shows a dog.\n \u00e9 100%" for _ in range(40_000)]})
    begin = time.process_time()
    assert without_keys(text) == text
    assert len(text) > 1e6
    assert time.process_time() - begin < 2
