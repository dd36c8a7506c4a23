"""Publish what a run trained on the Hugging Face hub, with its report as the model card."""

from __future__ import annotations

import dataclasses
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from harness.benchmark import benchmark
from harness.errors import HarnessError, UsageError
from harness.plugins import load, names
from harness.runs.redact import without_paths
from harness.storage import RunRecord, read_json, write_json, write_whole

if TYPE_CHECKING:
    from harness.compare import MetricResult
    from harness.runs.finished import FinishedRun

_TOKEN = "HF_TOKEN"
_ADAPTER = "adapter_config.json"
_BASE_KEYS = ("base_model_name_or_path", "_name_or_path")
_ON_HUB = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_FROM_HUB = re.compile(r"hub:(?P<name>[^@]+)(?:@(?P<commit>\w+))?")


def push(
    run: FinishedRun, repo: str, *, private: bool = False, base_model: str | None = None
) -> str:
    """Upload the checkpoint of a run; the key is read from ``HF_TOKEN`` or the hub's own login.

    The card holds the run's report, the hub's name of the base model and the headline figures as
    ``model-index``; figures on whole data sets of the hub are in ``.eval_results`` too.

    Args:
        run: the finished run.
        repo: ``user/name`` on the hub; made if it is not there.
        private: make it private if it is made now.
        base_model: what was trained, as the hub names it; the run's own model where it is one.

    Returns:
        The address of the repository.

    Raises:
        UsageError: if the run has no checkpoint here, an adapter's base model has no name on the
            hub, or the hub does not accept name or key.
        HarnessError: if the hub cannot be reached.
    """
    from huggingface_hub import HfApi

    checkpoint = run.folder / run.report.checkpoint
    if not list(checkpoint.glob("*.safetensors")):
        raise UsageError(
            f"{run.folder} has no checkpoint in {checkpoint}. Name the run folder that trained "
            "it; a bundle holds no weights."
        )
    base = base_model or (run.report.model if _ON_HUB.fullmatch(run.report.model) else None)
    if (
        base is None
        and (checkpoint / _ADAPTER).is_file()
        and run.report.model not in names("demos")
    ):
        raise UsageError(
            f"An adapter is nothing without its base model, and {without_paths(run.report.model)} "
            "is a folder of this machine. Say what the hub calls it with: --base-model USER/NAME"
        )
    api = HfApi()
    with _hub_errors(repo):
        address = str(api.create_repo(repo, private=private, exist_ok=True))
        with tempfile.TemporaryDirectory() as place:
            made = _written(run, repo, base, Path(place))
            api.upload_folder(
                repo_id=repo,
                folder_path=checkpoint,
                ignore_patterns=["*.bin", "*.pt", *made],
                commit_message=f"Trained with {run.report.method} by vlm-harness",
            )
            api.upload_folder(
                repo_id=repo,
                folder_path=place,
                commit_message="What training changed, measured before and after",
            )
    return address


@contextmanager
def _hub_errors(repo: str) -> Iterator[None]:
    """Say in a sentence what the hub's client raises."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        yield
    except HFValidationError as error:
        raise UsageError(
            f"'{repo}' is not a name on the hub ({error}). Write user/name."
        ) from error
    except HfHubHTTPError as error:
        status = error.response.status_code if error.response is not None else 0
        if status in (401, 403):
            raise UsageError(
                f"The hub did not accept the key for {repo}. Put one that may write into {_TOKEN}, "
                "or log in with: hf auth login"
            ) from error
        raise HarnessError(
            f"The hub answered {status} for {repo}. Try again later; nothing here was changed."
        ) from error
    except Exception as error:
        # The hub's client rests on httpx or httpx2, by version; their errors share no base.
        if not isinstance(error, OSError) and not type(error).__module__.startswith("httpx"):
            raise
        raise HarnessError(
            f"The hub cannot be reached ({type(error).__name__}). Check the network and try again."
        ) from error


def _written(run: FinishedRun, repo: str, base: str | None, place: Path) -> list[str]:
    """Write what is not uploaded as it lies in the checkpoint; return the files' names."""
    checkpoint = run.folder / run.report.checkpoint
    write_whole(place / "README.md", _card(run, repo, base, place))
    for file in sorted(checkpoint.glob("*.json")):
        known = read_json(file)
        named = {key: known[key] for key in _BASE_KEYS if isinstance(known, dict) and key in known}
        if named:  # where it lies on this machine, or under what name it was opened here
            write_json(place / file.name, {**known, **dict.fromkeys(named, base)})
    for name, text in _eval_results(run).items():
        write_whole(place / ".eval_results" / f"{name}.yaml", text)
    return [path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()]


def _card(run: FinishedRun, repo: str, base: str | None, place: Path) -> str:
    """Return the model card: the run's own Markdown report, without folders or the rows' texts."""
    from huggingface_hub import EvalResult, ModelCardData

    adapter = (run.folder / run.report.checkpoint / _ADAPTER).is_file()
    results = [
        EvalResult(
            task_type="image-text-to-text",
            dataset_type=_dataset(run, name)[0] or name,
            dataset_name=benchmark(name).title,
            dataset_revision=_dataset(run, name)[1],
            metric_type=figure.column,
            metric_name=f"{figure.column} ({figure.unit})",
            metric_value=figure.after,
        )
        for name, figure in _headline(run)
    ]
    data = ModelCardData(
        library_name="peft" if adapter else "transformers",
        base_model=base,
        tags=["vlm-harness", run.report.method],
        model_name=repo.rpartition("/")[2],
        eval_results=results or None,
    )
    told = dataclasses.replace(
        run.report,
        model=base or without_paths(run.report.model),
        data=without_paths(run.report.data),
        examples=(),
        doctor=None,
    )
    report: Path = load("reports", "markdown")(told, place)
    text = report.read_text(encoding="utf-8")
    report.unlink()
    return f"---\n{data.to_yaml()}\n---\n\n{text}"


def _eval_results(run: FinishedRun) -> dict[str, str]:
    """Return the hub's ``.eval_results`` files: figures on whole data sets of the hub alone."""
    import yaml  # type: ignore[import-untyped]
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    if RunRecord.read(run.folder).asked.get("limit") is not None:
        return {}  # of some rows
    found: dict[str, list[EvalResultEntry]] = {}
    for name, figure in _headline(run):
        dataset, commit = _dataset(run, name)
        if dataset is not None:
            notes = f"before training: {figure.before:.{figure.digits}f} {figure.unit}"
            entry = EvalResultEntry(dataset, figure.column, figure.after, commit, notes=notes)
            found.setdefault(name, []).append(entry)
    return {name: yaml.safe_dump(eval_result_entries_to_yaml(one)) for name, one in found.items()}


def _headline(run: FinishedRun) -> Iterator[tuple[str, MetricResult]]:
    """Give the headline figures that are known in both arms."""
    for one in run.report.compared.benchmarks:
        for figure in one.figures:
            if figure.primary and figure.before is not None and figure.after is not None:
                yield one.name, figure


def _dataset(run: FinishedRun, name: str) -> tuple[str | None, str | None]:
    """Return the hub's name and commit of a benchmark's rows; ``None`` where they are not known."""
    found = _FROM_HUB.fullmatch(run.data.get(name, ""))
    return (found["name"], found["commit"]) if found else (None, None)


def hub_access() -> tuple[bool, str]:
    """Say whether the hub answers, and whether a token is kept; the token itself is not shown."""
    import httpx
    from huggingface_hub import constants, get_token

    token = "a token is kept" if get_token() else "no token, so private and gated models are closed"
    if constants.HF_HUB_OFFLINE:
        return False, f"switched off by HF_HUB_OFFLINE; {token}"
    try:
        httpx.head(constants.ENDPOINT, timeout=3.0)
    except httpx.HTTPError as error:
        kind = type(error).__name__
        return False, f"no answer ({kind}); folders and cached models still work; {token}"
    return True, f"answers; {token}"
