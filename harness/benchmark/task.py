"""The only module that runs lmms-eval: its tasks give documents, prompts and scoring.

lmms-eval's own loop, model adapters, cache and judge are not used; docs/decisions/0002 says why.
Importing it costs seconds and changes global state (it allows truncated images, for one), so it is
imported when the first document is needed, and what it changed is put back.
"""

from __future__ import annotations

import contextlib
import copy
import hashlib
import importlib
import inspect
import re
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from harness.benchmark.importing import config_of, kept_as_it_was
from harness.benchmark.own_data import OwnData
from harness.benchmark.task_files import (
    HUB,
    OWN,
    cache_for,
    configs_of,
    data_fingerprint,
    hub_revision,
    local_folder,
    own_data,
    place_of,
)
from harness.errors import FOREIGN, HarnessError, UsageError, cause_of, reason_of
from harness.records import fingerprint, image_problem, listed_formats
from harness.storage import folder_digest

if TYPE_CHECKING:
    import PIL.Image
__all__ = ["HUB", "Row", "Task", "data_fingerprint"]


@dataclass(frozen=True)
class Row:
    """One document of a benchmark, ready to be asked.

    Attributes:
        id: its position in the split.
        content: hash of prompt, target and images.
        image: hash of the images alone, or of the prompt where there are none; rows that share it
            are not independent.
        text: the prompt.
        images: decoded.
        target: the reference answer as text.
        doc: the document itself, for scoring.
        problem: why the row cannot be asked, such as a broken image; there is no prompt then.
    """

    id: str
    content: str
    image: str
    text: str
    images: tuple[PIL.Image.Image, ...]
    target: str
    doc: Mapping[str, Any]
    problem: str | None = None

    def bare(self) -> Row:
        """Return the row without its images, in its document too: they take most of its memory."""
        texts = {
            name: value
            for name, value in self.doc.items()
            if not hasattr(value, "tobytes") and next(_images_in([value]), None) is None
        }
        return replace(self, images=(), doc=texts)


class _Images:
    """The second table of a data set that keeps its images apart from its questions."""

    def __init__(
        self,
        source: str,
        split: str,
        config: str,
        key: str,
        name: str,
        cache: str | None,
        commit: str | None,
    ) -> None:
        import datasets

        try:
            table = datasets.load_dataset(
                source, config, split=split, cache_dir=cache, revision=commit
            )
            self._table = _decoded(table)
        except Exception as error:
            raise _unloadable(source, config, error) from error
        self._key = key
        self._place = {value: index for index, value in enumerate(self._table[name])}

    def of(self, doc: Mapping[str, Any]) -> PIL.Image.Image:
        """Decode the image of one question."""
        image: PIL.Image.Image = self._table[self._place[doc[self._key]]]["image"]
        return image


# Tasks whose process_docs fetches a second table from the hub by name, wherever the data lies, and
# encodes every image again in eight processes: config of that table, key in a row, key in it.
_JOINED = {"gqa/gqa.yaml": ("testdev_balanced_images", "imageId", "id")}


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
            UsageError: if the data set is not available.
        """
        self.path, data = path, place_of(data, path)
        self._images: Any = None
        with kept_as_it_was():
            config = config_of(path)
            own = own_data(path)
            commit = hub_revision(path) if own is None and str(data) == HUB else None
            source = own.source if own is not None else _source(config, data)
            options = _dataset_options(config, data, own, commit)
            config |= {"dataset_path": source, "dataset_kwargs": options}
            join = _JOINED.get("/".join(Path(path).parts[-2:]))
            if join is not None:
                config["process_docs"] = None
                cache = (options or {}).get("cache_dir")
                split = str(config["test_split"])
                self._images = _Images(source, split, *join, cache, commit)
            parts = [
                _build({**config, "dataset_name": name}, source) for name in configs_of(config)
            ]
        self._task = parts[0]
        self.folder = None if str(data) == HUB or own is not None else Path(source)
        self._docs = _decoded(_together([part.task_docs for part in parts]))
        if commit is not None:
            _check_commit(source, commit, self._docs)

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self._docs)

    @property
    def max_new_tokens(self) -> int:
        """The task's own limit on the answer, in tokens; 1024 where it names none."""
        return int((self._task.config.generation_kwargs or {}).get("max_new_tokens", 1024))

    def rows(self, start: int = 0, stop: int | None = None) -> Iterator[Row]:
        """Yield documents ``start`` to ``stop`` with their prompt text and decoded images.

        A document that cannot be read becomes a row with a ``problem``; the others are not its
        business.
        """
        for index in range(start, len(self) if stop is None else min(stop, len(self))):
            try:
                with listed_formats(), contextlib.redirect_stdout(sys.stderr):
                    row = self._row(index)
            except FOREIGN as error:
                what = fingerprint("unreadable", index)
                problem = f"the row cannot be read: {reason_of(error)}"
                row = Row(str(index), what, what, "", (), "", {}, problem)
            yield row

    def _row(self, index: int) -> Row:
        doc = self._docs[index]
        if self._images is not None:
            doc = {**doc, "image": self._images.of(doc)}
        _check(_images_in(doc.values()))
        images = tuple(self._task.doc_to_visual(doc) or ())
        _check(images)
        text = str(self._task.doc_to_text(doc))
        target = self._target(doc)
        digest = _image_hash(images) if images else fingerprint("no image", text)
        return Row(str(index), fingerprint(text, target, digest), digest, text, images, target, doc)

    def _target(self, doc: Mapping[str, Any]) -> str:
        """Return the reference answer; where ten people answered, the most frequent one."""
        named = self._task.config.doc_to_target
        answers = doc.get("answers")
        if isinstance(named, str) and named not in doc and isinstance(answers, list) and answers:
            texts = [str(x["answer"] if isinstance(x, Mapping) else x) for x in answers]
            return max(texts, key=texts.count)
        return str(self._task.doc_to_target(doc))

    def score(self, row: Row, answer: str) -> dict[str, Any]:
        """Return what lmms-eval's ``process_results`` says about one answer."""
        patient = self._task.process_results
        once = getattr(type(self._task).process_results, "__wrapped__", None)
        try:  # lmms-eval tries again for eight seconds, whatever the reason
            result = once(self._task, row.doc, [answer]) if once else patient(row.doc, [answer])
        except OSError:  # a task that asks somebody over the network
            result = patient(row.doc, [answer])
        if not isinstance(result, dict):
            raise HarnessError(
                f"lmms-eval's task {self.path} gave no scores for row {row.id} (got {result!r}). "
                f"Check the version: {version('lmms-eval')} is installed."
            )
        return result

    def results(self, row: Row, answer: str) -> dict[str, dict[str, Any]]:
        """Return what the task says of one answer after each of its filters, by the filter's name.

        Raises:
            Asked, Unanswerable: see :mod:`harness.benchmark.wire`; the caller says who replies.
        """
        once = getattr(type(self._task).process_results, "__wrapped__", None)
        found: dict[str, dict[str, Any]] = {}
        for each in self._task._filters:
            asked = SimpleNamespace(resps=[answer], filtered_resps={})
            each.apply([asked], [row.doc])
            said = [asked.filtered_resps[each.name]]
            score = once or type(self._task).process_results  # without eight seconds of retrying
            told = score(self._task, copy.copy(row.doc), said)
            found[each.name] = dict(told) if isinstance(told, Mapping) else {}
        return found

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics that the task's file lists, with something that adds them up."""
        return tuple(self._task.aggregation())

    def whole(self, metric: str, values: Sequence[Any]) -> float | None:
        """Return lmms-eval's own figure for what a metric gives each row; ``None`` if it has none.

        Raises:
            Exception: whatever the task's code raises.
        """
        combine = self._task.aggregation()[metric]
        given = copy.deepcopy(list(values))  # some change what they are given
        if "args" in inspect.signature(combine).parameters:  # it writes a file beside the figure
            with tempfile.TemporaryDirectory() as folder:
                figure = combine(given, args=SimpleNamespace(output_path=folder))
        else:
            figure = combine(given)
        number = isinstance(figure, bool | int | float) or hasattr(figure, "__float__")
        return float(figure) if number else None

    def helper(self, name: str) -> Any:
        """Return something that the task's own scoring module defines, such as a word list.

        Raises:
            HarnessError: if the module does not define the name.
        """
        module = getattr(self._task.config.process_results, "__globals__", {})
        if name not in module:
            raise HarnessError(
                f"lmms-eval's task {self.path} defines no {name}. Check the version: "
                f"{version('lmms-eval')} is installed."
            )
        return module[name]

    @property
    def higher_is_better(self) -> Mapping[str, bool]:
        """The direction of each metric, as the task states it."""
        return dict(self._task.higher_is_better())

    def aggregate(self, metric: str, values: Sequence[Any]) -> float:
        """Return lmms-eval's own figure for a metric, for the parity checks."""
        return float(self._task.aggregation()[metric](list(values)))


def _source(config: Mapping[str, Any], data: str | Path) -> str:
    name = str(config["dataset_path"])
    if str(data) != HUB:
        return str(local_folder(name, Path(data)))
    if name.startswith(OWN):
        raise UsageError(
            f"The data set {name.removeprefix(OWN)} is not on the hub in the form that its task "
            "reads. See what to fetch and to type with: harness data describe --bench NAME"
        )
    return name


def _dataset_options(
    config: Mapping[str, Any], data: str | Path, own: OwnData | None, commit: str | None
) -> dict[str, Any] | None:
    if own is not None:
        return {**own.options, "cache_dir": cache_for(own.fingerprint())}
    if str(data) != HUB:
        folder = Path(_source(config, data))
        if (folder / "dataset_dict.json").is_file():  # as save_to_disk writes it
            return {"load_from_disk": True}
        return {"cache_dir": cache_for(folder_digest(folder))}
    options = dict(config.get("dataset_kwargs") or {})
    for unwanted in ("token", "trust_remote_code"):  # public data, and no code from the hub
        options.pop(unwanted, None)
    if commit is not None:
        options["revision"] = commit  # what the fingerprint names, and nothing newer
    return options or None


def _check_commit(source: str, commit: str, docs: Any) -> None:
    """Refuse rows of another commit: without a network ``datasets`` takes what it has."""
    folders = {part for file in docs.cache_files for part in Path(file["filename"]).parts}
    read = {part for part in folders if re.fullmatch(r"[0-9a-f]{40}", part)}
    if read and commit not in read:
        raise UsageError(
            f"The data set {source} was read at commit {min(read)}, though {commit} is the newest "
            "one known here. Connect to the hub once, or make a copy that does not move: harness "
            "data mirror"
        )


def _build(config: dict[str, Any], source: str) -> Any:
    import datasets
    from lmms_eval.api.task import ConfigurableTask

    importlib.import_module("lmms_eval.api.metrics")  # registers exact_match and its like
    datasets.disable_progress_bars()
    try:
        return ConfigurableTask(config=config, model_name="llava_hf")
    except FOREIGN as error:
        split = config.get("test_split") or config.get("validation_split")
        raise _unloadable(source, f"{config.get('task')} (split {split})", error) from error


def _together(tables: Sequence[Any]) -> Any:
    if len(tables) == 1:
        return tables[0]
    import datasets

    return datasets.concatenate_datasets(list(tables))


def _decoded(table: Any) -> Any:
    """Have columns of image bytes decoded: only ``datasets`` writes which ones hold images."""
    import datasets

    for name, kind in table.features.items():
        if isinstance(kind, dict) and kind.keys() == {"bytes", "path"}:
            table = table.cast_column(name, datasets.Image())
    return table


def _unloadable(source: str, what: str, error: BaseException) -> UsageError:
    cause = cause_of(error)
    return UsageError(
        f"The data set {source} of {what} cannot be loaded: "
        f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}. "
        "Check the network for --data hub, or name a folder that holds it with --data DIR."
    )


def _images_in(values: Iterable[Any]) -> Iterator[PIL.Image.Image]:
    """Find the decoded images of a document, also those in lists."""
    for value in values:
        if hasattr(value, "tobytes") and hasattr(value, "getbands"):
            yield value
        elif isinstance(value, list):
            yield from _images_in(value)


def _check(images: Iterable[PIL.Image.Image]) -> None:
    for problem in filter(None, map(image_problem, images)):
        raise HarnessError(f"an image cannot be shown: {problem}")


def _image_hash(images: Sequence[PIL.Image.Image]) -> str:
    total = hashlib.sha256()
    for image in images:
        total.update(f"\0{image.mode}{image.size}".encode())
        total.update(image.tobytes())
    return total.hexdigest()[:16]
