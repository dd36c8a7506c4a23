"""Importing lmms-eval without its side effects, and without what is never used here."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import sys
from collections.abc import Iterator, Mapping
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, spec_from_loader
from types import ModuleType
from typing import Any

from harness.benchmark.task_files import yaml_file
from harness.errors import FOREIGN, blaming

# Imported at the top of a task file for a scorer of its own that is not used here (AMBER).
_UNUSED = ("spacy",)


def config_of(path: str) -> dict[str, Any]:
    """Return what a task's file says, with its functions."""
    from lmms_eval.utils import load_yaml_config

    missing = [name for name in _UNUSED if name not in sys.modules and find_spec(name) is None]
    sys.modules.update((name, ModuleType(name)) for name in missing)
    file = str(yaml_file(path))
    try:
        with blaming(f"Reading the task {path}"):
            try:
                config: dict[str, Any] = load_yaml_config(file, mode="full")
            except FOREIGN:
                with _naming_a_service():
                    config = load_yaml_config(file, mode="full")
    finally:
        for name in missing:
            sys.modules.pop(name, None)
    return config


@contextlib.contextmanager
def _naming_a_service() -> Iterator[None]:
    """Name the service that some tasks' code cannot be imported without; it is never asked.

    What is asked in scoring is caught (:mod:`harness.benchmark.wire`).
    """
    named = {"API_TYPE": "openai", "OPENAI_API_KEY": os.environ.get("OPENAI_API_KEY", "none")}
    before = {name: os.environ.get(name) for name in named}
    os.environ.update(named)
    try:
        yield
    finally:
        _put_back(before)


def _put_back(before: Mapping[str, str | None]) -> None:
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


_LATER = ("evaluate", "torch", "transformers", "accelerate")
"""What lmms-eval imports at its top for running models and logging; it takes most of the time."""


class _Later(ModuleType):
    """Stands for a module while lmms-eval is imported; what is used of it later is the module's.

    While it stands in ``sys.modules``, its names are those of classes: lmms-eval needs them for
    annotations, and as bases of classes that run models. Calling one calls what has its name.
    """

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:
            return type(name, (), {"__new__": functools.partial(self._call, name)})
        return getattr(importlib.import_module(self.__name__), name)

    def _call(self, name: str, cls: type, *given: Any, **named: Any) -> Any:
        return getattr(importlib.import_module(self.__name__), name)(*given, **named)


class _Standing(MetaPathFinder, Loader):
    """Finds a :class:`_Later` for whatever lies in the heavy packages that are not imported yet."""

    def __init__(self) -> None:
        self._heavy = frozenset(_LATER) - set(sys.modules)

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        heavy = name.split(".")[0] in self._heavy
        return spec_from_loader(name, self, is_package=True) if heavy else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Later(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Run nothing."""


def _import_quickly() -> None:
    """Import lmms-eval without what is heavy and not used here, once a process."""
    if "lmms_eval.api.task" in sys.modules:
        return
    importlib.import_module("datasets")  # it asks whether some of them are there
    _import_requests()
    finder = _Standing()
    sys.meta_path.insert(0, finder)
    try:
        importlib.import_module("lmms_eval.api.task")
        importlib.import_module("lmms_eval.utils")
    finally:
        sys.meta_path.remove(finder)
        for name in [name for name, each in sys.modules.items() if isinstance(each, _Later)]:
            del sys.modules[name]


def _import_requests() -> None:
    """Import ``requests`` with the quicker of its two libraries that guess encodings."""
    if "requests" in sys.modules or "chardet" in sys.modules or not find_spec("charset_normalizer"):
        return
    sys.modules["chardet"] = None  # type: ignore[assignment]  # says that there is none
    try:
        importlib.import_module("requests")
    finally:
        sys.modules.pop("chardet", None)


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
        with contextlib.redirect_stdout(sys.stderr):  # what tasks print is no result of ours
            yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = truncated
        _put_back(before)
