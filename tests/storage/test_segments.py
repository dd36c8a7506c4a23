"""Answers in files of one writer each: nothing is lost, whoever dies and whoever writes at once."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.cli import app
from harness.errors import HarnessError
from harness.records import Answer
from harness.storage import Segments, Store, compact, locked, open_store, spread

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def out(tmp_path):
    spread(tmp_path)
    return tmp_path


def files(out):
    return sorted((out / "answers").glob("*.jsonl"))


def _write(out, name, count, begin):
    store = open_store(out)
    begin.wait()
    for number in range(count):
        store.put({f"{name} {number}": {"n": number}, "both": {"by": name}})


def test_writers_at_once_have_a_file_each_and_all_is_found(out):
    begin = FORK.Event()
    writers = [FORK.Process(target=_write, args=(out, name, 200, begin)) for name in "abc"]
    for each in writers:
        each.start()
    begin.set()
    for each in writers:
        each.join()
        assert each.exitcode == 0
    assert len(files(out)) == 3
    store = open_store(out)
    keys = [f"{name} {number}" for name in "abc" for number in range(200)]
    assert store.get([*keys, "none"]) == {key: {"n": int(key[2:])} for key in keys}
    first = store.get(["both"])
    assert open_store(out).get(["both"]) == first, "every reader takes the same of two"
    assert len(store.records(["a 1"], Answer)) == 0, "that is no answer"


def test_what_another_writes_is_seen_as_soon_as_its_line_is_whole(out):
    mine, other = open_store(out), open_store(out)
    assert mine.get(["a"]) == {}
    other.put({"a": {"n": 1}})
    assert mine.get(["a"]) == {"a": {"n": 1}}
    (file,) = files(out)
    line = json.dumps({"key": "b", "value": {"n": 2}}).encode() + b"\n"
    with file.open("ab", buffering=0) as half:
        half.write(line[:13])
        assert mine.get(["b"]) == {}
        half.write(line[13:])
    assert mine.get(["a", "b"]) == {"a": {"n": 1}, "b": {"n": 2}}
    mine.put({"a": {"n": 7}})
    assert open_store(out).get(["a"]) == {"a": {"n": 1}}, "an existing key keeps its first value"


def test_the_files_of_others_are_listed_to_ask_and_not_to_put(out, monkeypatch):
    store, other = open_store(out), open_store(out)
    assert store.get(["a", "b"]) == {}
    with monkeypatch.context() as patched:
        patched.setattr(type(out), "glob", lambda *_: pytest.fail("a folder was listed"))
        other.put({"b": {"n": 2}})
        for number in range(3):
            store.put({"a": {"n": number}})
    assert store.get(["a", "b"]) == {"a": {"n": 0}, "b": {"n": 2}}


def _die(out):
    store = open_store(out)
    store.put({"a": {"n": 1}})
    store._mine.write(b'{"key": "b", "value": {"n"')
    store._mine.flush()
    os.kill(os.getpid(), signal.SIGKILL)


def test_half_a_line_of_a_killed_writer_is_no_entry_and_stops_nobody(out):
    writer = FORK.Process(target=_die, args=(out,))
    writer.start()
    writer.join()
    assert writer.exitcode == -signal.SIGKILL
    store = open_store(out)
    assert store.get(["a", "b"]) == {"a": {"n": 1}}
    store.put({"b": {"n": 2}})
    assert open_store(out).get(["a", "b"]) == {"a": {"n": 1}, "b": {"n": 2}}
    assert len(files(out)) == 2
    assert compact(out) == 2
    assert open_store(out).get(["a", "b"]) == {"a": {"n": 1}, "b": {"n": 2}}


def test_a_damaged_line_is_passed_over_and_a_damaged_entry_made_again(out):
    store = open_store(out)
    whole = {"text": "yes", "tokens": 1}
    store.put({"a": whole})
    store.put({"b": {"text": 7}})
    store.close()
    (file,) = files(out)
    file.write_bytes(b"\xff{\n[]\n7\n" + file.read_bytes())
    store = open_store(out)
    assert store.records(["a", "b"], Answer) == {"a": Answer("yes", 1)}
    store.put({"b": whole})
    assert set(open_store(out).records(["a", "b"], Answer)) == {"a", "b"}


@settings(max_examples=25)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.dictionaries(st.sampled_from("abcd"), st.integers())),
        max_size=12,
    )
)
def test_it_holds_what_sqlites_file_would_hold(tmp_path_factory, calls):
    out = tmp_path_factory.mktemp("s")
    spread(out)
    one, many = Store(out / "other.sqlite"), [open_store(out) for _ in range(3)]
    for writer, entries in calls:
        rows = {key: {"n": number} for key, number in entries.items()}
        many[writer].get("abcd")  # as before every question to a model
        one.put(rows)
        many[writer].put(rows)
    expected = one.get("abcd")
    assert open_store(out).get("abcd") == expected
    compact(out)
    assert isinstance(open_store(out), Store)
    assert open_store(out).get("abcd") == expected


def test_answers_come_along_in_both_directions(tmp_path):
    rows = {f"k{number}": {"n": number} for number in range(1100)}
    Store(tmp_path / "store.sqlite").put(rows)
    spread(tmp_path)
    spread(tmp_path)
    store = open_store(tmp_path)
    assert isinstance(store, Segments)
    assert store.get(rows) == rows
    store.put({"more": {"n": 1}})
    done = CliRunner().invoke(app, ["compact", str(tmp_path)], catch_exceptions=False)
    assert done.output == f"2 files merged into {tmp_path / 'store.sqlite'}\n"
    assert not (tmp_path / "answers").exists()
    assert Store(tmp_path / "store.sqlite").get([*rows, "more"]) == {**rows, "more": {"n": 1}}
    done = CliRunner().invoke(app, ["compact", str(tmp_path)], catch_exceptions=False)
    assert "nothing to do" in done.output


def test_nothing_is_put_together_while_somebody_is_at_work(out):
    open_store(out).put({"a": {"n": 1}})
    run = out / "seva-model-1"
    run.mkdir()
    (run / "settings.json").write_text("{}")
    for place in (out, run):
        with locked(place), pytest.raises(HarnessError, match="Another process is at work"):
            compact(out)
    assert len(files(out)) == 1
    assert compact(out) == 1


def test_a_full_disk_is_one_paragraph_and_what_was_written_stays(out, monkeypatch):
    store = open_store(out)
    store.put({"a": {"n": 1}})

    class Full:
        def write(self, data):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "_mine", Full())
    with pytest.raises(HarnessError, match=r"The disk is full: .*answers"):
        store.put({"b": {"n": 2}})
    assert store.get(["a", "b"]) == {"a": {"n": 1}}
