"""Importing lmms-eval without its side effects, and without what is never used here."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from harness.benchmark.task_files import yaml_file
from harness.errors import blaming

# Imported at the top of a task file for a scorer of its own that is not used here (AMBER).
_UNUSED = ("spacy",)


def config_of(path: str) -> dict[str, Any]:
    """Return what a task's file says, with its functions."""
    from lmms_eval.utils import load_yaml_config

    missing = [name for name in _UNUSED if name not in sys.modules and find_spec(name) is None]
    sys.modules.update((name, ModuleType(name)) for name in missing)
    try:
        with blaming(f"Reading the task {path}"):
            config: dict[str, Any] = load_yaml_config(str(yaml_file(path)), mode="full")
    finally:
        for name in missing:
            sys.modules.pop(name, None)
    return config


class _Later(ModuleType):
    """Stands for a module until something of it is used."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module(self.__name__), name)


def _import_quickly() -> None:
    """Import lmms-eval's registry without ``evaluate``: it takes most of the time.

    The registry asks it for metrics that lmms-eval does not bring; such a metric still finds it.
    """
    if "evaluate" in sys.modules or "lmms_eval.api.registry" in sys.modules:
        return
    sys.modules["evaluate"] = _Later("evaluate")
    try:
        importlib.import_module("lmms_eval.api.registry")
    finally:
        sys.modules.pop("evaluate", None)


@contextlib.contextmanager
def kept_as_it_was() -> Iterator[None]:
    """Import lmms-eval without letting it change the process or look for a judge.

    Judged tasks build their client when imported and fail without a key; ``dummy`` is lmms-eval's
    name for a client that is never asked.
    """
    from PIL import ImageFile

    before = {name: os.environ.get(name) for name in ("API_TYPE",)}
    truncated = ImageFile.LOAD_TRUNCATED_IMAGES
    os.environ["API_TYPE"] = "dummy"
    try:
        from loguru import logger

        logger.disable("lmms_eval")
        _import_quickly()
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = truncated
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
