"""What a container or a batch job may still take, read from the files of Linux's control groups."""

import os
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from harness.engine.memory import group_left, unused

GB = 1 << 30
REAL = Path("/sys/fs/cgroup/memory")


def group(folder: Path, names: tuple[str, str, str], limit: object, used: int, cached: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {cached}\nslab 7\n")


V2 = ("memory.max", "memory.current", "inactive_file")
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def named(tmp_path: Path, text: str) -> Path:
    own = tmp_path / "own"
    own.write_text(text)
    return own


def test_the_tightest_group_above_a_process_counts(tmp_path):
    group(tmp_path / "job", V2, 8 * GB, 6 * GB, 1 * GB)  # 3 GB left
    group(tmp_path / "job" / "step", V2, 5 * GB, 1 * GB, 0)  # 4 GB left
    assert group_left(tmp_path, named(tmp_path, "0::/job/step\n")) == 3 * GB


@pytest.mark.parametrize("error", [ValueError("unrecognized configuration name"), AttributeError()])
def test_a_system_that_does_not_say_what_is_free_has_some(monkeypatch, error):
    """As macOS, which has no such number, and Windows, which has no such call."""

    def refused(name):
        raise error

    monkeypatch.setattr(os, "sysconf", refused)
    assert 0 < unused() <= 2 * GB


def test_without_a_limit_there_is_none(tmp_path):
    group(tmp_path / "job", V2, "max", 6 * GB, 0)
    assert group_left(tmp_path, named(tmp_path, "0::/job\n")) is None
    assert group_left(tmp_path, tmp_path / "absent") is None


def test_a_container_sees_its_own_group_as_the_root(tmp_path):
    group(tmp_path, V2, 4 * GB, 3 * GB, 0)
    assert group_left(tmp_path, named(tmp_path, "0::/docker/1f0e\n")) == 1 * GB


def test_version_one_has_a_tree_for_memory(tmp_path):
    group(tmp_path / "memory" / "job", V1, 4 * GB, 5 * GB, 0)  # above its limit: nothing is left
    text = "5:cpu,cpuacct:/job\n4:memory:/job\n0::/\n"
    assert group_left(tmp_path, named(tmp_path, text)) == 0


@pytest.mark.skipif(not os.access(REAL, os.W_OK), reason="control groups cannot be made here")
def test_a_real_limit_is_found():
    folder = REAL / f"harness-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir()
        (folder / "memory.limit_in_bytes").write_text(str(GB))
    except OSError:
        pytest.skip("control groups cannot be made here")
    code = (
        f"from pathlib import Path; Path({str(folder / 'cgroup.procs')!r}).write_text('0'); "
        "from harness.engine.memory import available, unused; print(available(), unused())"
    )
    try:
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert [0 < int(word) <= GB for word in done.stdout.split()] == [True, True], done.stderr
    finally:
        folder.rmdir()
