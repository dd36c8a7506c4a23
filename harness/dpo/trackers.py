"""Experiment trackers: their names, and whether one can be used before hours of work."""

from __future__ import annotations

import importlib.util
import netrc
import os

from harness.errors import UsageError

TRACKERS = ("wandb", "tensorboard", "mlflow", "trackio")
_PACKAGES = {"tensorboard": ("tensorboard", "tensorboardX")}
"""Packages that any one of suffices, where a tracker's package has another name."""


def refuse_tracker(name: str) -> None:
    """Refuse a tracker that could not be used.

    Raises:
        UsageError: if its package is missing, or nobody is logged in.
    """
    packages = _PACKAGES.get(name, (name,))
    if not any(importlib.util.find_spec(package) for package in packages):
        raise UsageError(
            f"Tracker {name}: the package {packages[0]} is not installed. Install it with "
            f"pip install {packages[0]}, or leave {name} out."
        )
    if name == "wandb" and not _logged_in():
        raise UsageError(
            "Tracker wandb: no login to W&B was found. Log in with: wandb login, set "
            "WANDB_API_KEY, or keep the figures here with WANDB_MODE=offline."
        )


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_MODE") in ("offline", "disabled"):
        return True
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0]
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
