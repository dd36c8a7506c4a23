"""Publish what a run trained on the Hugging Face hub, with its report as the model card."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import HarnessError, UsageError
from harness.plugins import load
from harness.storage import write_whole

if TYPE_CHECKING:
    from harness.runs.finished import FinishedRun

_TOKEN = "HF_TOKEN"


def push(run: FinishedRun, repo: str, *, private: bool = False) -> str:
    """Upload the checkpoint of a run; the key is read from ``HF_TOKEN`` or the hub's own login.

    Args:
        run: the finished run.
        repo: ``user/name`` on the hub; made if it is not there.
        private: make it private if it is made now.

    Returns:
        The address of the repository.

    Raises:
        UsageError: if the run has no checkpoint here, or the hub does not accept name or key.
        HarnessError: if the hub cannot be reached.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    checkpoint = run.folder / run.report.checkpoint
    if not list(checkpoint.glob("*.safetensors")):
        raise UsageError(
            f"{run.folder} has no checkpoint in {checkpoint}. Name the run folder that trained "
            "it; a bundle holds no weights."
        )
    api = HfApi()
    try:
        address = str(api.create_repo(repo, private=private, exist_ok=True))
        with tempfile.TemporaryDirectory() as place:
            card = _card(run, Path(place))
            api.upload_folder(
                repo_id=repo,
                folder_path=checkpoint,
                ignore_patterns=["README.md", "*.bin", "*.pt"],
                commit_message=f"Trained with {run.report.method} by vlm-harness",
            )
            api.upload_file(
                path_or_fileobj=card,
                path_in_repo="README.md",
                repo_id=repo,
                commit_message="What training changed, measured before and after",
            )
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
    return address


def _card(run: FinishedRun, place: Path) -> Path:
    """Write the model card: the run's own Markdown report, without folders or the rows' texts."""
    adapter = (run.folder / run.report.checkpoint / "adapter_config.json").is_file()
    head = ["---", "library_name: " + ("peft" if adapter else "transformers")]
    head += ["tags:", "- vlm-harness", f"- {run.report.method}", "---", ""]
    told = dataclasses.replace(
        run.report,
        model=Path(run.report.model).name,
        data=Path(run.report.data).name,
        examples=(),
        doctor=None,
    )
    report: Path = load("reports", "markdown")(told, place)
    return write_whole(
        place / "README.md", "\n".join(head) + "\n" + report.read_text(encoding="utf-8")
    )


def hub_access(seconds: float = 3.0) -> tuple[bool, str]:
    """Say whether the hub answers, and whether a token is kept; the token itself is not shown."""
    import httpx
    from huggingface_hub import constants, get_token

    token = "a token is kept" if get_token() else "no token, so private and gated models are closed"
    if constants.HF_HUB_OFFLINE:
        return False, f"switched off by HF_HUB_OFFLINE; {token}"
    try:
        httpx.head(constants.ENDPOINT, timeout=seconds)
    except httpx.HTTPError as error:
        kind = type(error).__name__
        return False, f"no answer ({kind}); folders and cached models still work; {token}"
    return True, f"answers; {token}"
