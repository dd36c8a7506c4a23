"""What is recorded is held against the rows: edits are noticed, and give no traceback."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import shutil
import time
import traceback
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from harness_reports import json as json_report

from harness.benchmark import benchmark
from harness.cli import app
from harness.cli.sweep import _leaderboard
from harness.dpo import PairMargins, TrainingEffect
from harness.engine import checkpoint_digest
from harness.errors import HarnessError
from harness.judge import Verdicts
from harness.records import Sample, to_json
from harness.rejudge import rejudge
from harness.report import ReportInput, conclude, conclude_alone, each_round, write_reports
from harness.runs import bundle, columns_of, compare_runs, open_evidence, open_run, verify
from harness.settings import JudgeSettings, RoundSettings
from harness.stages import Round, Rounds
from harness.stages.contamination import ImageOverlap
from harness.storage import (
    Memo,
    folder_digest,
    journal_of,
    read_json,
    reopen,
    seal_of,
    sealed,
    write_json,
    write_manifest,
)
from tests.support.finished import mmvet, pope, row, write_run

CHANCE = 20261125


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return write_run(
        tmp_path_factory.mktemp("runs") / "seva-x",
        {"pope": pope(30), "mmvet": mmvet(24)},
        {"pope": pope(30, right=0.8, seed=4), "mmvet": mmvet(24, right=0.6, seed=5)},
        draws=100,
    )


@pytest.fixture
def copy(run, tmp_path):
    return Path(shutil.copytree(run, tmp_path / run.name))


def called(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    assert done.exception is None or isinstance(done.exception, SystemExit | HarnessError), (
        words,
        "".join(traceback.format_exception(done.exception)),
    )
    return done


def ended(*words):
    """Return how a command ends, and all that it says."""
    done = CliRunner().invoke(app, [str(word) for word in words], standalone_mode=False)
    if done.exception is not None:
        assert isinstance(done.exception, HarnessError), done.exc_info
        return done.exception.code, str(done.exception)
    return done.return_value, done.output


def edited_row(path, chance, *, reseal):
    """Change one score, answer or length of one row, as a person would, or any one byte."""
    lines = path.read_text().splitlines(keepends=True)
    place = chance.randrange(1, len(lines) - 1)
    row = json.loads(lines[place])
    kind = chance.choice(["score", "answer", "byte"]) if not reseal else "score"
    if kind == "score":
        name = "strict" if "strict" in row["scores"] else "score"
        row["scores"][name] = 1.0 - row["scores"][name]
        if name == "strict":  # what a careful forger changes together
            row["scores"]["lenient"] = row["scores"][name]
        lines[place] = json.dumps(row, ensure_ascii=False) + "\n"
    elif kind == "answer":
        row["answer"] += " indeed"
        lines[place] = json.dumps(row, ensure_ascii=False) + "\n"
    else:
        data = bytearray(lines[place].encode())
        at = chance.randrange(len(data) - 1)
        data[at] = (data[at] + chance.randrange(1, 255)) % 256
        path.write_bytes(
            "".join(lines[:place]).encode() + data + "".join(lines[place + 1 :]).encode()
        )
        return
    text = "".join(lines).encode()
    path.write_bytes(sealed(text) if reseal else text)


def edited_verdict(path, chance):
    written = read_json(path)
    figures = [f for b in written["comparison"]["benchmarks"] for f in b["figures"]]
    figure = chance.choice(figures)
    field = chance.choice(["verdict", "difference", "after", "before", "p", "interval"])
    others = ["gain", "loss", "no worse", "cannot tell", "changed", "LOSS"]
    if field == "verdict":
        figure["verdict"] = chance.choice([word for word in others if word != figure["verdict"]])
    elif field == "interval":
        figure["interval"] = [99.0, 100.0]
    else:
        figure[field] = (figure[field] or 0.0) + chance.choice([-0.5, 0.25, 1.0])
    write_json(path, written)


@pytest.mark.parametrize("edits", [24, pytest.param(100, marks=pytest.mark.slow)])
def test_each_edit_is_noticed(run, copy, edits):
    """Of rows (with their digest mended or not), of recorded figures and of weights."""
    chance = random.Random(CHANCE)
    journals = [f"{arm}/{name}.jsonl" for arm in ("before", "after") for name in ("pope", "mmvet")]
    assert open_evidence(copy).after
    for number in range(edits):
        kind = ["row", "mended row", "figure", "weights"][number % 4]
        name = {
            "figure": "comparison.json",
            "weights": "checkpoint/adapter/adapter_model.safetensors",
        }.get(kind, chance.choice(journals))
        path = copy / name
        whole = path.read_bytes()
        if kind == "figure":
            edited_verdict(path, chance)
        elif kind == "weights":
            at = chance.randrange(len(whole))
            path.write_bytes(
                whole[:at] + bytes([whole[at] ^ 1 << chance.randrange(8)]) + whole[at + 1 :]
            )
        else:
            edited_row(path, chance, reseal=kind == "mended row")
        with pytest.raises(HarnessError):
            open_evidence(copy)
        path.write_bytes(whole)
    assert open_evidence(copy).after


@pytest.mark.parametrize("words", [("gate",), ("report",), ("bundle",), ("compare", "again")])
def test_each_command_says_so_and_decides_nothing(run, copy, words, tmp_path):
    path = copy / "after/pope.jsonl"
    edited_row(path, random.Random(3), reseal=True)
    command, *others = words
    more = ["--out", tmp_path / "x.zip"] if command == "bundle" else []
    done = called(command, copy, *(run for _ in others), *more)
    assert isinstance(done.exception, HarnessError)
    assert done.exception.code == 1
    assert "does not follow from its own rows" in str(done.exception)
    assert "is recorded as" in str(done.exception)
    assert "harness verify" in str(done.exception)
    assert not list(tmp_path.glob("*.zip"))


LEFT_THERE = ("README.md", ".DS_Store", ".cache/huggingface/download/x.metadata", "events.out.1")
LEFT_THERE += ("config.json~", "runs/Nov26/events.out.tfevents.1", "optimizer.pt", "notes.json")
LOADED = ("tokenizer.json", "config.json", "model-00002-of-00002.safetensors", "modeling_x.py")
LOADED += ("below/more.safetensors", "chat_template.jinja", "model.safetensors.index.json")


@pytest.mark.parametrize("place", ["checkpoint/adapter", "merged"])
def test_a_file_added_to_weights_matters_only_if_a_loader_would_read_it(copy, place):
    folder = copy / place
    if place == "merged":
        shutil.copytree(copy / "checkpoint" / "adapter", folder)
        Memo(copy / "merged.json", key="adapter").write("a", files=checkpoint_digest(folder))
    for name in LEFT_THERE:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")
    assert open_evidence(copy).after
    for name in LOADED:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
        with pytest.raises(HarnessError, match=f"{place} has changed since it was"):
            open_evidence(copy)
        (folder / name).unlink()
    assert open_evidence(copy).after


def test_weights_whose_hash_an_earlier_version_noted_are_still_known(copy):
    adapter = copy / "checkpoint" / "adapter"
    (adapter / "README.md").write_text("written by PEFT")
    state = read_json(copy / "training.json")
    write_json(copy / "training.json", {**state, "files": folder_digest(adapter)})
    assert open_evidence(copy).after
    (adapter / "adapter_model.safetensors").write_bytes(b"others")
    with pytest.raises(HarnessError, match="checkpoint/adapter has changed"):
        open_evidence(copy)


def test_a_word_nobody_knows_is_named_with_file_and_field(copy):
    written = read_json(copy / "comparison.json")
    written["comparison"]["benchmarks"][0]["figures"][1]["verdict"] = "<img src=x>"
    write_json(copy / "comparison.json", written)
    with pytest.raises(HarnessError, match=r"comparison\.json .*figures\[1\]\.verdict is"):
        open_evidence(copy)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("draws", 10**9),
        ("draws", 0),
        ("alpha", -1.0),
        ("alpha", "x"),
        ("family", "@everyone"),
        ("margin", 1e300),
        ("seed", -1),
        ("verdict", "better"),
    ],
)
def test_settings_that_cannot_be_computed_with_are_named(copy, field, value):
    written = read_json(copy / "comparison.json")
    written["comparison"][field] = value
    write_json(copy / "comparison.json", written)
    began = time.process_time()
    with pytest.raises(HarnessError, match=rf"comparison\.json .*{field}"):
        open_evidence(copy)
    assert time.process_time() - began < 5


@pytest.mark.parametrize("name", ["nobody", "\ud800"])
def test_a_flip_of_a_row_that_is_not_there_is_named(copy, name):
    written = read_json(copy / "comparison.json")
    flips = [each["flips"] for each in written["comparison"]["benchmarks"]]
    next(filter(None, flips))[0]["id"] = name
    write_json(copy / "comparison.json", written)
    with pytest.raises(HarnessError, match=r"comparison\.json names the row"):
        open_evidence(copy)


def test_another_version_of_the_figures_is_computed_again(copy):
    written = read_json(copy / "comparison.json")
    written["comparison"]["version"] = 0
    written["comparison"]["benchmarks"][0]["figures"][0]["p"] = 0.5
    written["comparison"]["benchmarks"][0]["figures"][0]["verdict"] = "loss"
    write_json(copy / "comparison.json", written)
    found = open_evidence(copy).report.comparison
    assert found.benchmarks[0].figures[0].p != 0.5
    assert found.notes[-1].startswith("Another version of the harness wrote this run")
    edited_row(copy / "after/pope.jsonl", random.Random(1), reseal=False)
    with pytest.raises(HarnessError):
        open_evidence(copy)


def test_raw_rows_and_judged_rows_are_tied_together(tmp_path):
    raw = journal_of(tmp_path / "raw.jsonl", "a", Sample)
    raw.append(*mmvet(3))
    raw.finish()
    judged = journal_of(tmp_path / "judged.jsonl", "b", Sample)
    judged.append(*mmvet(3))
    judged.finish(source=raw.digest)
    assert seal_of(tmp_path / "judged.jsonl").source == seal_of(tmp_path / "raw.jsonl").digest
    assert seal_of(tmp_path / "raw.jsonl").fits
    other = journal_of(tmp_path / "raw.jsonl", "c", Sample)
    other.append(*mmvet(3, right=0.0))
    other.finish()
    assert seal_of(tmp_path / "judged.jsonl").source != seal_of(tmp_path / "raw.jsonl").digest


def test_what_a_system_leaves_among_the_seeds_is_no_seed(copy):
    for arm in ("before", "after"):
        shutil.copytree(copy / arm, copy / "seeds" / "1" / arm)
    (copy / "seeds" / ".DS_Store").write_bytes(b"")
    assert len(open_run(copy).more) == 1


def test_a_link_is_not_packed(copy, tmp_path):
    (tmp_path / "secret.json").write_text("{}")
    (copy / "extra.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(HarnessError, match=r"extra\.json cannot be packed: it is a link out of"):
        bundle(copy, tmp_path / "x.zip")


def test_a_zipped_run_folder_is_called_so(copy, tmp_path):
    made = Path(shutil.make_archive(str(tmp_path / "art"), "zip", copy))
    with pytest.raises(HarnessError, match=r"is a zipped run folder, not a bundle\. Unpack it"):
        open_evidence(made)


def test_a_killed_verify_leaves_nothing_for_ever(run, tmp_path, monkeypatch):
    packed = bundle(run, tmp_path / "x.zip").path
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    left = tmp_path / "harness-bundle-left"
    (left / "run").mkdir(parents=True)
    os.utime(left, (1, 1))
    assert verify(packed).passed
    assert not list(tmp_path.glob("harness-bundle-*"))


def test_a_pipe_or_a_device_ends_at_once(copy):
    for name in ("after/pope.jsonl", "comparison.json", "settings.json"):
        (copy / name).unlink()
        os.mkfifo(copy / name)
        with pytest.raises(HarnessError):
            open_evidence(copy)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "name",
    [
        "comparison.json",
        "settings.json",
        "after/pope.jsonl",
        "pairs.jsonl",
        "training.json",
        "checkpoint/curves.jsonl",
    ],
)
def test_deep_json_is_no_traceback(copy, name):
    for text in (DEEP, '{"run":' * 5000, json.dumps({"run": 5, "comparison": []})):
        (copy / name).write_text(text)
        for command in ("gate", "report", "verify"):
            called(command, copy)


def mutated(data, chance):
    """Return data with one thing wrong: bytes, lines, values, or all of it."""
    kind = chance.randrange(6)
    at = chance.randrange(max(len(data), 1))
    if kind == 0:
        return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
    if kind == 1:
        return data[:at]
    if kind == 2:
        return (
            data[:at]
            + chance.choice([b"[" * 3000, b"\\ud800", b'"', b"\0", b"9" * 5000])
            + data[at:]
        )
    if kind == 3:
        lines = data.splitlines(keepends=True)
        chance.shuffle(lines)
        return b"".join(lines)
    odd = [b"null", b"NaN", b"1e999", b"-1", b'"\\ud800"', b"[]", b"{}", b"true", b"1e400", b'"x"']
    text = data.decode(errors="replace")
    places = [i for i, sign in enumerate(text) if sign == ":"]
    if not places:
        return b""
    at = chance.choice(places)
    end = min((text.find(sign, at) % (len(text) + 1) for sign in ",}\n"), default=at)
    return (text[: at + 1] + chance.choice(odd).decode() + text[end:]).encode(errors="replace")


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.slow) for part in range(1, 5))]
)
def test_a_hundred_mutated_files_give_no_traceback(run, copy, tmp_path, part):
    """Five hundred in all; a clear error or a result, and never anything else."""
    chance = random.Random(CHANCE + part)
    packed = bundle(run, tmp_path / "whole.zip").path
    names = [
        "comparison.json",
        "settings.json",
        "after/pope.jsonl",
        "before/mmvet.jsonl",
        "pairs.jsonl",
        "training.json",
        "versions.json",
    ]
    for number in range(100):
        if number % 4 == 3:
            target = tmp_path / "bent.zip"
            if number % 8 == 3:
                target.write_bytes(mutated(packed.read_bytes(), chance))
            else:
                with zipfile.ZipFile(packed) as old, zipfile.ZipFile(target, "w") as new:
                    bent = chance.choice(old.namelist())
                    for name in old.namelist():
                        data = old.read(name)
                        new.writestr(name, mutated(data, chance) if name == bent else data)
            called("verify", target)
            called("gate", target)
            continue
        path = copy / chance.choice(names)
        whole = path.read_bytes()
        path.write_bytes(mutated(whole, chance))
        called(chance.choice(["gate", "report", "verify"]), copy)
        path.write_bytes(whole)


@pytest.fixture
def in_rounds(copy):
    """A run whose first round lies in it too."""
    place = copy / "rounds" / "1"
    place.mkdir(parents=True)
    for name in ("training.json", "pairs.jsonl"):
        shutil.copyfile(copy / name, place / name)
    shutil.copytree(copy / "checkpoint", place / "checkpoint")
    shutil.copytree(place / "checkpoint" / "adapter", place / "checkpoint" / "joined")
    joined = place / "checkpoint" / "joined"
    Memo(joined.with_suffix(".json")).write("made of", files=checkpoint_digest(joined))
    rates, margins = (1e-4, 1e-4, 0.0), PairMargins(0.5, 1.0)
    effect = TrainingEffect(2, 1, 1, rates, 0.5, 9.0, 0.0, 0, 2, margins, margins)
    write_json(copy / "checkpoint" / "effect.json", to_json(effect))
    written = read_json(copy / "comparison.json")
    made = Rounds(RoundSettings(1), (Round(1, 3, 2, 0, {"equal": 1}),))
    written["run"] |= {"training": to_json(effect), "rounds": to_json(made)}
    write_json(copy / "comparison.json", written)
    lines = (copy / "pairs.jsonl").read_text().splitlines(keepends=True)
    (copy / "dropped.jsonl").write_text("".join(line for line in lines if '"reason"' in line))
    return copy


def test_seeds_in_rounds_follow_from_their_rows(copy):
    first, middle = open_run(copy), {"pope": pope(30), "mmvet": mmvet(24)}
    write_run(copy / "rounds" / "1", first.before, middle, draws=20)
    other = {"pope": pope(30, right=0.4, seed=9), "mmvet": mmvet(24, right=0.9, seed=9)}
    write_run(copy / "seeds" / "1", first.before, other, draws=20)
    columns = {name: columns_of(name, first) for name in first.before}
    made = Rounds(RoundSettings(2), tuple(Round(n, 3, 2, 0, {"equal": 1}) for n in (1, 2)))
    alone = each_round(dataclasses.replace(first.report, rounds=made), {1: middle}, columns)
    joint = conclude(
        dataclasses.replace(alone, seeds=(0, 1)),
        Verdicts(first.before, first.after),
        columns,
        like=first.report.comparison,
        touched=[ImageOverlap("pope", 30, ("0", "1"), 0)],
        more=[(first.before, other)],
    )
    json_report.write(joint, copy)
    assert [each for each in verify(copy).checks if each.outcome != "ok"] == []
    left = [row for arm in (first.after, other) for row in arm["pope"] if int(row.id) > 1]
    (figure,) = joint.overlaps[0].figures
    assert figure.after == pytest.approx(sum(100 * row.scores["strict"] for row in left) / 56)


def test_a_run_in_rounds_that_is_judged_again_has_the_rounds_judged_too(copy):
    first, settings = open_run(copy), read_json(copy / "settings.json")
    middle = {"pope": pope(30), "mmvet": mmvet(24)}
    write_run(copy / "rounds" / "1", first.before, middle, draws=20)
    columns = {name: columns_of(name, first) for name in first.before}
    made = Rounds(RoundSettings(2), tuple(Round(n, 3, 2, 0, {"equal": 1}) for n in (1, 2)))
    of_another = dataclasses.replace(first.report, rounds=made)
    json_report.write(each_round(of_another, {1: first.after}, columns), copy)
    settings["asked"]["data"] = "tinyworld"
    write_json(copy / "settings.json", settings)
    manifest = write_manifest(copy).read_bytes()
    with pytest.raises(HarnessError, match="Unknown judge"):
        rejudge(copy, JudgeSettings("nobody"))
    assert (copy / "manifest.json").read_bytes() == manifest, "a finished run stays one"
    assert rejudge(copy, JudgeSettings()).report.rounds.each[0].figures[0].difference == 0.0
    assert [each.outcome for each in verify(copy).checks if each.part == "rounds"] == ["ok"]


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("rounds/1/checkpoint/adapter/adapter_model.safetensors", "weights", "weighus"),
        ("rounds/1/checkpoint/joined/adapter_model.safetensors", "weights", "weighus"),
        ("rounds/1/pairs.jsonl", '"equal"', '"eqval"'),
        ("rounds/1/training.json", "checkpoint/adapter", "checkpoint/adaptes"),
        ("training.json", "checkpoint/adapter", "checkpoint/adaptes"),
        ("dropped.jsonl", '"equal"', '"eqval"'),
    ],
)
def test_an_edit_beside_the_rows_is_noticed(in_rounds, name, old, new):
    assert open_evidence(in_rounds).after
    text = (in_rounds / name).read_text()
    assert old in text
    (in_rounds / name).write_text(text.replace(old, new, 1))
    with pytest.raises(HarnessError, match="does not follow from its own rows"):
        open_evidence(in_rounds)


@pytest.mark.parametrize("edits", [1, pytest.param(5, marks=pytest.mark.slow)])
def test_an_edit_of_any_file_is_noticed(in_rounds, edits):
    """Also of those that nothing follows from, such as training curves and settings."""
    for name in ("preflight.json", "pace.json", "before/taken.json", "rounds/1/pair_report.json"):
        write_json(in_rounds / name, {"fingerprint": "1a2b", "pope": ["no"]})
    (in_rounds / "gate").mkdir()
    write_manifest(in_rounds)
    (in_rounds / "gate" / "comparison.json").write_text("a report of another command")
    assert open_evidence(in_rounds).after
    assert verify(in_rounds).passed
    chance = random.Random(CHANCE)
    outputs = ("report.md", "gate/comparison.json")
    files = [path for path in in_rounds.rglob("*") if path.is_file()]
    names = {path.relative_to(in_rounds).as_posix(): path for path in files}
    assert len(names) > 20
    for name, path in names.items():
        whole = path.read_bytes()
        for _ in range(edits):
            at = chance.randrange(len(whole))
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            if name in outputs:
                assert open_evidence(in_rounds).after
                continue
            with pytest.raises(HarnessError):
                open_evidence(in_rounds)
        path.write_bytes(whole)
    assert open_evidence(in_rounds).after


def test_without_its_manifest_a_run_is_incomplete_for_every_command(copy, tmp_path):
    """Deleted, or with a round, seed or judged rows that it does not name."""
    older = Path(shutil.copytree(copy, tmp_path / "older"))
    write_reports(open_run(copy).report, copy, {"json": json_report.write})
    reports = [("gate", copy), ("report", copy), ("compare", copy, older), ("verify", copy)]
    other = ("gate", older, "--baseline", copy)
    assert [ended(*words)[0] for words in (*reports, other)] == [0, 0, 0, 0, 0]
    for name in ("judged/after/pope.jsonl", "seeds/1/after/pope.jsonl", "rounds/1/pairs.jsonl"):
        (copy / name).parent.mkdir(parents=True)
        shutil.copyfile(copy / "after" / "pope.jsonl", copy / name)
        for words in (*reports, other):
            code, told = ended(*words)
            assert (code, f"{name} was added" in told) == (1, True), (words, told)
        shutil.rmtree(copy / name.split("/")[0])
    manifest = (copy / "manifest.json").read_bytes()
    (copy / "manifest.json").unlink()
    for words in (*reports, other):
        code, told = ended(*words)
        assert (code, "manifest.json is missing, so the run is incomplete" in told) == (1, True)
    ended("report", copy, "--report", "json")
    assert not (copy / "manifest.json").exists(), "a report written again does not make it whole"
    (copy / "manifest.json").write_bytes(manifest)
    assert ended("report", copy, "--report", "json,junit")[0] == 0
    assert (copy / "manifest.json").read_bytes() == manifest


def test_a_later_call_that_does_not_end_leaves_the_result_before_it(copy):
    write_reports(open_run(copy).report, copy, {"json": json_report.write})
    write_json(copy / "settings.json", {**read_json(copy / "settings.json"), "more": 1})
    reopen(copy, "settings.json", "versions.json")
    (copy / "judged").mkdir()
    (copy / "judged" / "judging.json").write_text("{}")
    assert open_evidence(copy).after
    assert ended("gate", copy)[0] == 0
    assert verify(copy).passed


def test_the_leaderboard_of_a_sweep_rests_on_the_rows(copy, tmp_path):
    entrant = SimpleNamespace(folder=copy, wanted=SimpleNamespace(label="seva"))
    assert _leaderboard([entrant], tmp_path / "board").is_file()
    edited_row(copy / "after/pope.jsonl", random.Random(3), reseal=True)
    with pytest.raises(HarnessError, match="does not follow from its own rows"):
        _leaderboard([entrant], tmp_path / "again")


def changed(folder, *, inputs=None, asked=None, **run):
    settings, written = read_json(folder / "settings.json"), read_json(folder / "comparison.json")
    settings["inputs"] |= inputs or {}
    settings["asked"] |= asked or {}
    written["run"] |= run
    write_json(folder / "settings.json", settings)
    write_json(folder / "comparison.json", written)
    return open_run(folder)


def test_runs_that_were_measured_otherwise_say_so(copy, tmp_path):
    first = changed(copy, inputs={"bench:pope": "one", "bench:mmvet": "same"})
    other = Path(shutil.copytree(copy, tmp_path / "other"))

    def notes(**more):
        return " ".join(compare_runs(first, changed(other, **more)).sentences)

    assert "measured by" not in notes()
    assert "different versions of the code of pope, so" in notes(inputs={"bench:pope": "two"})
    asked = {"max_new_tokens": 16}
    assert " at each benchmark's own limit and those of other at 16 tokens" in notes(asked=asked)
    with pytest.raises(HarnessError, match="Engines differ in rounding"):
        notes(engine="vllm 0.11")
    words = ["pope: lengths are in words", "mmvet: lengths are in words"]
    told = notes(engine="vllm 0.11", notes=words)
    assert "The answers of other were made elsewhere" in told
    assert "pope: lengths are in words, as one side has no tokens" in told
    assert "cut at" not in told
    found = compare_runs(first, open_run(other))
    assert {each.length.before for each in found.compared.benchmarks} == {1.0}  # "Yes", of 2 tokens
    assert "one side" not in " ".join(compare_runs(open_run(other), open_run(other)).sentences)


def test_a_column_that_no_row_has_is_no_part_of_a_result():
    """A limit may leave no row of a category; what is read from the rows later lacks it too."""
    marks = {"model": 7.0, "reference": 10.0, "conv_model": 7.0, "conv_reference": 10.0}
    marks |= {f"{part}_{side}": 0.0 for part in ("detail", "complex") for side in _SIDES}
    rows = [
        dataclasses.replace(row(n, "a", "a", marks, n), groups={"category": "conv"})
        for n in range(9)
    ]
    arms, columns = {"llavabench": rows}, {"llavabench": benchmark("llavabench").columns}
    made = conclude(ReportInput(None, "m", "model"), Verdicts(arms, arms), columns)
    figures = made.comparison.benchmarks[0].figures
    assert [(each.column, each.samples) for each in figures] == [("all", 9), ("conv", 9)]
    alone = conclude_alone(ReportInput(None, "m", "model"), arms, columns)
    assert [each.column for each in alone.levels] == ["all", "conv"]
    old = [dataclasses.replace(each, groups={}) for each in rows]  # of an earlier version
    again = conclude_alone(ReportInput(None, "m", "model"), {"llavabench": old}, columns)
    assert again.levels == alone.levels


_SIDES = ("model", "reference")
