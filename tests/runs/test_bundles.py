"""Bundles hold what a sceptic needs, nothing private, and cannot be bent unnoticed."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import shlex
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.benchmark import benchmark
from harness.context import Context, Plan
from harness.errors import ExitCode, HarnessError, UsageError
from harness.progress import Reporter, showing
from harness.records import Sample
from harness.run import run as run_all
from harness.runs import (
    bundle,
    compare_runs,
    open_evidence,
    open_run,
    take_before,
    taken_in,
    verify,
)
from harness.runs.bundles import MANIFEST
from harness.runs.redact import cleaned, without_paths
from harness.runs.verification import DIFFERS, UNKNOWN
from harness.settings import Settings
from harness.storage import journal_of, read_journal, reopen, sealed, write_manifest
from tests.support.command import harness
from tests.support.contexts import run_context
from tests.support.finished import mmvet, pope, write_run


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    return write_run(
        tmp_path_factory.mktemp("runs") / "seva-tinyworld-1a2b3c4d",
        {"pope": pope(right=0.6), "mmvet": mmvet(right=0.4)},
        {"pope": pope(right=0.8, seed=3), "mmvet": mmvet(right=0.5, seed=4)},
    )


@pytest.mark.parametrize("out", ["", "/", ".."])
def test_a_folder_is_no_place_for_a_bundle(run, out):
    with pytest.raises(UsageError, match=r"is a folder. Name a file, as in --out .*run\.zip"):
        bundle(run, Path(out))


def test_a_device_or_a_pipe_is_not_replaced_by_a_bundle(run, tmp_path):
    """As root, rename() would take the place of /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(HarnessError, match=r"pipe cannot be written: it is no regular file"):
        bundle(run, tmp_path / "pipe")
    assert [path.name for path in tmp_path.iterdir() if path.is_fifo()] == ["pipe"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_bundle_on_a_read_only_disk_is_one_sentence(run, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    words = [sys.executable, "-m", "harness", "bundle", str(run), "--out", str(place / "run.zip")]
    mounted = f"mount -t tmpfs -o ro none {place} || exit 99; exec {shlex.join(words)}"
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", mounted], capture_output=True, text=True, check=False
    )
    if done.returncode == 99 or "unshare" in done.stderr:
        pytest.skip("nothing can be mounted here")
    assert done.returncode == ExitCode.FAILED
    assert "run.zip cannot be written: Read-only file system. Check" in " ".join(
        done.stderr.split()
    )


@pytest.fixture(scope="module")
def packed(run, tmp_path_factory) -> Path:
    return bundle(run, tmp_path_factory.mktemp("bundles") / "seva.zip").path


def rewritten(
    packed: Path, out: Path, changes: dict[str, Callable[[str], str]], *, rehash: bool
) -> Path:
    """Change members; with ``rehash`` the manifest is made to agree, as a forger would."""
    with zipfile.ZipFile(packed) as file:
        members = {name: file.read(name).decode() for name in file.namelist()}
    for name, change in changes.items():
        changed = change(members[name])
        assert changed != members[name], name
        members[name] = changed
        if name.endswith(".jsonl"):  # its last line is mended too
            members[name] = sealed(changed.encode()).decode()
    if rehash:
        manifest = json.loads(members[MANIFEST])
        for name in changes:
            data = members[name].encode()
            digest = hashlib.sha256(data).hexdigest()
            manifest["members"][name] = {"bytes": len(data), "sha256": digest}
        members[MANIFEST] = json.dumps(manifest)
    with zipfile.ZipFile(out, "w") as file:
        for name, text in members.items():
            file.writestr(name, text)
    return out


def test_a_bundle_opens_like_the_run_it_was_made_of(run, packed):
    first, second = open_run(run), open_evidence(packed)
    assert second.folder == packed
    assert (second.before, second.after, second.data) == (first.before, first.after, first.data)
    assert second.report.comparison == first.report.comparison
    assert open_evidence(run) == first
    assert compare_runs(second, first).comparison.verdict == "no change"


def test_the_same_run_gives_the_same_bytes(run, tmp_path):
    one = bundle(run, tmp_path / "one.zip")
    for path in run.rglob("*.jsonl"):
        os.utime(path, (1, 1))
    two = bundle(run, tmp_path / "two.zip")
    assert (
        one.digest == two.digest == hashlib.sha256((tmp_path / "one.zip").read_bytes()).hexdigest()
    )


def test_no_weights_no_reports_and_nothing_of_this_machine(run, packed):
    with zipfile.ZipFile(packed) as file:
        assert (
            sorted(file.namelist())
            == file.namelist()
            == [
                "after/mmvet.jsonl",
                "after/pope.jsonl",
                "before/mmvet.jsonl",
                "before/pope.jsonl",
                "checkpoint/curves.jsonl",
                "comparison.json",
                MANIFEST,
                "pairs.jsonl",
                "settings.json",
                "training.json",
                "versions.json",
            ]
        )
        texts = {name: file.read(name).decode() for name in file.namelist()}
    for name, text in texts.items():
        for private in (str(run.parent), "/home", "jane", "secret", str(Path.cwd())):
            assert private not in text, (name, private)
    pair = json.loads(texts["pairs.jsonl"].splitlines()[1])
    assert pair["prompt"]["image"] == "0.png"
    said = json.loads(texts["pairs.jsonl"].splitlines()[3])
    assert said["chosen"] == "Look in /usr/share/dict, cat\u2028or dog."  # not ours to change
    assert json.loads(texts["settings.json"])["asked"]["model"] == "llava-1.5-7b-hf"


def test_pictures_only_when_asked_for(run, tmp_path):
    folder = run / "images"
    folder.mkdir()
    (folder / "image0.webp").write_bytes(b"RIFF")
    try:
        names = []
        for images in (False, True):
            with zipfile.ZipFile(bundle(run, tmp_path / "b.zip", images=images).path) as file:
                names.append(set(file.namelist()))
        assert names[1] - names[0] == {"images/image0.webp"}
    finally:
        (folder / "image0.webp").unlink()
        folder.rmdir()


@pytest.mark.parametrize(
    ("secret", "named"),
    [
        ("sk-proj-" + "a1B2" * 6, "OpenAI"),
        ("hf_" + "x" * 30, "hub"),
        ("hunter2hunter2", r"\$MY_TOKEN"),
    ],
)
def test_a_key_is_never_packed(run, tmp_path, monkeypatch, secret, named):
    monkeypatch.setenv("MY_TOKEN", "hunter2hunter2")
    copy = write_run(tmp_path / "run", {"mmvet": mmvet()}, {"mmvet": mmvet(right=0.6, seed=5)})
    (copy / "judging.json").write_text(json.dumps({"error": f"401 for {secret}"}))
    with pytest.raises(HarnessError, match=named):
        bundle(copy, tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("/home/jane doe/x.png", "x.png"),
        ("C:\\Users\\jane\\x.png", "x.png"),
        ("cannot read /data/jane/x.png (No such file)", "cannot read x.png (No such file)"),
        ("file:///data/jane/x.png", "x.png"),
        ("['/data/jane/a.json', 'b']", "['a.json', 'b']"),
        ("see https://judge.example/v1/chat", "see https://judge.example/v1/chat"),
        ("https://me:pw@judge.example/v1", "https://judge.example/v1"),
        ("yes/no or 3/4", "yes/no or 3/4"),
        ("llava-hf/llava-1.5-7b-hf", "llava-hf/llava-1.5-7b-hf"),
    ],
)
def test_paths_are_cut_to_their_names(text, kept):
    assert without_paths(text) == kept


def test_categories_and_units_of_the_data_may_look_like_paths(tmp_path):
    """OpenImages calls a category "/m/04yx4"; cut to its name, rows no longer gave the figures."""
    row = {"groups": {"kind": "/m/04yx4"}, "units": {"f1": "/a/1.png"}, "image": "/a/1.png"}
    (tmp_path / "a.jsonl").write_text(json.dumps(row) + "\n")
    assert json.loads(cleaned(tmp_path / "a.jsonl", tmp_path)) == {**row, "image": "1.png"}


@given(st.lists(st.from_regex(r"[a-z][a-z0-9_.-]{2,8}", fullmatch=True), min_size=2, max_size=5))
def test_no_folder_of_a_path_survives(parts):
    path = "/" + "/".join(f"dir-{part}" for part in parts)
    for text in (path, f"in {path} now", f"['{path}']", f'"{path}":3'):
        assert "/" not in without_paths(text)


def test_an_honest_run_and_bundle_verify(run, packed):
    for path in (run, packed):
        found = verify(path)
        assert found.passed, [check for check in found.checks if check.details]
        assert found.rows == 2 * (90 + 60)
    columns = {check.part for check in found.checks if check.benchmark == "pope"}
    assert columns >= {"accuracy", "f1", "says yes", "flips", "groups", "rows and lengths"}


def test_one_changed_score_is_found_by_its_hash_and_by_what_follows(packed, tmp_path):
    def flip(text: str) -> str:
        lines = text.split("\n")
        row = json.loads(lines[5])
        row["scores"]["strict"] = 1 - row["scores"]["strict"]
        return "\n".join([*lines[:5], json.dumps(row), *lines[6:]])

    bent = rewritten(packed, tmp_path / "bent.zip", {"after/pope.jsonl": flip}, rehash=False)
    found = verify(bent)
    assert not found.passed
    assert found.changed == ("after/pope.jsonl has changed",)
    wrong = {(check.benchmark, check.part) for check in found.checks if check.outcome == DIFFERS}
    assert ("pope", "accuracy") in wrong
    assert ("pope", "flips") in wrong
    assert ("mmvet", "flips") not in wrong  # only the correction of mmvet's p hangs on pope
    assert any("row 4" in line for check in found.checks for line in check.details)
    with pytest.raises(HarnessError, match=r"after/pope.jsonl has changed"):
        open_evidence(bent)


@pytest.mark.parametrize(
    ("change", "part", "told"),
    [
        (
            lambda c: c["benchmarks"][1]["figures"][0].update(verdict="gain", p=0.001),
            "score",
            "p is",
        ),
        (
            lambda c: c["benchmarks"][0]["figures"][1].update(after=99.0),
            "f1",
            "after is recorded as 99",
        ),
        (lambda c: c["benchmarks"][0]["flips"].pop(), "flips", "is not recorded"),
        (lambda c: c.update(verdict="loss"), "verdict", 'recorded as "loss"'),
        (
            lambda c: c["benchmarks"][0]["length"].update(after=1.0),
            "rows and lengths",
            "length after",
        ),
        (lambda c: c["benchmarks"][0]["notes"].clear(), "rows and lengths", "lacks the note"),
    ],
)
def test_a_forger_who_mends_the_hashes_is_found_by_the_rows(packed, tmp_path, change, part, told):
    def forge(text: str) -> str:
        content = json.loads(text)
        change(content["comparison"])
        return json.dumps(content)

    forged = rewritten(packed, tmp_path / "forged.zip", {"comparison.json": forge}, rehash=True)
    with pytest.raises(HarnessError, match=r"does not follow from its own rows"):
        open_evidence(forged)  # its hashes agree
    found = verify(forged)
    assert found.changed == ()
    wrong = [check for check in found.checks if check.outcome != "ok"]
    assert [check.part for check in wrong] == [part]
    assert any(told in line for line in wrong[0].details), wrong


def test_pairs_that_were_taken_out_are_missed(packed, tmp_path):
    def shorter(text: str) -> str:
        lines = text.split("\n")
        return "\n".join([*lines[:1], *lines[2:]])

    forged = rewritten(packed, tmp_path / "forged.zip", {"pairs.jsonl": shorter}, rehash=True)
    (wrong,) = (check for check in verify(forged).checks if check.outcome != "ok")
    assert wrong.details[-1] == "pairs is recorded as 2, and the rows give 1"


def test_a_benchmark_that_is_not_installed_here_is_no_pass(packed, tmp_path):
    def renamed(text: str) -> str:
        return text.replace('"mmvet"', '"nobodys"').replace("data:mmvet", "data:nobodys")

    with zipfile.ZipFile(packed) as file, zipfile.ZipFile(tmp_path / "b.zip", "w") as out:
        for name in file.namelist():
            text = file.read(name).decode()
            out.writestr(name.replace("mmvet", "nobodys"), renamed(text))
    found = verify(tmp_path / "b.zip")
    assert not found.passed
    assert [c.benchmark for c in found.checks if c.outcome == UNKNOWN] == ["nobodys"]
    assert [c.part for c in found.checks if c.benchmark == "pope" and c.outcome == "ok"]


@pytest.mark.parametrize("name", ["../evil.json", "/etc/evil", "a/../../evil", "C:\\evil", "a\\b"])
def test_members_that_point_outside_are_refused(packed, tmp_path, name):
    copy = tmp_path / "evil.zip"
    copy.write_bytes(packed.read_bytes())
    with zipfile.ZipFile(copy, "a") as file:
        file.writestr(name, "evil")
    with pytest.raises(HarnessError, match="strange members"):
        open_evidence(copy)
    assert not (tmp_path.parent / "evil.json").exists()


def test_a_benchmark_cannot_be_named_after_a_place_outside(packed, tmp_path):
    def renamed(text: str) -> str:
        return text.replace('"mmvet"', '"../mmvet"').replace("data:mmvet", "data:../mmvet")

    changes = {"comparison.json": renamed, "settings.json": renamed}
    evil = rewritten(packed, tmp_path / "evil.zip", changes, rehash=True)
    with pytest.raises(HarnessError, match="not a plain name"):
        open_evidence(evil)


def test_what_is_no_bundle_is_said_plainly(packed, tmp_path):
    with pytest.raises(UsageError, match="no run folder or bundle"):
        open_evidence(tmp_path / "none.zip")
    (tmp_path / "torn.zip").write_bytes(packed.read_bytes()[:-200])
    with pytest.raises(HarnessError, match="is not a bundle"):
        open_evidence(tmp_path / "torn.zip")
    data = bytearray(packed.read_bytes())
    data[100:110] = b"0123456789"
    (tmp_path / "bent.zip").write_bytes(data)
    with pytest.raises(HarnessError, match="is not a bundle"):
        open_evidence(tmp_path / "bent.zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    with pytest.raises(HarnessError, match=r"it lacks comparison\.json"):
        verify(tmp_path / "empty.zip")


def test_a_member_that_claims_to_be_huge_is_not_unpacked(packed, tmp_path):
    copy = tmp_path / "bomb.zip"
    copy.write_bytes(packed.read_bytes())
    with zipfile.ZipFile(copy, "a", zipfile.ZIP_DEFLATED) as file:
        file.writestr("small.json", "x")
        file.filelist[-1].file_size = 3 << 30
        file._didModify = True
    with pytest.raises(HarnessError, match="more than 2 GiB"):
        open_evidence(copy)


def test_the_commands_need_neither_torch_nor_lmms_eval(run, tmp_path):
    code = (
        "import sys; from harness.cli import app\n"
        f"assert not app(['bundle', {str(run)!r}, '--out', 'b.zip'], standalone_mode=False)\n"
        "assert app(['verify', 'b.zip'], standalone_mode=False) == 0\n"
        "print(sorted({'torch', 'lmms_eval', 'transformers', 'datasets'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    assert "pope accuracy" in done.stdout


def test_the_exit_code_tells(packed, tmp_path):
    bent = rewritten(
        packed, tmp_path / "bent.zip", {"versions.json": lambda t: t + " "}, rehash=False
    )
    for path, code in ((packed, 0), (bent, 1)):
        done = harness("verify", path, "--json")
        assert done.returncode == code
        assert json.loads(done.stdout)["passed"] is (code == 0)


def wanting(folder: Path, baseline: Path | None = None) -> Context[Plan]:
    """Return what a run of three benchmarks works on."""
    found = [benchmark(name) for name in ("pope", "mmvet", "chair")]
    store = folder.parent / "store.sqlite"
    return run_context(folder, benchmarks=found, baseline=baseline, store=store)


@pytest.fixture
def shared(tmp_path) -> Path:
    """Make a bundle whose journals before carry known fingerprints."""
    source = write_run(
        tmp_path / "shared",
        {"pope": pope(), "mmvet": mmvet()},
        {"pope": pope(seed=9), "mmvet": mmvet(seed=9)},
        prints={"pope": wanting(tmp_path).plan.prints("A")["pope"]},  # mmvet is of other weights
    )
    return bundle(source, tmp_path / "shared.zip").path


def own_folder(folder: Path, **changes: object) -> Path:
    settings = {
        "asked": {"limit": None},
        "inputs": {"data:pope": "1234", "data:mmvet": "1234"},
    }
    folder.mkdir()
    (folder / "settings.json").write_text(json.dumps({**settings, **changes}))
    return folder


def test_answers_before_are_taken_only_where_they_are_the_same_ones(shared, tmp_path):
    mine = own_folder(tmp_path / "mine", measured={"model": "B"})
    said = io.StringIO()
    with contextlib.redirect_stderr(said), showing(Reporter()):
        take_before(wanting(mine, shared), "A")
    assert read_journal(mine / "before" / "pope.jsonl", Sample) == pope()
    assert not (mine / "before" / "mmvet.jsonl").exists()
    (taken,) = taken_in(mine)
    note = taken.note
    assert note.startswith("Before taken from shared.zip (sha256 ")
    assert note.endswith("not measured in this run: pope.")
    assert "before pope: taken" in said.getvalue()
    assert "before mmvet: not taken" in said.getvalue()
    assert "because of other weights\n" in said.getvalue()
    assert "before chair: not taken" in said.getvalue()
    assert "which did not measure it" in said.getvalue()


def test_what_a_run_measured_itself_is_kept_and_not_called_taken(shared, tmp_path):
    mine = own_folder(tmp_path / "mine")
    context = wanting(mine, shared)
    journal = journal_of(mine / "before" / "pope.jsonl", context.plan.prints("A")["pope"], Sample)
    journal.append(*pope(12))
    journal.finish()
    take_before(context, "A")
    assert len(read_journal(mine / "before" / "pope.jsonl", Sample)) == 12
    assert taken_in(mine) == ()


def test_a_bent_bundle_is_no_baseline(shared, tmp_path):
    bent = rewritten(
        shared, tmp_path / "b.zip", {"before/pope.jsonl": lambda t: t + "\n"}, rehash=False
    )
    with pytest.raises(HarnessError, match="not what was packed"):
        take_before(wanting(own_folder(tmp_path / "mine"), bent), "A")


def test_a_run_folder_that_was_changed_is_no_baseline(shared, tmp_path):
    """Another score in a journal that is whole and sealed: only the manifest tells."""
    theirs = tmp_path / shared.stem  # the folder that the bundle was made of
    write_manifest(theirs)
    mine = own_folder(tmp_path / "mine")
    rows = list(pope())
    rows[0] = dataclasses.replace(
        rows[0], scores={name: 1 - v for name, v in rows[0].scores.items()}
    )
    context = wanting(mine, theirs)
    (theirs / "before" / "pope.jsonl").unlink()
    journal = journal_of(theirs / "before" / "pope.jsonl", context.plan.prints("A")["pope"], Sample)
    journal.append(*rows)
    journal.finish()
    with pytest.raises(HarnessError, match=r"before/pope\.jsonl has changed"):
        take_before(context, "A")
    assert not (mine / "before" / "pope.jsonl").exists()

    reopen(theirs)  # a call is at work in it: what it has finished can be taken
    take_before(context, "A")
    assert read_journal(mine / "before" / "pope.jsonl", Sample) == tuple(rows)


@pytest.mark.slow
def test_a_real_run_verifies_and_serves_as_a_baseline(tmp_path):
    """Another method on the same model: not one question before is asked again."""
    settings = Settings(
        method="seva", benches=("pope",), limit=24, max_prompts=12, out=tmp_path / "one"
    )
    one = run_all(settings)
    packed = bundle(one.folder, tmp_path / "one.zip").path
    assert verify(one.folder).passed
    assert verify(packed).passed
    shutil.rmtree(tmp_path / "one")
    two = run_all(
        dataclasses.replace(
            settings, max_prompts=13, out=tmp_path / "two", baseline=packed, reports=("json",)
        )
    )
    assert two.calls == 2 * 13 + 24  # pairs and after; nothing before
    assert two.report.before["pope"] == one.report.before["pope"]
    assert any("taken from one.zip" in note for note in two.report.sentences)
    assert verify(two.folder).passed
