"""The contract of a method, checked: what every run relies on, tried out on the built-in demo.

``check_method("mine")`` returns a report; ``assert_method("mine")`` fails a test with it. Under
pytest the fixture ``harness_check`` is the latter. Each check has a time limit, and its failure
names the plugin: a method that raises, hangs or returns nonsense gets one plain sentence.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import HarnessError, UsageError
from harness.pairs import read_prompts, time_limit
from harness.plugins import Method, load, load_method
from harness.records import Demo, Prompt
from harness.testing.contract import CHECKS, Trial

__all__ = ["Check", "MethodReport", "assert_method", "check_method"]

DEMO = "tinyworld"
PROMPTS = 8
SECONDS = 300.0
TOKENS = "16"


@dataclass(frozen=True, slots=True)
class Check:
    """One promise of the contract: kept, broken, or not reached because an earlier one broke.

    Attributes:
        name: the promise, as docs/write-a-method.md lists it.
        passed: ``None`` when it was not reached.
        detail: what went wrong and what to do.
        seconds: wall time.
    """

    name: str
    passed: bool | None
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class MethodReport:
    """All checks of one method, in their order."""

    method: str
    owner: str
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Whether every promise was kept."""
        return all(check.passed for check in self.checks)

    @property
    def text(self) -> str:
        """One line a check, for a terminal."""
        words = {True: "ok", False: "FAILED", None: "not reached"}
        lines = [f"{self.method} ({self.owner})"]
        for check in self.checks:
            told = f": {check.detail}" if check.detail else ""
            lines.append(f"  {words[check.passed]:>11}  {check.name}{told}")
        return "\n".join(lines) + "\n"


def check_method(
    name: str,
    *,
    preset: str | None = None,
    values: Mapping[str, str] | None = None,
    prompts: int = PROMPTS,
    seconds: float = SECONDS,
) -> MethodReport:
    """Try a method on the built-in demo's model and first prompts.

    Args:
        name: as ``--method`` takes it.
        preset: its preset; the one that fits the demo by default.
        values: ``--set`` texts; answers are cut after 16 tokens where ``max_new_tokens`` exists
            and is not given.
        prompts: how many prompts; at least 2.
        seconds: time limit of each check.

    Returns:
        A report. A method that breaks its contract gives a report that did not pass, not an error.

    Raises:
        UsageError: if there is no such method, or the preset or a value does not fit it.
    """
    method = load_method(name)
    demo = load("demos", DEMO)
    assert isinstance(demo, Demo)
    with tempfile.TemporaryDirectory(prefix="harness-check-") as folder:
        trial = Trial(
            method=method,
            options=_options(method, preset or _fitting(method, demo), dict(values or {})),
            prompts=_copied(read_prompts(demo.prompts, max(2, prompts)), Path(folder) / "images"),
            checkpoint=demo.model,
            folder=Path(folder),
        )
        made: list[Check] = []
        for promise, check in CHECKS.items():
            broken = any(not one.passed for one in made)
            made.append(
                Check(promise, None, "", 0.0) if broken else _tried(promise, check, trial, seconds)
            )
    return MethodReport(method.name, method.owner, tuple(made))


def assert_method(
    name: str,
    *,
    preset: str | None = None,
    values: Mapping[str, str] | None = None,
    seconds: float = SECONDS,
) -> None:
    """Raise an ``AssertionError`` that lists every check unless the method keeps its contract."""
    report = check_method(name, preset=preset, values=values, seconds=seconds)
    if not report.passed:
        raise AssertionError("the method breaks its contract\n" + report.text)


def _tried(promise: str, check: Callable[[Trial], None], trial: Trial, seconds: float) -> Check:
    began = time.monotonic()
    detail = ""
    try:
        with time_limit(seconds, f"{trial.who} took longer than {seconds:g} s for '{promise}'."):
            check(trial)
    except HarnessError as error:
        detail = str(error)
    except Exception as error:
        detail = f"{trial.who} failed: {type(error).__name__}: {error}."
    return Check(promise, not detail, detail, time.monotonic() - began)


def _copied(prompts: Sequence[Prompt], folder: Path) -> tuple[Prompt, ...]:
    """Give the method images of its own: one that writes to them affects nothing else."""
    folder.mkdir()
    return tuple(
        dataclasses.replace(prompt, image=Path(shutil.copy(image, folder)))
        for prompt in prompts
        for image in prompt.images  # one each: these are the demo's
    )


def _fitting(method: Method, demo: Demo) -> str | None:
    return demo.preset if demo.preset in getattr(method.module, "PRESETS", {}) else None


def _options(method: Method, preset: str | None, values: dict[str, str]) -> object:
    kind = getattr(method.module, "Options", None)
    if dataclasses.is_dataclass(kind):
        if "max_new_tokens" in {field.name for field in dataclasses.fields(kind)}:
            values.setdefault("max_new_tokens", TOKENS)
    elif kind is not None:
        raise UsageError(
            f"Options of the method '{method.name}' ({method.owner}) is not a dataclass. Write "
            "@dataclass(frozen=True) above it; see docs/write-a-method.md."
        )
    options = method.options(preset, values)
    if options is not None:
        try:
            json.dumps(dataclasses.asdict(options))
        except TypeError as error:
            raise UsageError(
                f"An option of the method '{method.name}' ({method.owner}) has no JSON form "
                f"({error}). Use numbers, texts, truth values and tuples of them."
            ) from error
    return options
