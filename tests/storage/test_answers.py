from __future__ import annotations

import sqlite3
import subprocess
import sys

import pytest

from harness.errors import HarnessError
from harness.records import Answer
from harness.storage import Store


def test_entries_survive_closing_and_the_first_value_stays(tmp_path):
    store = Store(tmp_path / "deep" / "s.sqlite")
    store.put({f"k{n}": {"n": n} for n in range(1200)})
    store.put({"k1": {"n": "other"}})
    store.close()
    again = Store(tmp_path / "deep" / "s.sqlite")
    found = again.get([f"k{n}" for n in range(1300)])
    assert len(found) == 1200
    assert found["k1"] == {"n": 1}


def test_a_committed_entry_survives_a_kill(tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from harness.storage import Store;"
        "Store(Path(sys.argv[1])).put({'a': {'x': 1}}); os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "s.sqlite")], check=False)
    assert Store(tmp_path / "s.sqlite").get(["a"]) == {"a": {"x": 1}}


def test_a_file_that_is_no_store_is_named(tmp_path):
    path = tmp_path / "s.sqlite"
    path.write_text("this is no database, and it is long enough to be looked at" * 20)
    with pytest.raises(HarnessError, match=r"s\.sqlite cannot be used"):
        Store(path).get(["a"])


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(HarnessError, match=r"file/store\.sqlite cannot be written.*--out"):
        Store(tmp_path / "file" / "store.sqlite").put({"a": {"x": 1}})


def test_a_damaged_entry_is_forgotten_and_can_be_written_again(tmp_path):
    store = Store(tmp_path / "s.sqlite")
    whole = {"text": "yes", "tokens": 1}
    store.put({"a": whole, "b": {"text": 7}, "c": {"tokens": "many"}, "d": whole})
    with sqlite3.connect(tmp_path / "s.sqlite") as db:
        db.execute("UPDATE entries SET value = '{' WHERE key = 'd'")
    assert store.records("abcd", Answer) == {"a": Answer("yes", 1)}
    store.put({key: whole for key in "abcd"})
    assert set(store.records("abcd", Answer)) == set("abcd")


def test_a_store_that_is_not_used_is_not_opened(tmp_path):
    path = tmp_path / "s.sqlite"
    path.write_bytes(b"damaged " * 1000)
    Store(path).close()
    with pytest.raises(HarnessError, match=r"s\.sqlite cannot be used"):
        Store(path).records(["a"], Answer)
