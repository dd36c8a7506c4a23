"""One benchmark's own folder beside the others' data."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harness_tinyworld import DATA

from harness.benchmark import Task, data_fingerprint, place_of
from harness.context import data_parts, kept_data
from harness.errors import UsageError
from harness.resolve import data_of, resolve_eval
from harness.settings import EvalSettings


def test_places_are_told_apart(tmp_path: Path) -> None:
    odd = tmp_path / "a=b,c"
    odd.mkdir()
    assert data_parts("hub") == ("hub", {})
    assert data_parts("pope=x") == ("tinyworld", {"pope": "x"})
    assert data_parts("hub, pope=x,mme=tinyworld") == ("hub", {"pope": "x", "mme": "tinyworld"})
    assert data_parts(str(odd)) == (str(odd), {}), "a folder that is there is one folder"
    assert kept_data("hub,pope=x") == f"hub,pope={Path('x').absolute()}"
    for wrong, told in (
        ("hub,tinyworld,pope=x", "names 2 places for all"),
        ("pope=nowhere", "no data folder nowhere"),
        ("pop=tinyworld", "Did you mean 'pope'"),
    ):
        with pytest.raises(UsageError, match=told):
            data_of(wrong)


def test_one_benchmark_reads_its_own_folder(tmp_path: Path) -> None:
    shutil.copytree(DATA / "POPE", tmp_path / "POPE")
    card = tmp_path / "POPE" / "README.md"
    card.write_text(card.read_text() + "\nanother copy\n")
    both = EvalSettings(benches=("pope", "textvqa"), data=f"pope={tmp_path}")
    mixed, plain = resolve_eval(both), resolve_eval(EvalSettings(benches=both.benches))
    assert mixed.inputs["data:pope"] != plain.inputs["data:pope"]
    assert mixed.inputs["data:textvqa"] == plain.inputs["data:textvqa"]
    assert mixed.notice == plain.notice
    pope, text = (bench.task for bench in mixed.benchmarks)
    assert place_of(mixed.data, pope) == str(tmp_path)
    assert data_fingerprint(pope, mixed.data) == mixed.inputs["data:pope"]
    assert Task(pope, mixed.data).folder == tmp_path / "POPE"
    assert place_of(mixed.data, text) == str(DATA)
