"""The only room that touches lmms-eval: its tasks give documents, prompts and scoring.

lmms-eval's own loop, model adapters, cache and judge are not used; docs/decisions/0002 says why.
Importing it costs seconds and changes global state (it allows truncated images, for one), so it is
imported when the first document is needed, and what it changed is put back.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import HarnessError, UsageError
from harness.folder import folder_digest
from harness.records import fingerprint

if TYPE_CHECKING:
    import PIL.Image

HUB = "hub"


@dataclass(frozen=True)
class Row:
    """One document of a benchmark, ready to be asked.

    Attributes:
        id: its position in the split.
        content: hash of prompt, target and images.
        image: hash of the images alone; rows that share it are not independent.
        text: the prompt.
        images: decoded.
        target: the reference answer as text.
        doc: the document itself, for scoring.
    """

    id: str
    content: str
    image: str
    text: str
    images: tuple[PIL.Image.Image, ...]
    target: str
    doc: Mapping[str, Any]


class Task:
    """An lmms-eval task on the data of our choice.

    Args:
        path: the task's YAML below lmms-eval's ``tasks`` folder (``"pope/pope.yaml"``), or an
            absolute path.
        data: ``"hub"``, or a folder that holds a copy of each data set under its bare name.
    """

    def __init__(self, path: str, data: str | Path) -> None:
        """Load the documents.

        Raises:
            UsageError: if the data set cannot be had.
        """
        self.path = path
        with _kept_as_it_was():
            config = _config(path)
            source = _source(config, data)
            config |= {"dataset_path": source, "dataset_kwargs": _dataset_options(config, data)}
            self._task = _build(config, source)
        self._docs = self._task.task_docs

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self._docs)

    @property
    def max_new_tokens(self) -> int:
        """The task's own limit on the answer, in tokens; 1024 where it names none."""
        return int((self._task.config.generation_kwargs or {}).get("max_new_tokens", 1024))

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield documents ``start`` to ``stop`` with their prompt text and decoded images."""
        for index in range(start, len(self) if stop is None else min(stop, len(self))):
            doc = self._docs[index]
            images = tuple(self._task.doc_to_visual(doc) or ())
            text = str(self._task.doc_to_text(doc))
            target = str(self._task.doc_to_target(doc))
            image = _image_hash(images)
            content = fingerprint(text, target, image)
            yield Row(str(index), content, image, text, images, target, doc)

    def score(self, row: Row, answer: str) -> dict[str, Any]:
        """Return what lmms-eval's ``process_results`` says about one answer."""
        result = self._task.process_results(row.doc, [answer])
        if not isinstance(result, dict):
            raise HarnessError(
                f"lmms-eval's task {self.path} gave no scores for row {row.id} (got {result!r}). "
                f"Check the version: {version('lmms-eval')} is installed."
            )
        return result

    def aggregate(self, metric: str, values: Sequence[Any]) -> float:
        """Return lmms-eval's own figure for a metric, for the parity checks."""
        return float(self._task.aggregation()[metric](list(values)))


def data_fingerprint(path: str, data: str | Path) -> str:
    """Identify the data a task would read, without importing lmms-eval.

    A folder is identified by its bytes; the hub by name, because the revision is only known once
    the data is fetched (the row's ``content`` then guards the comparison).

    Raises:
        UsageError: if the folder has no copy of the data set.
    """
    name = _dataset_name(path)
    if str(data) == HUB:
        return f"{HUB}:{name}"
    return folder_digest(_local(name, Path(data)))


def _dataset_name(path: str) -> str:
    """Read ``dataset_path`` from the YAML text, following ``include``, without running its code."""
    file = _yaml_file(path)
    include = None
    for line in file.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key == "dataset_path":
            return value.split("#")[0].strip().strip("\"'")
        if key == "include":
            include = value.strip().strip("\"'")
    if include is None:
        raise UsageError(f"The task file {file} names no dataset_path; add one.")
    return _dataset_name(str(file.parent / include))


def _yaml_file(path: str) -> Path:
    if Path(path).is_absolute():
        return Path(path)
    spec = find_spec("lmms_eval")
    if spec is None or spec.origin is None:
        raise HarnessError("lmms-eval is not installed. Install it with: pip install lmms-eval")
    file = Path(spec.origin).parent / "tasks" / path
    if not file.is_file():
        raise HarnessError(
            f"lmms-eval {version('lmms-eval')} has no task file {path}. "
            "Install the version range that pyproject.toml names."
        )
    return file


def _config(path: str) -> dict[str, Any]:
    from lmms_eval.utils import load_yaml_config

    config: dict[str, Any] = load_yaml_config(str(_yaml_file(path)), mode="full")
    return config


def _source(config: Mapping[str, Any], data: str | Path) -> str:
    name = str(config["dataset_path"])
    return name if str(data) == HUB else str(_local(name, Path(data)))


def _local(name: str, data: Path) -> Path:
    folder = data / name.rsplit("/", 1)[-1]
    if not folder.is_dir():
        known = sorted(path.name for path in data.glob("*") if path.is_dir())
        raise UsageError(
            f"There is no data set {folder.name} in {data} (it has: {', '.join(known) or 'none'})."
            " Name a folder that holds it with --data DIR, or fetch it with --data hub."
        )
    return folder


def _dataset_options(config: Mapping[str, Any], data: str | Path) -> dict[str, Any] | None:
    if str(data) != HUB:
        return None
    options = dict(config.get("dataset_kwargs") or {})
    options.pop("token", None)  # public data; a token would be demanded from every user
    return options or None


def _build(config: dict[str, Any], source: str) -> Any:
    import datasets
    from lmms_eval.api.task import ConfigurableTask

    datasets.disable_progress_bars()
    try:
        return ConfigurableTask(config=config, model_name="llava_hf")
    except Exception as error:
        attempt = getattr(error, "last_attempt", None)
        cause = attempt.exception() if attempt is not None else error
        raise UsageError(
            f"The data set {source} of the task {config.get('task')} cannot be loaded: "
            f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}. "
            "Check the network for --data hub, or name a folder that holds it with --data DIR."
        ) from error


def _image_hash(images: Sequence[PIL.Image.Image]) -> str:
    total = hashlib.sha256()
    for image in images:
        total.update(f"\0{image.mode}{image.size}".encode())
        total.update(image.tobytes())
    return total.hexdigest()[:16]


@contextlib.contextmanager
def _kept_as_it_was() -> Iterator[None]:
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
        yield
    finally:
        ImageFile.LOAD_TRUNCATED_IMAGES = truncated
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
