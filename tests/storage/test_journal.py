from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from harness.errors import HarnessError
from harness.records import Prompt
from harness.storage import (
    Journal,
    disk_is_full,
    files_digest,
    folder_digest,
    journal_of,
    locked,
    write_whole,
)


def rows(count: int) -> list[Prompt]:
    return [Prompt(str(n), Path("x.png"), f"question {n} é\n") for n in range(count)]


def filled(path: Path, count: int = 4) -> bytes:
    journal = journal_of(path, "f1", Prompt)
    journal.append(*rows(2))
    journal.append(*rows(count)[2:])
    journal.finish()
    return path.read_bytes()


def test_a_journal_torn_at_any_byte_is_continued_to_the_same_file(tmp_path):
    whole = filled(tmp_path / "whole.jsonl")
    torn = tmp_path / "torn.jsonl"
    for cut in range(len(whole)):
        torn.write_bytes(whole[:cut])
        journal = journal_of(torn, "f1", Prompt)
        assert not journal.complete
        assert journal.rows == rows(4)[: len(journal.rows)]
        journal.append(*rows(4)[len(journal.rows) :])
        journal.finish()
        assert torn.read_bytes() == whole


def test_a_complete_journal_is_read_and_left_alone(tmp_path):
    whole = filled(tmp_path / "j.jsonl")
    journal = journal_of(tmp_path / "j.jsonl", "f1", Prompt)
    assert journal.complete
    assert journal.rows == rows(4)
    journal.finish()
    assert (tmp_path / "j.jsonl").read_bytes() == whole


def test_another_fingerprint_begins_anew(tmp_path):
    filled(tmp_path / "j.jsonl")
    journal = journal_of(tmp_path / "j.jsonl", "f2", Prompt)
    assert journal.rows == []
    journal.append(rows(1)[0])
    again = journal_of(tmp_path / "j.jsonl", "f2", Prompt)
    assert again.rows == rows(1)
    assert not again.complete


def test_half_a_surrogate_pair_from_a_server_is_kept(tmp_path):
    odd = Prompt("1", Path("x.png"), "half \ud83d")
    journal = journal_of(tmp_path / "j.jsonl", "f1", Prompt)
    journal.append(odd)
    assert journal_of(tmp_path / "j.jsonl", "f1", Prompt).rows == [odd]
    assert write_whole(tmp_path / "t.md", odd.question).read_text() == "half \\ud83d"


def test_garbage_in_the_middle_ends_the_valid_part(tmp_path):
    whole = filled(tmp_path / "j.jsonl").splitlines(keepends=True)
    (tmp_path / "j.jsonl").write_bytes(whole[0] + whole[1] + b"{broken\n" + b"".join(whole[2:]))
    assert journal_of(tmp_path / "j.jsonl", "f1", Prompt).rows == rows(1)


def test_forgetting_rows_reopens_the_journal(tmp_path):
    filled(tmp_path / "j.jsonl")
    journal = journal_of(tmp_path / "j.jsonl", "f1", Prompt)
    journal.forget(3)
    assert not journal.complete
    journal.append(rows(4)[3])
    journal.finish()
    assert journal_of(tmp_path / "j.jsonl", "f1", Prompt).rows == rows(4)


def test_a_process_that_foreign_code_forked_writes_nothing_and_ends(tmp_path):
    journal = journal_of(tmp_path / "j.jsonl", "f1", Prompt)
    journal.append(*rows(2))
    child = os.fork()
    journal.append(*rows(4)[2:])
    if child == 0:
        os._exit(7)  # it must not come this far
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    journal.finish()
    assert (tmp_path / "j.jsonl").read_bytes() == filled(tmp_path / "whole.jsonl")


def test_a_full_disk_is_one_paragraph_and_loses_nothing(tmp_path):
    path = tmp_path / "j.jsonl"
    journal = journal_of(path, "f1", Prompt)
    journal.append(*rows(2))
    size = path.stat().st_size
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 10, hard))
    try:
        with pytest.raises(HarnessError, match=r"j\.jsonl"):
            journal.append(*rows(4)[2:])
        with pytest.raises(HarnessError, match=r"big\.txt"):
            write_whole(tmp_path / "big.txt", "x" * (size + 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == ["j.jsonl"]
    again = journal_of(path, "f1", Prompt)
    assert again.rows == rows(2)
    again.append(*rows(4)[2:])
    assert journal_of(path, "f1", Prompt).rows == rows(4)


_HOLDER = """
import sys, time
from pathlib import Path
from harness.storage import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(100)
"""


def test_a_run_folder_has_one_process_and_is_free_when_that_is_killed(tmp_path):
    folder = tmp_path / "run"
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(folder)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HarnessError, match=r"Another process is at work in .*run\. Wait"):
            locked(folder).__enter__()
    finally:
        holder.kill()
        holder.wait()
    with locked(folder), pytest.raises(HarnessError, match="Another process"):
        locked(folder).__enter__()
    with locked(folder) as again:
        assert again == folder


def test_a_digest_sees_names_and_bytes_and_no_times(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_text("1")
    b.write_text("2")
    first = files_digest(tmp_path, [a, b])
    assert files_digest(tmp_path, [b, a]) == first == folder_digest(tmp_path)
    a.write_text("1")
    assert folder_digest(tmp_path) == first
    a.write_text("3")
    assert folder_digest(tmp_path) != first
    a.write_text("1")
    (tmp_path / ".cache" / "hub").mkdir(parents=True)
    (tmp_path / ".cache" / "hub" / "a.metadata").write_text("when it was fetched")
    assert folder_digest(tmp_path) == first
    a.rename(tmp_path / "c")
    assert folder_digest(tmp_path) != first


def test_only_a_file_is_replaced_by_a_file(tmp_path):
    (tmp_path / "link").symlink_to("/dev/null")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "pipe"):
        with pytest.raises(HarnessError, match=f"{name} cannot be written: it is no regular file"):
            write_whole(tmp_path / name, "text")
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "pipe"]
    write_whole(tmp_path / "file", "old")
    assert write_whole(tmp_path / "file", "new").read_text() == "new"


@pytest.mark.parametrize("what", ["a folder", "a device"])
def test_a_journal_that_is_no_file_is_one_sentence(tmp_path, what):
    path = tmp_path / "rows.jsonl"
    if what == "a folder":
        path.mkdir()
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(HarnessError, match=r"rows\.jsonl cannot be read: .*Move it away"):
        Journal(path, "print", dict)


def test_a_library_that_says_in_words_that_a_disk_is_full():
    assert disk_is_full(RuntimeError("I/O error: File too large (os error 27)"))
    assert disk_is_full(OSError(errno.EDQUOT, "quota"))
    assert not disk_is_full(RuntimeError("I/O error: Permission denied (os error 13)"))
