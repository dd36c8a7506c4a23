"""Pair diagnostics of a run folder: figures kept, pictures drawn again, a broken hook survived."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import PIL.Image
import pytest

from harness.dpo import read_curves
from harness.pairs import PairReport, pair_diagnostics, read_pair_report
from harness.pairs.gallery import NAME, contact_sheet
from harness.plugins import load_method
from harness.progress import Reporter, showing
from harness.records import Drop, Pair, Prompt, from_json, to_json
from harness.storage import Journal
from tests.support.contexts import run_context


@pytest.fixture
def folder(tmp_path):
    """A run folder with twelve pairs and a drop, as SeVa's make_pairs leaves them."""
    for number in range(12):
        colour = (20 * number, 120, 200 - 10 * number)
        PIL.Image.new("RGB", (80, 60), colour).save(tmp_path / f"{number}.png")
    write_pairs(tmp_path, "f")
    return tmp_path


def write_pairs(folder, stamp, word="cat"):
    journal = Journal(folder / "pairs.jsonl", stamp, dict)
    for number in range(12):
        prompt = Prompt(f"../p{number}", folder / f"{number}.png", "What is it?")
        journal.append(Pair(prompt, f"a {word} {number}", (f"a dog {number}",), {"changes": {}}))
    journal.append(Drop(Prompt("d", folder / "0.png", "?"), "equal"))
    journal.finish()


@pytest.fixture
def seva():
    return load_method("seva")


def test_examples_get_the_clean_and_the_corrupted_image(folder, seva):
    options = seva.options("small", {"corruption": "invert:p=1"})
    report = pair_diagnostics(run_context(folder, seva, options))
    assert (report.pairs, report.dropped, len(report.examples)) == (12, {"equal": 1}, 10)
    for example in report.examples:
        clean, worse = (
            np.asarray(PIL.Image.open(folder / "images" / f"{name}.webp").convert("RGB"), float)
            for name in example.pictures.values()
        )
        assert list(example.pictures) == ["clean", "invert:p=1"]
        assert np.abs(clean + worse - 255).max() < 12  # an inverted image; WebP is not exact


def test_the_examples_are_one_sheet(folder, seva, tmp_path):
    sheet = tmp_path / "out" / "sheet.png"
    assert contact_sheet(folder, sheet) == 0
    assert not sheet.exists()
    report = pair_diagnostics(run_context(folder, seva, seva.options("small", {})))
    assert contact_sheet(folder, sheet) == len(report.examples) == 10
    clean = PIL.Image.open(folder / "images" / f"{report.examples[0].pictures['clean']}.webp")
    made = PIL.Image.open(sheet)
    assert made.size == (2 * clean.width, 10 * clean.height)
    assert np.array_equal(
        np.asarray(made.crop((0, 0, *clean.size)).convert("RGB")), np.asarray(clean.convert("RGB"))
    )


def test_it_is_kept_until_the_pairs_change(folder, seva):
    options = seva.options("small", {})
    first = pair_diagnostics(run_context(folder, seva, options))
    stamp = (folder / NAME).stat().st_mtime_ns
    assert pair_diagnostics(run_context(folder, seva, options)) == read_pair_report(folder) == first
    assert (folder / NAME).stat().st_mtime_ns == stamp
    (folder / "pairs.jsonl").unlink()
    write_pairs(folder, "other", word="bird")
    again = pair_diagnostics(run_context(folder, seva, options))
    assert {example.chosen[:6] for example in again.examples} == {"a bird"}
    names = [{n for e in r.examples for n in e.pictures.values()} for r in (first, again)]
    assert not names[0] & names[1]  # an old picture never stands for a new pair


def test_a_report_reads_back_whole(folder, seva):
    report = pair_diagnostics(run_context(folder, seva, seva.options("small", {})))
    copied = from_json(PairReport, json.loads(json.dumps(to_json(report))))
    assert copied == report


@pytest.mark.parametrize(
    "hook",
    [
        lambda pair, options, seed: 1 / 0,
        lambda pair, options, seed: None,
        lambda pair: {},
    ],
)
def test_a_broken_hook_costs_the_picture_and_not_the_run(folder, seva, hook, capsys, monkeypatch):
    monkeypatch.setattr(seva.module, "pictures", hook)
    with showing(Reporter()):
        report = pair_diagnostics(run_context(folder, seva, seva.options("small", {})))
    assert [list(example.pictures) for example in report.examples] == [["clean"]] * 10
    told = capsys.readouterr().err
    assert told.count("'pictures' of the method 'seva' (harness-seva) failed with") == 1
    assert "10 of 10 example pairs" in told


def test_a_method_without_the_hook_shows_the_clean_image(folder):
    sima = load_method("sima")
    report = pair_diagnostics(run_context(folder, sima, sima.options("small", {})))
    assert {tuple(example.pictures) for example in report.examples} == {("clean",)}


def test_a_damaged_file_is_made_again(folder, seva):
    options = seva.options("small", {})
    first = pair_diagnostics(run_context(folder, seva, options))
    (folder / NAME).write_text("{")
    assert read_pair_report(folder) is None
    assert pair_diagnostics(run_context(folder, seva, options)) == first


def test_curves_are_read_as_they_were_logged(tmp_path):
    (tmp_path / "checkpoint").mkdir()
    lines = [
        {"step": 1, "loss": 0.7, "kl": 0.0, "peak_mb": 9},
        {"step": 2, "loss": float("nan"), "kl": 0.25},
        {"loss": 0.1},
        {"step": 3, "loss": 0.5, "kl": "much"},
        {"step": 4, "loss": 0.4},
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines) + '{"step": 5, "lo'
    (tmp_path / "checkpoint" / "curves.jsonl").write_text(text)
    found = {curve.name: curve.points for curve in read_curves(tmp_path)}
    assert found == {"loss": ((1.0, 0.7), (4.0, 0.4)), "kl": ((1.0, 0.0), (2.0, 0.25))}
    assert read_curves(tmp_path / "nowhere") == ()


def test_examples_do_not_enter_the_comparison_file(folder, seva, tmp_path):
    from harness_reports import json as json_report

    from tests.support.hostile import report

    doctor = pair_diagnostics(run_context(folder, seva, seva.options("small", {})))
    given = dataclasses.replace(report(["plain"] * 6), doctor=doctor)
    run = json.loads(json_report.write(given, tmp_path / "out").read_text())["run"]
    assert run["doctor"]["examples"] == []
    assert run["doctor"]["pairs"] == 12
    assert str(tmp_path) not in json.dumps(run)
