"""The manifest of a run folder: every record that is not as it was written is named."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import pytest

from harness.report import note_records
from harness.storage import (
    MANIFEST,
    changed_records,
    manifest_text,
    reopen,
    write_manifest,
)


@pytest.fixture
def folder(tmp_path):
    for name in ("settings.json", "after/pope.jsonl", "images/a.webp", "checkpoint/curves.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "checkpoint" / "adapter").mkdir()
    (tmp_path / "checkpoint" / "adapter" / "adapter_config.json").write_text("{}")
    for name in (".lock", "report.md", "own.json"):
        (tmp_path / name).write_text("no record")
    write_manifest(tmp_path, besides=[tmp_path / "own.json"])
    return tmp_path


def test_it_names_the_records_with_size_and_hash_and_neither_weights_nor_reports(folder):
    members = json.loads((folder / MANIFEST).read_text())["members"]
    names = ["after/pope.jsonl", "checkpoint/curves.jsonl", "images/a.webp", "settings.json"]
    assert list(members) == names
    for name in names:
        digest = hashlib.sha256(name.encode()).hexdigest()
        assert members[name] == {"bytes": len(name), "sha256": digest}
    assert changed_records(folder) == ()


def test_a_changed_a_missing_and_an_added_record_are_named(folder):
    (folder / "settings.json").write_text("settings.jsom")
    (folder / "after" / "pope.jsonl").unlink()
    (folder / "own.json").write_text("written anew")
    for name in ("after/new.jsonl", "judged/after/pope.jsonl", "seeds/1/after/pope.jsonl"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("of somebody")
    (folder / "pair_report.json").write_text("{}")
    assert changed_records(folder) == (
        "after/pope.jsonl is missing",
        "settings.json has changed",
        "after/new.jsonl was added",
        "judged/after/pope.jsonl was added",
        "pair_report.json was added",
        "seeds/1/after/pope.jsonl was added",
    )


def test_reports_notes_and_what_lies_beside_weights_may_be_added(folder):
    for name in ("mine.json", "junit.xml", "gate/comparison.json", "judged/.x.jsonl.71", "a.jsonl"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("{}")
    (folder / "checkpoint" / "adapter" / "README.json").write_text("{}")
    assert changed_records(folder) == ()


def test_a_folder_may_be_taken_out_as_a_whole(folder):
    shutil.rmtree(folder / "images")
    shutil.rmtree(folder / "checkpoint")
    assert changed_records(folder) == ()


def test_a_folder_may_move_to_another_disk(folder, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    for name in ("checkpoint", "after"):
        shutil.move(folder / name, scratch / name)
        (folder / name).symlink_to(scratch / name)
    (told,) = changed_records(folder)
    assert told.startswith("after/pope.jsonl cannot be read"), "rows lie in the folder itself"


def test_a_run_that_is_at_work_again_is_held_against_nothing(folder):
    finished = (folder / MANIFEST).read_bytes()
    reopen(folder, "settings.json")
    assert (folder / MANIFEST).read_bytes() == finished
    (folder / "settings.json").write_text("of other settings")
    reopen(folder, "settings.json")
    (folder / "after" / "new.jsonl").write_text("not finished")
    assert changed_records(folder) == ()
    write_manifest(folder)
    (folder / "after" / "new.jsonl").unlink()
    assert changed_records(folder) == ("after/new.jsonl is missing",)
    reopen(folder)
    assert changed_records(folder) == (), "judged rows are written, whatever was written before"


def test_receipts_of_trackers_are_no_records(folder):
    (folder / "wandb.json").write_text("offline")
    before = (folder / MANIFEST).read_bytes()
    note_records(folder)
    assert (folder / MANIFEST).read_bytes() == before, "a run without a result is not finished"
    (folder / "comparison.json").write_text("{}")
    (folder / "settings.json").write_text("of a later call")
    note_records(folder)
    (folder / "wandb.json").write_text("sent")
    assert changed_records(folder) == ()
    (folder / "comparison.json").write_text("[]")
    assert changed_records(folder) == ("comparison.json has changed",)


def test_a_bundle_may_be_unpacked_by_hand(folder):
    members = json.loads((folder / MANIFEST).read_text())["members"]
    (folder / MANIFEST).write_text(manifest_text(members, made_by="vlm-harness 0.1.0"))
    assert changed_records(folder) == ()


def test_a_manifest_that_is_gone_is_noticed_where_the_result_was_written_with_one(folder):
    result = folder / "comparison.json"
    (folder / MANIFEST).unlink()
    for written in (None, {"run": {}}, {"run": []}, [], {"run": {"manifest": ""}}):
        result.write_text(json.dumps(written))
        assert changed_records(folder) == (), written  # of an earlier version, or no result
    result.write_text(json.dumps({"run": {"manifest": MANIFEST}}))
    assert changed_records(folder) == (f"{MANIFEST} is missing, so the run is incomplete",)
    reopen(folder)
    assert not (folder / MANIFEST).exists(), "a second call does not make it whole"


def test_a_link_in_the_place_of_the_manifest_is_noticed(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "other.json"
    shutil.move(folder / MANIFEST, elsewhere)
    (folder / MANIFEST).symlink_to(elsewhere)
    for _ in ("its own members", "nothing"):
        (told,) = changed_records(folder)
        assert told.startswith(f"{MANIFEST} cannot be read: it is a link out of")
        elsewhere.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version": 1', '"version": 2'),
        ('"version"', '"versiom"'),
        ('"members"', '"member"'),
        ("\n  ", "\n\t "),
        ('"bytes": 13', '"bytes": 14'),
        ('"bytes"', '"byte"'),
        ('"settings.json"', '"../settings.json"'),
        ('"settings.json"', '"/etc/hostname"'),
        ('"settings.json"', '"a\\u0000b"'),
        ('"members": {', '"members": [[1, 2]], "n": {'),
        ("{", "[" * 9999),
        ("{", "\udcff"),
    ],
)
def test_any_edit_of_the_manifest_is_told(folder, old, new):
    text = (folder / MANIFEST).read_text()
    assert old in text
    edited = text.replace(old, new, 1).encode(errors="surrogateescape")
    (folder / MANIFEST).write_bytes(edited)
    assert changed_records(folder)


def test_a_pipe_in_the_place_of_a_record_or_of_the_manifest_ends_at_once(folder):
    (folder / "settings.json").unlink()
    os.mkfifo(folder / "settings.json")
    assert changed_records(folder) == ("settings.json cannot be read: it is no regular file",)
    (folder / MANIFEST).unlink()
    os.mkfifo(folder / MANIFEST)
    assert changed_records(folder) == (f"{MANIFEST} cannot be read: it is no regular file",)


def test_what_lies_elsewhere_is_not_noted(folder, tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    shutil.move(folder / "checkpoint", scratch / "checkpoint")
    (folder / "checkpoint").symlink_to(scratch / "checkpoint")
    write_manifest(folder)
    assert "checkpoint/curves.jsonl" not in (folder / MANIFEST).read_text()
    assert changed_records(folder) == ()
