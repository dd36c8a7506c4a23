"""One syntax for a model behind a server, wherever it is typed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import UsageError
from harness.model import OFFICIAL, ServerName, open_model, server_name, short_name


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.mark.parametrize(
    ("word", "model", "address"),
    [
        ("openai:gpt-4o-2024-11-20", "gpt-4o-2024-11-20", OFFICIAL),
        ("openai:qwen@http://localhost:8000/v1", "qwen", "http://localhost:8000/v1"),
        ("openai:a/b:8b@https://h/v1", "a/b:8b", "https://h/v1"),
        ("openai:claude@20240229@https://h/v1", "claude@20240229", "https://h/v1"),
        ("openai:claude@20240229", "claude@20240229", OFFICIAL),
        ("openai:org/model:7b", "org/model:7b", OFFICIAL),
        ("openai:claude@latest", "claude@latest", OFFICIAL),
        ("openai:claude@v2", "claude@v2", OFFICIAL),
        ("openai:./llava@http://[::1]:80/v1", "./llava", "http://[::1]:80/v1"),
        ("openai:http://localhost:8000/v1#llava", "llava", "http://localhost:8000/v1"),
        ("openai:https://h/v1#org/m@2", "org/m@2", "https://h/v1"),
        ("openai:m@https://h/v1?api-version=2", "m", "https://h/v1?api-version=2"),
    ],
)
def test_what_names_a_model_behind_a_server(word, model, address):
    for flag in ("--model", "--judge"):
        assert server_name(word, flag) == ServerName(model, address)


def test_old_and_new_form_mean_the_same_and_share_their_answers():
    old = open_model("openai:http://localhost:8000/v1#llava")
    new = open_model("openai:llava@http://localhost:8000/v1")
    assert old.fingerprint == new.fingerprint
    # As the version before computed it, so that its stored answers are found.
    wanted = "c8788327adb6b8e69261678c2d0e3fc05ae702197949d0e612187c1353735e7c"
    assert new.fingerprint == wanted, "sha256 of 'server http://localhost:8000/v1 llava'"


def test_the_environment_names_the_service(monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://gateway/v1")
    assert server_name("openai:m", "--judge").address == "http://gateway/v1"
    monkeypatch.setenv("OPENAI_BASE_URL", "gateway/v1")
    with pytest.raises(UsageError, match=r"gateway/v1 .*is not an http"):
        server_name("openai:m", "--judge")


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("openai:", "names no model"),
        ("openai: ", "names no model"),
        ("openai:m\n", "names no model"),
        ("openai:http://h/v1", "names no model"),
        ("openai:http://h/v1#", "names no model"),
        ("openai:@http://h/v1", "names no model"),
        ("openai:m@h:8000/v1", r"Write --model openai:m@http://h:8000/v1"),
        ("openai:m@myhost", r"Write --model openai:m@http://myhost"),
        ("openai:org/m@gpu-01", r"Write --model openai:org/m@http://gpu-01"),
        ("openai:m@localhost", r"Write --model openai:m@http://localhost"),
        ("openai:m@10.0.0.7", r"Write --model openai:m@http://10.0.0.7"),
        ("openai:m@api.example.org/v1", r"Write --model openai:m@http://api.example.org/v1"),
        ("openai:m@api.example.org", r"Write --model openai:m@http://api.example.org"),
        ("openai:m@me:hunter2@h:80/v1", "Write --model openai:m@http://h:80/v1"),
        ("openai:localhost:8000/v1", "Write --model openai:MODEL@http://localhost:8000/v1"),
        ("openai:h:8000/v1", "Write --model openai:MODEL@http://h:8000/v1"),
        ("openai:m@ftp://h/v1", "is not an http"),
        ("openai:m@http://", "is not an http"),
        ("openai:m@http:///v1", "is not an http"),
        ("openai:m@http://[::1/v1", "is not an http"),
        ("openai:m@http://h:99999/v1", "is not an http"),
        ("openai:m@http://h:x/v1", "is not an http"),
        ("openai:m@http://h/v 1", "is not an http"),
        ("openai:m@http://h/v1\u202e", "is not an http"),
        ("openai:m@http://me:hunter2@h/v1", "OPENAI_API_KEY"),
        ("openai:http://me:hunter2@h/v1#m", "OPENAI_API_KEY"),
        ("openai:m@http://h/v1#x", "part behind '#'"),
        ("openai:m@http://h/v1/chat/completions", r"beginning alone: http://h/v1"),
        ("openai:m@http://h/v1?api_key=hunter2", "seems to hold a secret"),
        ("openai:m@http://h/v1?sig=hunter2", "seems to hold a secret"),
    ],
)
def test_what_names_none_is_refused_with_what_to_type(word, message):
    with pytest.raises(UsageError, match=message) as caught:
        server_name(word, "--model")
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30), st.sampled_from(["openai:", "openai:m@", "openai:m@http://", ""]))
def test_any_word_is_read_or_refused(text, begin):
    try:
        found = server_name(begin + text, "--judge")
    except UsageError:
        return
    assert found.model.strip()
    assert found.address.startswith(("http://", "https://"))


def test_a_run_folder_is_named_after_the_model():
    assert short_name("openai:llava@http://localhost:8000/v1") == "llava"
    assert short_name("models/llava") == "models/llava"
