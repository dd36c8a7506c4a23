"""Finding methods, benchmarks, reports and demos by name, whoever ships them.

Entry points are the registry. Only the one that is asked for is imported, so a broken package
disturbs nobody else. Two owners of one name is an error that names both.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, EntryPoints
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

import pluggy

from harness import hookspecs
from harness.errors import HarnessError, UsageError, near_miss, pip
from harness.records import Drop, Pair, Prompt, check_bounds
from harness.storage import disk_is_full, folder_digest

if TYPE_CHECKING:
    from harness.model import Answering, Model

KINDS = {
    "losses": "loss",
    "edits": "edit",
    "methods": "method",
    "benchmarks": "benchmark",
    "suites": "suite",
    "reports": "report",
    "pages": "page over several runs",
    "demos": "demo",
    "views": "view",
    "engines": "engine",
    "executors": "executor",
}

_SHIPPED = {
    "seva": "harness-seva",
    "sima": "harness-sima",
    "multineg": "harness-multineg",
    "given": "harness-given",
    **{name: f"harness-{name}" for name in ("csr", "mdpo", "povid", "rlhfv", "simpo", "stic")},
    **dict.fromkeys(("sft", "gt_dpo", "swapped", "random_pairs"), "harness-baselines"),
}
"""Where this project's methods come from, for a user who installed the harness alone."""


def entry_points(group: str) -> EntryPoints:
    """Return the entry points of a group; metadata is read again only where the path changed."""
    found: EntryPoints = _installed(tuple(map(_state, sys.path))).select(group=group)
    return found


@functools.lru_cache(maxsize=1)
def _installed(path: tuple[tuple[str, int, int], ...]) -> Any:  # Python 3.11 has its own type
    return importlib.metadata.entry_points()


def _state(place: str) -> tuple[str, int, int]:
    """Say what changes when a package is added to a place of ``sys.path`` or removed from it."""
    try:
        found = os.stat(place or os.curdir)
    except OSError:
        return place, 0, 0
    return place, found.st_ino, found.st_mtime_ns


def names(kind: str) -> dict[str, list[str]]:
    """Return each installed name of a kind with the distributions that claim it."""
    found: dict[str, list[str]] = {}
    for point in entry_points(group=f"harness.{kind}"):
        found.setdefault(point.name, []).append(_owner(point))
    return {name: sorted(set(owners)) for name, owners in sorted(found.items())}


def load(kind: str, name: str) -> Any:
    """Import the one entry point of that kind and name.

    Raises:
        UsageError: if no package, or more than one, offers the name, or its import fails.
    """
    return _load(find(kind, name), KINDS[kind])


def find(kind: str, name: str) -> EntryPoint:
    """Return the entry point without importing it.

    Raises:
        UsageError: if no package, or more than one, offers the name.
    """
    word = KINDS[kind]
    points = [point for point in entry_points(group=f"harness.{kind}") if point.name == name]
    owners = sorted({_owner(point) for point in points})
    if len(owners) > 1:
        raise UsageError(
            f"Two packages claim the {word} '{name}': {', '.join(owners)}. "
            f"Uninstall one of them, for example with: {pip('uninstall')} {owners[0]}"
        )
    if not points:
        known = names(kind)
        if kind == "methods" and name in _SHIPPED:
            package = _SHIPPED[name]
            raise UsageError(
                f"The method '{name}' is in the package {package}, which is not installed. "
                f"Run: {pip('install')} {package}"
            )
        raise UsageError(
            f"No {word} is named '{name}'.{near_miss(name, known)} "
            f"Installed: {', '.join(known) or 'none'}. List them with: harness list {kind}"
        )
    return points[0]


def digest_of(kind: str, name: str) -> str:
    """Hash the source of the package behind a name, so that edited code is never taken as done."""
    module = find(kind, name).module
    spec = importlib.util.find_spec(module.split(".")[0])
    if spec is None or spec.origin is None:
        return "unknown"
    origin = Path(spec.origin)
    if not spec.submodule_search_locations:
        return folder_digest(origin.parent, origin.name)
    return folder_digest(origin.parent, "**/*.py")


@dataclass(frozen=True)
class Method:
    """A loaded method: its name, who ships it, and its two hooks."""

    name: str
    owner: str
    module: ModuleType
    hooks: Any

    def options(self, preset: str | None, values: Mapping[str, str]) -> Any:
        """Build the method's ``Options`` from a preset and the ``--set`` texts.

        Raises:
            UsageError: for an unknown preset or key (naming the near miss) or a value of the
                wrong type.
        """
        kind = getattr(self.module, "Options", None)
        presets = getattr(self.module, "PRESETS", {})
        if kind is None:
            if values:
                raise UsageError(f"The method '{self.name}' has no options; drop --set.")
            return None
        if preset is not None and preset not in presets:
            raise UsageError(
                f"The method '{self.name}' has no preset '{preset}'.{near_miss(preset, presets)} "
                f"It has: {', '.join(presets) or 'none'}."
            )
        base = presets[preset] if preset is not None else kind()
        return filled(f"method '{self.name}'", base, values)

    def make_pairs(
        self, prompts: Iterable[Prompt], model: Answering, options: Any, seed: int
    ) -> Iterator[Pair | Drop]:
        """Call the hook; whatever it raises is reported in the method's name."""
        with _blamed(self, "make_pairs"):
            made = self.hooks.make_pairs(prompts=prompts, model=model, options=options, seed=seed)
        if made is None:
            raise HarnessError(
                f"The method '{self.name}' ({self.owner}) made no pairs: its make_pairs returned "
                "None. It must yield Pair or Drop records; see docs/write-a-method.md."
            )
        iterator: Iterator[Pair | Drop] = iter(made)
        while True:
            with _blamed(self, "make_pairs"):
                try:
                    item = next(iterator)
                except StopIteration:
                    return
            yield item

    def train(
        self, pairs: Sequence[Pair], model: Model, options: Any, out: Path, seed: int
    ) -> Path:
        """Call the hook and return the checkpoint folder it names."""
        with _blamed(self, "train"):
            made = self.hooks.train(pairs=pairs, model=model, options=options, out=out, seed=seed)
        if not isinstance(made, str | Path):
            raise HarnessError(
                f"The method '{self.name}' ({self.owner}) returned {made!r} from train; it must "
                "return the folder of the checkpoint, as harness.dpo.train does."
            )
        return Path(made)


def load_method(name: str) -> Method:
    """Load one method and check its hooks against the specification.

    Raises:
        UsageError: for an unknown or doubly claimed name, an import that fails, a hook that is
            misspelt or takes an argument the specification does not have.
    """
    point = find("methods", name)
    module = _load(point, "method")
    manager = pluggy.PluginManager(hookspecs.PROJECT)
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(module, name=name)
        manager.check_pending()
    except pluggy.PluginValidationError as error:
        raise UsageError(
            f"The method '{name}' ({_owner(point)}) does not fit the hooks: {error}. "
            "Compare it with docs/write-a-method.md."
        ) from error
    missing = [
        hook for hook in ("make_pairs", "train") if not getattr(manager.hook, hook).get_hookimpls()
    ]
    if missing:
        raise UsageError(
            f"The method '{name}' ({_owner(point)}) lacks {' and '.join(missing)}. Decorate the "
            "functions with harness.hookimpl; see docs/write-a-method.md."
        )
    return Method(name, _owner(point), module, manager.hook)


@contextmanager
def _blamed(method: Method, hook: str) -> Iterator[None]:
    """Turn an exception of a plugin into one paragraph that names it."""
    try:
        yield
    except HarnessError:
        raise
    except (Exception, SystemExit) as error:
        if disk_is_full(error):
            raise HarnessError(
                f"The disk is full: {hook} of the method '{method.name}' could not write "
                f"({error}). Free some space, or name another folder with --out, then run the same "
                "command again; finished work is reused."
            ) from error
        frame = traceback.extract_tb(error.__traceback__)[-1]
        raise HarnessError(
            f"The method '{method.name}' ({method.owner}) failed in {hook}: "
            f"{type(error).__name__}: {error} ({Path(frame.filename).name}:{frame.lineno}). "
            f"Report it to its authors, or test it with: harness check --method {method.name}"
        ) from error


def _owner(point: EntryPoint) -> str:
    return _name(point.dist) if point.dist is not None else point.value


@functools.lru_cache(maxsize=256)
def _name(distribution: Distribution) -> str:
    return distribution.name  # which reads and parses its metadata


def _load(point: EntryPoint, word: str) -> Any:
    try:
        return point.load()
    except (Exception, SystemExit) as error:  # a package may end the process at import
        raise UsageError(
            f"The {word} '{point.name}' ({_owner(point)}) cannot be imported: "
            f"{type(error).__name__}: {error}. Reinstall it, or uninstall it with: "
            f"{pip('uninstall')} {_owner(point)}"
        ) from error


def filled(owner: str, base: Any, values: Mapping[str, str], option: str = "--set ") -> Any:
    """Return options with values that were given as texts, ``KEY=VALUE`` each.

    Args:
        owner: whose options they are, such as ``method 'seva'``.
        base: a dataclass whose fields are the options. Its ``called_here(name, value)``, if it has
            one, says what a name of other software is here.
        values: by key.
        option: what stands before ``KEY=VALUE`` on the command line.

    Raises:
        UsageError: for an unknown key (naming the near miss) or a value that does not fit.
    """
    fields = {field.name: field for field in dataclasses.fields(base)}
    hints = get_type_hints(type(base))
    changes: dict[str, Any] = {}
    for key, text in values.items():
        if key not in fields:
            told = base.called_here(key, text) if hasattr(base, "called_here") else ""
            told = told or f"{near_miss(key, fields)} It has: {', '.join(sorted(fields))}."
            raise UsageError(f"The {owner} has no option '{key}'.{told}")
        changes[key] = _parsed(owner, key, hints[key], text)
    try:
        made = dataclasses.replace(base, **changes)
        check_bounds(made, option)
        return made
    except (ValueError, TypeError) as error:
        raise UsageError(f"The options of the {owner} do not fit together: {error}.") from error


def option_text(value: Any) -> str:
    """Return the value of an option as ``KEY=VALUE`` would have it: parts are joined by ``+``."""
    if isinstance(value, list | tuple):
        parts = [option_text(each) for each in value]
        return json.dumps(parts) if any("+" in part for part in parts) else "+".join(parts)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _parsed(owner: str, key: str, hint: Any, text: str) -> Any:
    from pydantic import TypeAdapter, ValidationError

    several = getattr(hint, "__origin__", None) is tuple
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(hint)
        if text.lower() == "none" and type(None) in get_args(hint):
            return None
        if text[:1] in ("[", "{") and hint is not str and (several or str not in get_args(hint)):
            return adapter.validate_json(text)
        if several:
            return adapter.validate_python(tuple(part for part in text.split("+") if part))
        return adapter.validate_python(text)
    except ValidationError as error:
        reason = error.errors()[0]["msg"]
        takes = "parts joined by +, as in A+B" if several else getattr(hint, "__name__", hint)
        raise UsageError(
            f"The option {key}={text} of the {owner} has no valid value: {reason}. It takes: "
            f"{takes}."
        ) from error
