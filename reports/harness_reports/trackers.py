"""Results to experiment trackers: ``--track wandb,mlflow``, each through its own client.

Each function is a report like the others. What it logs is the same everywhere: figures before and
after, differences with their intervals, verdicts, and what flipped, with its small image. The
tracker's run has the name of the run folder, and the file that is returned says which run it is,
so that logging again adds to that run and makes no second one.

Trackers render texts, and texts of models and data are hostile: they are logged as cells of tables,
never as HTML, and behind a fence where a tracker reads Markdown.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.api import Result
from harness.report import ReportInput
from harness.runs import without_paths
from harness.storage import write_whole
from harness_reports import words
from harness_reports.markdown import fenced

if TYPE_CHECKING:
    import pandas as pd

PROJECT = "vlm-harness"
_FLIPS = 200
"""Rows of the table of flips; the run folder holds all."""


def _called(folder: Path) -> str:
    """Return a run's folder's name; before that of a folder in a run, such as the gate's."""
    run = folder.parent
    return f"{run.name}-{folder.name}" if (run / "settings.json").is_file() else folder.name


def wandb(report: ReportInput, folder: Path) -> Path:
    """Log to Weights & Biases; ``WANDB_PROJECT``, ``WANDB_MODE`` and its other variables count.

    Raises:
        Exception: whatever the client raises; the caller names the tracker and keeps the rest.
    """
    import wandb as client

    run = client.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=_called(folder),
        id=_called(folder),
        resume="allow" if os.environ.get("WANDB_MODE") != "offline" else None,
        config=_config(report),
        dir=folder,
    )
    try:
        run.summary.update({**_texts(report), **dict(_numbers(report))})
        run.log({"figures": client.Table(dataframe=_figures(report))})
        flips, images = _flips(report)
        if len(flips):
            flips["image"] = [client.Image(str(path)) if path else None for path in images]
            run.log({"flips": client.Table(dataframe=flips)})
    finally:
        run.finish()
    return _receipt(folder, "wandb", run.id, run.url)


def mlflow(report: ReportInput, folder: Path) -> Path:
    """Log to MLflow; ``MLFLOW_TRACKING_URI`` and ``MLFLOW_EXPERIMENT_NAME`` say where.

    Raises:
        Exception: whatever the client raises.
    """
    import mlflow as client

    known = _known(folder, "mlflow")
    if known is None and "MLFLOW_EXPERIMENT_NAME" not in os.environ:
        client.set_experiment(PROJECT)
    with client.start_run(run_id=known, run_name=None if known else _called(folder)) as run:
        if known is None:
            client.log_params(_config(report))
        client.set_tags(_texts(report))
        client.log_metrics(dict(_numbers(report)))
        client.log_text(_table(_figures(report)), "figures.json")
        flips, images = _flips(report)
        if len(flips):
            client.log_text(_table(flips), "flips.json")
        for path in sorted({path for path in images if path}):
            client.log_artifact(str(path), "flips")
        at = client.get_tracking_uri()
    return _receipt(folder, "mlflow", run.info.run_id, at)


def trackio(report: ReportInput, folder: Path) -> Path:
    """Log to trackio; ``TRACKIO_PROJECT`` and ``TRACKIO_SPACE_ID`` say where.

    Raises:
        Exception: whatever the client raises.
    """
    import trackio as client

    project = os.environ.get("TRACKIO_PROJECT", PROJECT)
    client.init(
        project=project, name=_called(folder), resume="allow", config=_config(report), embed=False
    )
    try:
        logged: dict[str, Any] = {**_texts(report), **dict(_numbers(report))}
        logged["figures"] = client.Table(dataframe=_figures(report))
        flips, images = _flips(report)
        if len(flips):
            flips["image"] = [client.Image(str(path)) if path else None for path in images]
            logged["flips"] = client.Table(dataframe=flips)
        client.log(logged)
    finally:
        client.finish()
    return _receipt(folder, "trackio", _called(folder), project)


def tensorboard(report: ReportInput, folder: Path) -> Path:
    """Write TensorBoard's events into ``tensorboard/``: before is step 0, after is step 1.

    Raises:
        Exception: whatever the client raises.
    """
    from torch.utils.tensorboard import SummaryWriter

    at = folder / "tensorboard"
    with SummaryWriter(str(at)) as writer:
        for name, value in _numbers(report):
            column, _, arm = name.rpartition("/")
            step = {"before": 0, "after": 1}.get(arm)
            tag = name if step is None else column
            writer.add_scalar(tag, value, step or 0)
        for name, text in _texts(report).items():
            writer.add_text(name, fenced(text))
        flips, images = _flips(report)
        for number, (row, image) in enumerate(zip(flips.to_dict("records"), images, strict=True)):
            text = "\n".join(f"{name}: {value}" for name, value in row.items())
            writer.add_text(f"flips/{row['benchmark']}", fenced(text), number)
            if image:
                writer.add_image(f"flips/{row['benchmark']}", _pixels(image), number, None, "HWC")
    return at


def _config(report: ReportInput) -> dict[str, str]:
    about = {"method": report.method, "model": report.model, "data": report.data}
    about |= {"seed": str(report.seed), "protocol": report.protocol, "pairs": str(report.pairs)}
    about |= {f"option.{name}": value for name, value in report.options.items()}
    about |= {f"version.{name}": value for name, value in report.versions.items()}
    return {name: without_paths(value) for name, value in about.items()}  # of this machine


def _texts(report: ReportInput) -> dict[str, str]:
    if report.comparison is None:
        return {}
    found = {
        "headline": words.headline(report.comparison, report.arms),
        "verdict": report.comparison.verdict,
    }
    for benchmark in report.comparison.benchmarks:
        for figure in benchmark.figures:
            if figure.primary:
                found[_named(benchmark.name, figure.column, "verdict")] = figure.verdict
    return found


def _named(*parts: str) -> str:
    """Join parts of a name; what MLflow refuses in one (such as ``%``) becomes ``_``."""
    return "/".join(re.sub(r"[^\w. -]", "_", part) for part in parts)


def _numbers(report: ReportInput) -> Iterator[tuple[str, float]]:
    """Give each number that is known its name; what cannot be known is left out, never zero."""
    if report.comparison is None:
        for level in report.levels:
            if level.figure is not None:
                yield _named(level.benchmark, level.column), level.figure
        return
    for benchmark in report.comparison.benchmarks:
        for figure in benchmark.figures:
            low, high = figure.interval or (None, None)
            found: Mapping[str, float | None] = {
                "before": figure.before,
                "after": figure.after,
                "difference": figure.difference,
                "difference_low": low,
                "difference_high": high,
            }
            for name, value in found.items():
                if value is not None:
                    yield _named(benchmark.name, figure.column, name), value


def _figures(report: ReportInput) -> pd.DataFrame:
    """Return the table of figures; intervals and lists as text, since trackers take no nesting."""
    frame = Result(report).to_frame()
    for name in frame.columns:
        if frame[name].map(lambda value: isinstance(value, tuple)).any():
            frame[name] = frame[name].map(lambda value: "" if value is None else json.dumps(value))
    return frame


def _flips(report: ReportInput) -> tuple[pd.DataFrame, list[Path | None]]:
    """Return the first flips as a table, and the small image of each."""
    import pandas as pd

    if report.comparison is None:
        return pd.DataFrame(), []
    frame = Result(report).flips().head(_FLIPS)
    if not len(frame):
        return frame, []
    return frame.drop(columns="image").astype(str), list(frame["image"])


def _table(frame: pd.DataFrame) -> str:
    """Return the JSON that MLflow shows as a table; ``log_table`` would add to the last one."""
    text: str = frame.to_json(orient="split", index=False)
    return text


def _pixels(image: Path) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(image) as opened:
        return np.asarray(opened.convert("RGB"))


def _known(folder: Path, tracker: str) -> str | None:
    """Return the id of the tracker's run that this run folder was logged to before."""
    try:
        return str(json.loads((folder / f"{tracker}.json").read_text(encoding="utf-8"))["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _receipt(folder: Path, tracker: str, id_: str, at: str | None) -> Path:
    text = json.dumps({"id": id_, "at": at}, indent=2)
    return write_whole(folder / f"{tracker}.json", text + "\n")
