"""A mirror is what was fetched, byte for byte, and runs on different data are not compared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner
from harness_tinyworld import DATA

from harness.cli.data import data as data_commands
from harness.data import describe, mirror, same_data, verify
from harness.data.sources import MANIFEST
from harness.errors import HarnessError, UsageError
from harness.plugins import load
from harness.records import Sample

CALLS: list[tuple[str, str | None]] = []


def from_here(name: str, revision: str | None, folder: Path) -> str:
    """Stand in for the hub: the shipped miniatures, at a commit."""
    CALLS.append((name, revision))
    shutil.copytree(DATA / name.rsplit("/", 1)[-1], folder, dirs_exist_ok=True)
    return revision or "abc123"


@pytest.fixture(autouse=True)
def hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("harness.data.sources._from_hub", from_here)
    CALLS.clear()


@pytest.fixture
def there(tmp_path: Path) -> Path:
    mirror([load("benchmarks", "mme"), load("benchmarks", "gqa")], tmp_path)
    return tmp_path


def test_a_mirror_holds_every_file_with_its_hash(there: Path) -> None:
    entries = {entry.dataset: entry for entry in verify(there)}
    assert set(entries) == {"lmms-lab-encoder/MME", "lmms-lab-encoder/GQA"}
    files = entries["lmms-lab-encoder/GQA"].files
    assert set(files) == {
        "README.md",
        "testdev_balanced_images/testdev-00000-of-00001.parquet",
        "testdev_balanced_instructions/testdev-00000-of-00001.parquet",
    }
    card = DATA / "GQA" / "README.md"
    assert files["README.md"][0] == card.stat().st_size
    shown = json.loads((there / MANIFEST).read_text())
    assert shown["datasets"]["MME"]["revision"] == "abc123"


def test_a_mirror_does_not_move_by_itself(there: Path) -> None:
    mme = load("benchmarks", "mme")
    mirror([mme, mme], there)
    assert CALLS[2:] == [("lmms-lab-encoder/MME", "abc123")]
    assert {entry.revision for entry in verify(there)} == {"abc123"}


def test_damage_is_named(there: Path) -> None:
    card = there / "MME" / "README.md"
    card.write_text("changed")
    (there / "GQA" / "README.md").unlink()
    (there / "GQA" / "more.txt").write_text("x")
    with pytest.raises(HarnessError) as caught:
        verify(there)
    for part in (
        "MME/README.md has changed",
        "GQA/README.md is missing",
        "GQA/more.txt is not in the manifest",
        "harness data mirror",
    ):
        assert part in str(caught.value)


def test_a_folder_without_a_manifest_is_no_mirror(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a mirror"):
        verify(tmp_path)
    (tmp_path / MANIFEST).write_text('{"datasets": {"MME": 3}}')
    with pytest.raises(UsageError, match="is not a mirror"):
        verify(tmp_path)


def test_what_the_hub_has_not_must_be_fetched_by_hand(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be mirrored"):
        mirror([load("benchmarks", "mmhal")], tmp_path)
    own, hub = describe(load("benchmarks", "mmhal")), describe(load("benchmarks", "mme"))
    assert (own.dataset, own.folder) == (None, "MMHal-Bench")
    assert own.advice == "harness data convert mmhal FOLDER --out DIR"
    assert own.holds == "96 rows, 96 images"
    assert "response_template.json" in own.fetch[0]
    assert "Apache-2.0" in own.licence
    assert (hub.dataset, hub.folder) == ("lmms-lab-encoder/MME", "MME")
    assert "harness data mirror --bench mme" in hub.advice


def test_of_a_suite_what_the_hub_has_is_fetched_and_the_rest_is_named(tmp_path: Path) -> None:
    words = ["mirror", "--bench", "mmhal,mme,shr,gqa", str(tmp_path)]
    done = CliRunner().invoke(data_commands, words)
    assert [name for name, _ in CALLS] == ["lmms-lab-encoder/MME", "lmms-lab-encoder/GQA"]
    assert "lmms-lab-encoder/GQA at abc123: 3 files" in done.output
    assert isinstance(done.exception, UsageError)
    assert str(done.exception).startswith("The data of mmhal, shr cannot be mirrored")
    assert "harness data describe --bench mmhal,shr" in str(done.exception)
    assert len(verify(tmp_path)) == 2


def test_a_hub_that_cannot_be_reached_is_the_users_business(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(name: str, revision: str | None, folder: Path) -> str:
        raise ConnectionError("no route to host")

    monkeypatch.setattr("harness.data.sources._from_hub", gone)
    with pytest.raises(UsageError, match=r"cannot be fetched.*no route to host"):
        mirror([load("benchmarks", "mme")], tmp_path)


def sample(row: str, content: str) -> Sample:
    return Sample(row, content, "", "", "", "yes", 1, "stop")


def test_runs_on_different_data_are_not_compared() -> None:
    one = [sample("0", "a"), sample("1", "b"), sample("2", "c")]
    two = [sample("0", "a"), sample("1", "x"), sample("3", "d")]
    same_data("pope", one, one, ("f", "f"))
    with pytest.raises(HarnessError) as caught:
        same_data("pope", one, two, ("f", "g"))
    for part in ("row 1 has changed", "row 2 is only in the first", "row 3 is only in the second"):
        assert part in str(caught.value)
    with pytest.raises(HarnessError, match="row 1 has changed"):
        same_data("pope", one, two, ("f", "f"))
    with pytest.raises(HarnessError, match="all rows that were asked are equal"):
        same_data("pope", one, one, ("f", "g"))


def test_fewer_rows_of_the_same_data_are_left_to_the_join() -> None:
    same_data("pope", [sample("0", "a")], [sample("0", "a"), sample("1", "b")], ("f", "f"))
