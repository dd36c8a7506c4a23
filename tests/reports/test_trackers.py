"""Results at each tracker, read back from what the tracker's own client wrote."""

from __future__ import annotations

import importlib.util
import json
import os
import sqlite3
import subprocess
import sys

import pytest
from harness_reports import trackers

from harness.api import open_result
from harness.dpo import refuse_tracker
from harness.errors import HarnessError, UsageError
from harness.report import write_reports, writers_of
from tests.support.finished import pope, write_run


@pytest.fixture
def made(tmp_path, monkeypatch):
    """Return the report of a run, and its folder."""
    for name in ("WANDB_API_KEY", "WANDB_PROJECT", "MLFLOW_EXPERIMENT_NAME", "TRACKIO_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    folder = tmp_path / "runs" / "seva-demo-12345678"
    folder.mkdir(parents=True)
    write_run(folder, {"pope": pope()}, {"pope": pope(right=0.9, seed=3)})
    return open_result(folder).report, folder


def figures(report):
    (benchmark,) = report.comparison.benchmarks
    return {figure.column: figure for figure in benchmark.figures}


def test_tensorboard_shows_before_and_after_as_steps(made):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    report, folder = made
    written = write_reports(report, folder, writers_of(["tensorboard"]))
    events = EventAccumulator(str(written["tensorboard"]), {"tensors": 0}).Reload()
    f1 = figures(report)["f1"]
    steps = [(one.step, one.value) for one in events.Scalars("pope/f1")]
    assert steps == [(0, pytest.approx(f1.before)), (1, pytest.approx(f1.after))]
    assert events.Scalars("pope/f1/difference")[0].value == pytest.approx(f1.difference)
    flips = [tag for tag in events.Tags()["tensors"] if tag.startswith("flips/pope")]
    texts = [one.tensor_proto.string_val[0].decode() for one in events.Tensors(flips[0])]
    assert len(texts) == len(report.comparison.benchmarks[0].flips)
    assert all(text.startswith("```") for text in texts)  # nothing in it is Markdown


@pytest.mark.slow
def test_mlflow_keeps_one_run_for_one_folder(made, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "mlruns").as_uri())
    import mlflow

    report, folder = made
    for _ in range(2):  # as a second report of the same run does
        write_reports(report, folder, writers_of(["mlflow"]))
    (run,) = mlflow.search_runs(experiment_names=["vlm-harness"], output_format="list")
    f1 = figures(report)["f1"]
    assert run.info.run_name == folder.name
    assert run.data.metrics["pope/f1/difference_low"] == pytest.approx(f1.interval[0])
    assert run.data.tags["pope/accuracy/verdict"] == figures(report)["accuracy"].verdict
    assert run.data.params["model"] == "llava-1.5-7b-hf"  # and not where it lies here
    assert "jane" not in json.dumps(run.to_dictionary())
    tables = {item.path for item in mlflow.MlflowClient().list_artifacts(run.info.run_id)}
    assert {"figures.json", "flips.json"} <= tables
    table = mlflow.artifacts.load_dict(f"{run.info.artifact_uri}/flips.json")
    assert len(table["data"]) == len(report.comparison.benchmarks[0].flips)  # and not twice


@pytest.mark.slow
def test_wandb_offline(made, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    report, folder = made
    written = write_reports(report, folder, writers_of(["wandb"]))
    assert json.loads(written["wandb"].read_text())["id"] == folder.name
    (table,) = folder.glob("wandb/offline-run-*/files/media/table/figures_*.table.json")
    content = json.loads(table.read_text())
    columns = dict(zip(content["columns"], zip(*content["data"], strict=True), strict=True))
    f1 = figures(report)["f1"]
    assert columns["difference"][columns["column"].index("f1")] == pytest.approx(f1.difference)
    (flips,) = folder.glob("wandb/offline-run-*/files/media/table/flips_*.table.json")
    count = len(report.comparison.benchmarks[0].flips)
    assert len(json.loads(flips.read_text())["data"]) == count


@pytest.mark.slow
def test_trackio_here(made, tmp_path):
    report, folder = made
    code = (  # trackio reads its folder when it is imported: a process of its own
        "import sys; from pathlib import Path; from harness.api import open_result;"
        "from harness.report import write_reports, writers_of; folder = Path(sys.argv[1]);"
        "write_reports(open_result(folder).report, folder, writers_of(['trackio']))"
    )
    environment = {**os.environ, "TRACKIO_DIR": str(tmp_path / "trackio")}
    subprocess.run([sys.executable, "-c", code, folder], env=environment, check=True)
    (file,) = (tmp_path / "trackio").glob("vlm-harness*.db")
    with sqlite3.connect(file) as base:
        (text,) = base.execute("SELECT metrics FROM metrics").fetchone()
    logged = json.loads(text)
    assert logged["pope/f1/after"] == pytest.approx(figures(report)["f1"].after)
    assert logged["verdict"] == report.comparison.verdict


def test_a_tracker_that_fails_loses_nothing(made):
    report, folder = made

    def down(report, folder):
        raise ConnectionError("nobody listens")

    with pytest.raises(HarnessError, match="The report 'wandb' could not be") as told:
        write_reports(report, folder, {"wandb": down, **writers_of(["markdown"])})
    assert (folder / "report.md").is_file()
    assert "ConnectionError: nobody listens (test_trackers.py:" in str(told.value)
    assert str(told.value).endswith(f"harness report {folder} --report wandb")


def test_trackers_that_cannot_be_used_are_refused_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("WANDB_API_KEY", "WANDB_MODE", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UsageError, match="wandb login"):
        writers_of(["wandb"])
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)  # whose server would be waited for without end
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:9 does not answer .*WANDB_MODE=offline"):
        writers_of(["wandb"])
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install tensorboard, or leave tensorboard out"):
        refuse_tracker("tensorboard")


def test_a_store_that_mlflow_cannot_use_is_refused_before_anything_is_spent(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://at/all")
    with pytest.raises(UsageError, match=r"(?s)mlflow.*nowhere://at/all.*MLFLOW_TRACKING_URI"):
        writers_of(["mlflow"])


def test_what_lies_below_a_run_has_its_name(made, tmp_path):
    _, folder = made
    assert trackers._called(folder) == folder.name
    assert trackers._called(folder / "gate") == f"{folder.name}-gate"
    assert trackers._called(tmp_path / "run.gate") == "run.gate"


def test_names_that_mlflow_takes():
    assert trackers._named("chair", "CHAIR_s %", "after") == "chair/CHAIR_s _/after"
