"""Let the method make preference pairs, check each one, and count what was dropped.

Every record is journalled as it comes. After a kill, the prompts whose records are complete are
not asked again; a method's randomness depends on the prompt's id, so the rest is the same. The
stage itself drops prompts that cannot be used, and notes answers that were cut.
"""

from __future__ import annotations

import json
import signal
import threading
from collections import Counter
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from harness import progress
from harness.context import Context, Plan
from harness.dpo import UNHELD, Training, Unfit, pair_encoder, sides_problem, training_of
from harness.errors import HarnessError
from harness.model import Model
from harness.plugins import Method
from harness.protocol import messages
from harness.records import (
    FIRST,
    LENGTH,
    STATES,
    UNREADABLE,
    Answer,
    Drop,
    Pair,
    Prompt,
    Request,
    distinct,
    from_json,
    most_frequent,
    open_image,
    stopped,
    to_json,
)
from harness.storage import Journal, write_whole

_BATCH = 16
_NO_ANSWER = ("missing", "empty")
"""Reasons of a drop that are due to the model, not to the prompt or the method."""


@dataclass(frozen=True)
class PairSet:
    """The pairs to train on, and how many prompts gave none, by reason."""

    pairs: tuple[Pair, ...]
    dropped: Mapping[str, int]
    prompts: int
    reused: bool


def make_pairs(context: Context[Plan], model: Model) -> PairSet:
    """Return the run's pairs, from ``pairs.jsonl`` as far as it goes and from the method.

    Raises:
        HarnessError: if the method hangs, yields an invalid pair, or none is left.
    """
    plan, folder, prompts = context.plan, context.folder, context.plan.prompts
    journal, reused = _filled(context, model)
    pairs = tuple(row for row in journal.rows if isinstance(row, Pair))
    drops = [row for row in journal.rows if isinstance(row, Drop)]
    counts = Counter(drop.reason for drop in drops)
    lines = (json.dumps(to_json(drop), ensure_ascii=False) + "\n" for drop in drops)
    write_whole(folder / "dropped.jsonl", "".join(lines))
    if not pairs:
        why = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        raise HarnessError(
            f"No pairs are left of {len(prompts)} prompts ({why or 'the method made none'}); there "
            f"is nothing to train on. See {folder / 'pairs.jsonl'}; give more prompts with "
            "--prompts, or other options of the method with --set."
        )
    return PairSet(pairs, dict(counts), len(prompts) + len(plan.dropped), reused)


def answer_prompts(context: Context[Plan], model: Model) -> None:
    """Let the method make pairs for their answers alone, which are in the store afterwards.

    A journal of them is kept, so that what was killed goes on; there may be no pairs.

    Raises:
        HarnessError: if the method hangs or yields an invalid pair.
    """
    _filled(context, model)


def _filled(context: Context[Plan], model: Model) -> tuple[Journal[Pair | Drop], bool]:
    """Return the whole journal of pairs and drops, and whether it was whole before."""
    plan = context.plan
    journal: Journal[Pair | Drop] = Journal(
        context.folder / "pairs.jsonl",
        plan.pairs_print(model.fingerprint),
        _parser({prompt.id: prompt for prompt in plan.prompts}),
    )
    reused = journal.complete
    if not reused:
        _fill(journal, plan, model)
    return journal, reused


def _fill(journal: Journal[Pair | Drop], plan: Plan, model: Model) -> None:
    method, prompts, pair_timeout = plan.method, plan.prompts, 60 * plan.settings.pair_timeout
    if missing := plan.dropped[len(journal.rows) :]:
        journal.append(*missing)
    done = _finished(journal, prompts, len(plan.dropped))
    with progress.bar("pairs", len(prompts), "prompts") as bar:
        bar.advance(done, "taken from an earlier call" if done else "")
        waiting: list[Pair | Drop] = []
        last = None
        leading: tuple[Drop, ...] | None = None if done else ()
        watched, sieve = Watched(model), Sieve(model, training_of(method, plan.options))
        places = {prompt.id: place for place, prompt in enumerate(prompts[done:])}
        made = method.make_pairs(sieve.prompts(prompts[done:]), watched, plan.options, plan.seed)
        for item in _patiently(made, method, pair_timeout, journal.path):
            checked = sieve.pair(watched.marked(_checked(item, method, places)))
            if leading is not None:
                leading = _leading(leading, checked, method, model)
            for record in (*sieve.dropped(places[checked.prompt.id]), checked):
                waiting.append(record)
                if record.prompt.id != last:
                    last = record.prompt.id
                    bar.advance(1, f"{type(record).__name__.lower()} {last}")
            if len(waiting) >= _BATCH:
                journal.append(*waiting)
                waiting.clear()
        journal.append(*waiting, *sieve.dropped())
        journal.finish()


def _leading(
    drops: tuple[Drop, ...], item: Pair | Drop, method: Method, model: Model
) -> tuple[Drop, ...] | None:
    """Collect the prompts from the first on that got no answer; ``None`` after one that did.

    Raises:
        HarnessError: if that is so for all of the first prompts.
    """
    if isinstance(item, Pair) or item.reason not in _NO_ANSWER:
        return None
    drops = (*drops, item)
    prompts = distinct(drop.prompt.id for drop in drops)
    if len(prompts) < FIRST:
        return drops
    errors = Counter(str(drop.meta.get("error") or drop.reason) for drop in drops)
    reason = most_frequent(errors)
    told = stopped(
        f"The pairs of '{method.name}'",
        f"the first {len(prompts)} prompts got no answers",
        next((state for state in STATES if reason.startswith(state)), drops[0].reason),
        f"{max(errors.values())} of {len(drops)}",
        reason,
        str(getattr(model, "source", "the model")),
    )
    raise HarnessError(told)


def _patiently(
    made: Iterable[Any], method: Method, pair_timeout: float, path: Path
) -> Iterator[Any]:
    items, nothing = iter(made), object()
    told = (
        f"The method '{method.name}' ({method.owner}) has given no pair for {pair_timeout / 60:g} "
        f"minutes. Its pairs so far are in {path}. If it is only slow, allow more time with "
        "--pair-timeout MINUTES; else try it with: harness check --method " + method.name
    )
    while True:
        with time_limit(pair_timeout, told):
            item = next(items, nothing)
        if item is nothing:
            return
        yield item


def _finished(journal: Journal[Pair | Drop], prompts: Sequence[Prompt], before: int) -> int:
    """Return how many prompts are done for good; the last one seen may lack records.

    The journal begins with ``before`` records of rows that are no prompts.
    """
    if len(journal.rows) == before:
        return 0
    last = journal.rows[-1].prompt.id
    journal.forget(next(i for i, row in enumerate(journal.rows) if row.prompt.id == last))
    return next(i for i, prompt in enumerate(prompts) if prompt.id == last)


def _checked(item: Any, method: Method, known: Container[str]) -> Pair | Drop:
    """Return the item as it may be trained on: answers equal to the chosen one are taken out."""
    who = f"The method '{method.name}' ({method.owner})"
    if not isinstance(item, Pair | Drop):
        raise HarnessError(
            f"{who} yielded {type(item).__name__} instead of a Pair or a Drop. "
            f"Test it with: harness check --method {method.name}"
        )
    if not isinstance(item.prompt, Prompt) or item.prompt.id not in known:
        raise HarnessError(f"{who} yielded a pair for a prompt that it was not given.")
    if isinstance(item, Drop):
        return item
    if isinstance(item.rejected, str):
        raise HarnessError(
            f"{who} yielded a pair whose rejected answers are one string for prompt "
            f"'{item.prompt.id}'. They must be a tuple of answers, even for a single one."
        )
    texts = (item.chosen, *item.rejected)
    if not item.rejected or not all(isinstance(text, str) for text in texts):
        raise HarnessError(
            f"{who} yielded a pair without texts for prompt '{item.prompt.id}': chosen and every "
            "rejected answer must be strings, and there must be at least one rejected answer."
        )
    if told := sides_problem(item):
        raise HarnessError(f"{who} yielded an invalid pair for prompt '{item.prompt.id}': {told}")
    if not all(text.strip() for text in texts):
        return Drop(item.prompt, "empty", item.meta)
    kept = [item.said.index(each) for each in distinct(item.said)]
    if len(kept) == 1:
        return Drop(item.prompt, "equal", item.meta)
    return item if len(kept) == len(texts) else item.arranged(kept)


def _parser(prompts: Mapping[str, Prompt]) -> Callable[[dict[str, Any]], Pair | Drop]:
    """Read a journal line; its prompt is taken from today's file, which may have moved."""

    def parse(row: dict[str, Any]) -> Pair | Drop:
        kind: type[Pair] | type[Drop] = Drop if "reason" in row else Pair
        made = from_json(kind, row)
        return replace(made, prompt=prompts.get(row["prompt"]["id"], made.prompt))

    return parse


class _TooLong(BaseException):
    """No ``Exception``: code that catches everything it knows of must not swallow the limit."""


@contextmanager
def time_limit(seconds: float, message: str) -> Iterator[None]:
    """Raise ``HarnessError(message)`` inside of the block when it takes too long.

    It works by a signal, so only in the main thread and where the system has timers; elsewhere
    the block runs without a limit. Code that never returns to Python is interrupted when it does.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "setitimer"
    ):
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise _TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    except _TooLong:
        raise HarnessError(message) from None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


class Watched:
    """The model as a method sees it; remembers which answers were cut by their limit of tokens."""

    def __init__(self, model: Any) -> None:
        """Hand everything on to ``model``."""
        self._model = model
        self._cut: set[int] = set()
        self._whole: set[int] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def answer(self, requests: Iterable[Request]) -> Iterator[Answer]:
        """Answer the requests, and remember how each answer ended."""
        for answer in self._model.answer(requests):
            if answer.text is not None:
                kind = self._cut if answer.finish == LENGTH else self._whole
                kind.add(_key(answer.text))
            yield answer

    def marked(self, item: Pair | Drop) -> Pair | Drop:
        """Note in a pair's ``meta`` which of its answers were cut, unless the method has."""
        if isinstance(item, Drop) or "cut" in item.meta or not self._cut:
            return item
        keys = [(text, _key(text)) for text in (item.chosen, *item.rejected)]
        cut = [text for text, key in keys if key in self._cut and key not in self._whole]
        return replace(item, meta={**item.meta, "cut": cut}) if cut else item


def _key(text: str) -> int:
    """Name a text without its white space: methods may take line ends out."""
    return hash("".join(text.split()))


class Sieve:
    """Takes out prompts that cannot be asked and pairs that cannot be trained on, with reasons."""

    def __init__(self, model: Any, training: Training | None) -> None:
        """Use the training's own encoder.

        Args:
            model: to be trained.
            training: how; ``None`` where the method trains in its own way, so that only images
                are looked at.
        """
        self._encoder = None if training is None else pair_encoder(model, training)
        self._waiting: list[tuple[int, Drop]] = []

    def prompts(self, prompts: Sequence[Prompt]) -> Iterator[Prompt]:
        """Yield those that can be asked; the others wait for :meth:`dropped`."""
        for place, prompt in enumerate(prompts):
            drop = self._problem(prompt)
            if drop is None:
                yield prompt
            else:
                self._waiting.append((place, drop))

    def dropped(self, before: int | None = None) -> Iterator[Drop]:
        """Yield the prompts taken out so far, those at a place ``before`` this one only."""
        while self._waiting and (before is None or self._waiting[0][0] < before):
            yield self._waiting.pop(0)[1]

    def pair(self, item: Pair | Drop) -> Pair | Drop:
        """Return a pair as a training takes it, or the drop that says why it takes none."""
        if isinstance(item, Drop) or self._encoder is None:
            return item
        try:
            return self._encoder.fit(item)
        except Unfit as error:
            return Drop(item.prompt, error.reason, {**item.meta, "error": str(error)})

    def _problem(self, prompt: Prompt) -> Drop | None:
        try:
            for image in prompt.images:
                open_image(image, f"prompt '{prompt.id}'", again=True)
        except HarnessError as error:
            return Drop(prompt, UNREADABLE, {"error": str(error)})
        try:
            asked = messages(prompt.question, len(prompt.images), prompt.history)
        except ValueError as error:
            return Drop(prompt, UNHELD, {"error": str(error)})
        found = self._encoder.spelled_by(asked) if self._encoder is not None else None
        if found is None:
            return None
        told = f"The question spells {found}, which this model reads as a control token."
        return Drop(prompt, "control token", {"error": told})
