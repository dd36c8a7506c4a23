"""The only place that writes to stderr: a bar per stage, plain lines, and ``--json`` events.

Stages, engine and trainer call :func:`bar` and :func:`say`; what becomes of it is decided once, by
the command line, with :func:`showing`. Without that, nothing is written (library use, tests).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from harness.errors import plain

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """One stage's progress; the base class counts silently and remembers the stage's pace."""

    def __init__(self, stage: str, total: int | None, unit: str) -> None:
        """Begin at zero; ``total`` may be unknown and set later with :meth:`expect`."""
        self.stage, self.total, self.unit, self.done = stage, total, unit, 0
        self.began = time.monotonic()

    def expect(self, total: int) -> None:
        """Say how many units there will be."""
        self.total = total

    def advance(self, count: int = 1, note: str = "") -> None:
        """Count finished units; ``note`` says what is being done now."""
        self.done += count

    @property
    def seconds(self) -> float:
        """Wall time since the stage began."""
        return time.monotonic() - self.began


class _Rich(Bar):
    def __init__(self, stage: str, total: int | None, unit: str, display: Progress) -> None:
        super().__init__(stage, total, unit)
        self._display = display
        self._task: TaskID = display.add_task(stage, total=total, note="", pace="")

    def expect(self, total: int) -> None:
        super().expect(total)
        self._display.update(self._task, total=total)

    def advance(self, count: int = 1, note: str = "") -> None:
        super().advance(count, note)
        # While the model loads, nothing is done yet: a pace of 0.0 would mislead.
        pace = f"{self.done / max(self.seconds, 1e-9):.1f} {self.unit}/s" if self.done else ""
        self._display.update(self._task, advance=count, pace=pace)
        if note:
            self._display.update(self._task, note=note)

    def finish(self) -> None:
        note = f"{self.done} {self.unit} in {self.seconds:.1f} s"
        self._display.update(
            self._task, total=self.done or 1, completed=self.done or 1, note=note, pace=""
        )


class Reporter:
    """Where progress goes: ``stderr`` for people, ``stdout`` for events, a log file for later."""

    def __init__(self, *, quiet: bool = False, events: bool = False, log: Path | None = None):
        """Bars are drawn only when stderr is a terminal; ``events`` writes JSON lines to stdout."""
        self.quiet, self.events = quiet, events
        self._log: IO[str] | None = None
        self._display: Progress | None = None
        if log is not None:
            self.log_to(log)

    def log_to(self, path: Path) -> None:
        """Append every line to this file too."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._log = path.open("a", encoding="utf-8")

    def say(self, text: str) -> None:
        """Write one line for people, and to the log file; names in foreign files are not ours."""
        text = "\n".join(map(plain, text.split("\n")))
        if self._log is not None:
            self._log.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {text}\n")
            self._log.flush()
        if self.quiet:
            return
        if self._display is not None:
            self._display.console.print(text, markup=False, highlight=False, soft_wrap=True)
        else:
            print(text, file=sys.stderr, flush=True)

    def event(self, kind: str, **fields: Any) -> None:
        """Write one JSON event to stdout when ``--json`` was asked for."""
        if self.events:
            print(json.dumps({"event": kind, **fields}), flush=True)

    @contextmanager
    def bar(self, stage: str, total: int | None, unit: str) -> Iterator[Bar]:
        """Show one stage from its begin to its end."""
        self.event("start", stage=stage, total=total, unit=unit)
        if self.quiet or not sys.stderr.isatty():
            plain = Bar(stage, total, unit)
            yield plain
            self.say(f"{stage}: {plain.done} {unit} in {plain.seconds:.1f} s")
            self.event("stage", stage=stage, done=plain.done, seconds=round(plain.seconds, 3))
            return
        owner = self._display is None
        display = self._open_display() if self._display is None else self._display
        rich_bar = _Rich(stage, total, unit, display)
        try:
            yield rich_bar
            rich_bar.finish()
            self.event("stage", stage=stage, done=rich_bar.done, seconds=round(rich_bar.seconds, 3))
        finally:
            if owner:
                display.stop()
                self._display = None

    def _open_display(self) -> Progress:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        self._display = Progress(
            TextColumn("{task.description:<15}", markup=False),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[pace]}", markup=False, style="dim"),
            TextColumn("{task.fields[note]}", markup=False, style="dim"),
            console=Console(stderr=True),
        )
        self._display.start()
        return self._display


_CURRENT: ContextVar[Reporter | None] = ContextVar("reporter", default=None)
_SILENT = Reporter(quiet=True)


def current() -> Reporter:
    """Return the reporter in force; a silent one when none was set."""
    return _CURRENT.get() or _SILENT


@contextmanager
def showing(reporter: Reporter) -> Iterator[Reporter]:
    """Send everything inside the ``with`` block to this reporter."""
    token = _CURRENT.set(reporter)
    try:
        yield reporter
    finally:
        _CURRENT.reset(token)


@contextmanager
def bar(stage: str, total: int | None = None, unit: str = "items") -> Iterator[Bar]:
    """Show a bar on the reporter in force."""
    with current().bar(stage, total, unit) as shown:
        yield shown


def say(text: str) -> None:
    """Say one line on the reporter in force."""
    current().say(text)
