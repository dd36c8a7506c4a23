"""A stage's result is found again for the same inputs, and for no others."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import HarnessError
from harness.storage import Memo, RunRecord, memos_in


@dataclass(frozen=True)
class Found:
    number: int
    words: tuple[str, ...] = ()


def test_a_memo_counts_for_its_inputs_only(tmp_path):
    memo = Memo(tmp_path / "memo.json")
    assert memo.read() is None
    memo.write("a", found={"number": 3, "words": ["x"]}, more=1)
    assert memo.read("a") == memo.read()
    assert memo.read("a")["more"] == 1
    assert memo.record("found", Found, "a") == Found(3, ("x",))
    assert memo.read("b") is memo.record("found", Found, "b") is None
    memo.write("b")
    assert json.loads(memo.path.read_text()) == {"fingerprint": "b"}
    assert memo.record("found", Found) is None


def test_several_memos_share_a_file_and_leave_each_other_alone(tmp_path):
    path = tmp_path / "memos.json"
    Memo(path, part="one").write("a", n=1)
    Memo(path, part="two").write("b", n=2)
    Memo(path, part="one").write("c", n=3)
    assert {memo.part: memo.read() for memo in memos_in(path)} == {
        "one": {"fingerprint": "c", "n": 3},
        "two": {"fingerprint": "b", "n": 2},
    }
    assert Memo(path, part="three").read() is None
    assert Memo(path).read() is None


def test_the_fingerprint_may_have_another_name(tmp_path):
    """As in ``merged.json``, which older versions read too."""
    memo = Memo(tmp_path / "merged.json", key="adapter")
    memo.write("digest")
    assert json.loads(memo.path.read_text()) == {"adapter": "digest"}
    assert memo.read("digest") is not None
    assert memo.read("other") is None


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["fingerprint", "found", "part", "number"]), inner)
    ),
)


@given(content=ANY_JSON)
def test_whatever_a_file_holds_is_a_memo_or_none(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("memo") / "memo.json"
    path.write_text(json.dumps(content))
    for memo in (Memo(path), Memo(path, part="part"), *memos_in(path)):
        read = memo.read()
        assert read is None or isinstance(read[memo.key], str)
        assert memo.record("found", Found) is None or isinstance(memo.record("found", Found), Found)


@pytest.mark.parametrize("data", [b"", b"{", b"\xff\xfe", b"[1]", b"[" * 100_000])
def test_a_damaged_file_is_no_memo(tmp_path, data):
    path = tmp_path / "memo.json"
    path.write_bytes(data)
    assert Memo(path).read() is None
    assert memos_in(path) == ()


def record(**changes):
    given = {
        "asked": {"benches": ["pope"], "data": "tinyworld"},
        "inputs": {"data:pope": "1", "bench:pope": "2", "method": "3"},
    }
    return RunRecord(**{**given, **changes})


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"options": {"beta": 0.1}, "measured": {"model": "m", "engine": "1"}},
        {"imported": {"lmms-z": {"b": True, "a": None}}, "source": "lmms-eval 0.7"},
        {"seeds": ("seva-1", "seva-2")},
    ],
)
def test_a_run_record_reads_back(tmp_path, changes):
    given = record(**changes)
    given.write(tmp_path)
    read = RunRecord.read(tmp_path)
    assert read == given
    assert read.data == {"pope": "1"}
    assert [list(metrics) for metrics in read.imported.values()] == [
        list(metrics) for metrics in given.imported.values()
    ], "the headline is the first metric"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"asked": {}, "inputs": []}',
        '{"asked": [], "inputs": {}}',
        '{"asked": {}, "inputs": {}, "imported": []}',
        '{"asked": {}, "inputs": {}, "seeds": 3}',
        '{"asked": {}, "inputs": {}, "version": "x"}',
        '{"asked": {}, "inputs": {}, "version": 99}',
    ],
)
def test_a_damaged_run_record_is_told_in_a_paragraph(tmp_path, content):
    (tmp_path / "settings.json").write_text(content)
    with pytest.raises(HarnessError, match=r"settings\.json (is damaged|was written by a later)"):
        RunRecord.read(tmp_path)
