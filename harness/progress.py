"""The only place that writes to stderr: a bar per stage, plain lines, and ``--json`` events.

Stages, engine and trainer call :func:`bar` and :func:`say`; what becomes of it is decided once, by
the command line, with :func:`showing`. Without that, nothing is written (library use, tests).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
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
    def __init__(
        self, stage: str, total: int | None, unit: str, display: Progress, whole: _Whole | None
    ) -> None:
        super().__init__(stage, total, unit)
        self._display, self._whole, self._note = display, whole, ""
        _, self._room = _layout(display.console.width)
        self._task: TaskID = display.add_task(stage, total=total, told="")

    def expect(self, total: int) -> None:
        super().expect(total)
        self._display.update(self._task, total=total)

    def advance(self, count: int = 1, note: str = "") -> None:
        super().advance(count, note)
        self._note = note or self._note
        self._display.update(self._task, advance=count)
        task = next(task for task in self._display.tasks if task.id == self._task)
        ahead = self._whole.ahead(task.time_remaining) if self._whole is not None else ()
        # While the model loads, nothing is done yet: a pace of 0.0 would mislead.
        pace = f"{task.speed:.1f} {self.unit}/s" if task.speed else ""
        self._display.update(self._task, told=_fitting([*ahead, pace, self._note], self._room))

    def finish(self) -> None:
        told = _fitting([f"{self.done} {self.unit} in {self.seconds:.1f} s"], self._room)
        self._display.update(self._task, total=self.done or 1, completed=self.done or 1, told=told)


def _layout(width: int) -> tuple[int, int]:
    """Return the places of the bar itself and of the text behind it; rich would cut numbers."""
    bar = 24 if width >= 100 else 8 if width >= 70 else 0
    return bar, max(0, width - bar - 36)


def _fitting(parts: Sequence[str], room: int) -> str:
    """Return those of the parts for which there is room, the first before the others."""
    told = ""
    for part in filter(None, parts):
        longer = f"{told}, {part}" if told else part
        told = longer if len(longer) <= room else told
    return told


class _Whole:
    """All stages of a run: how many there are, and how long those ahead take as far as is known.

    A stage takes as long as it took before: in the round or with the seed before, and after the
    training as before it.
    """

    def __init__(self, stages: Sequence[str]) -> None:
        self._ahead, self._count = list(stages), len(stages)
        self._took: dict[str, float] = {}

    def begin(self, stage: str) -> None:
        """Say that a stage begins; those before it were done in an earlier call."""
        if stage in self._ahead:
            del self._ahead[: self._ahead.index(stage) + 1]

    def end(self, bar: Bar) -> None:
        """Keep how long a stage took."""
        self._took[bar.stage] = bar.seconds

    def ahead(self, rest: float | None) -> tuple[str, str]:
        """Return what is left if this stage takes ``rest`` seconds more, and which stage it is."""
        known = [self._took.get(each, self._took.get(_before(each))) for each in self._ahead]
        seconds = sum(each for each in (rest, *known) if each is not None)
        least = "at least" if None in (rest, *known) else "about"
        left = f"{least} {duration(seconds)} left in all" if seconds else ""
        return left, f"stage {self._count - len(self._ahead)}/{self._count}"


def _before(stage: str) -> str:
    return f"before {stage.rpartition('after ')[2]}"


def duration(seconds: float) -> str:
    """Return a time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


class Reporter:
    """Where progress goes: ``stderr`` for people, ``stdout`` for events, a log file for later."""

    def __init__(self, *, quiet: bool = False, events: bool = False, log: Path | None = None):
        """Bars are drawn only when stderr is a terminal; ``events`` writes JSON lines to stdout."""
        self.quiet, self.events = quiet, events
        self._log: IO[str] | None = None
        self._display: Progress | None = None
        self._whole: _Whole | None = None
        self._times = 1
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

    def stages(self, names: Sequence[str]) -> None:
        """Let the bars say what is left of these stages, as often as they were said to come."""
        if self._whole is None or self._times == 1:
            self._whole = _Whole([*names] * self._times)

    @contextmanager
    def repeated(self, times: int) -> Iterator[None]:
        """Say that the stages that follow come that often."""
        self._whole, self._times = None, times
        try:
            yield
        finally:
            self._whole, self._times = None, 1

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
        if self._whole is not None:
            self._whole.begin(stage)
        rich_bar = _Rich(stage, total, unit, display, self._whole)
        try:
            yield rich_bar
            rich_bar.finish()
            if self._whole is not None:
                self._whole.end(rich_bar)
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

        console = Console(stderr=True)
        bar, _ = _layout(console.width)
        self._display = Progress(
            TextColumn("{task.description:<15}", markup=False),
            *([BarColumn(bar)] if bar else []),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[told]}", markup=False, style="dim"),
            console=console,
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
