"""Which commit of a data set on the hub is read: its fingerprint under ``--data hub``."""

from __future__ import annotations

from functools import cache
from pathlib import Path

_SECONDS = 10


@cache
def hub_commit(name: str, revision: str | None = None) -> str | None:
    """Return the commit of a data set that this process reads; the same at every call.

    The hub is asked; without a network it is the commit that was fetched last.

    Args:
        name: ``owner/name``.
        revision: branch, tag or commit; the main branch by default.

    Returns:
        40 hexadecimal digits, or ``None`` where it was never fetched and cannot be asked for.
    """
    from huggingface_hub import HfApi, constants

    if not constants.HF_HUB_OFFLINE:
        try:
            return HfApi().dataset_info(name, revision=revision, timeout=_SECONDS).sha
        except Exception:  # loading the data set says in words what is wrong
            pass
    kept = Path(constants.HF_HUB_CACHE) / f"datasets--{name.replace('/', '--')}" / "snapshots"
    fetched = [path for path in kept.glob("*") if path.is_dir()]
    last = max(fetched, key=lambda path: path.stat().st_mtime_ns, default=None)
    return last.name if last is not None else None
