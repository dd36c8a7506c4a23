"""What became of a row: one function decides, whoever was asked and whoever scored.

A row is *measured* when there is a text to read and every score that was wanted. Everything else
has a name, so that a failure is counted and never becomes a number. The records of rows
(:class:`harness.records.Sample`) ask :func:`state_of`; the engine, servers, tasks, imports and
judges only write down what happened.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

ANSWERED = "answered"
CUT = "cut"
THOUGHT_ONLY = "thought only"
NOT_FINITE = "not finite"
REFUSED = "refused by the scorer"
NOT_APPLICABLE = "not applicable"
MISSING = "missing"
STATES = (ANSWERED, CUT, THOUGHT_ONLY, NOT_FINITE, REFUSED, NOT_APPLICABLE, MISSING)
"""All states, in the order in which they are counted."""

LENGTH = "length"
"""How an answer ended that was cut at its limit (``Answer.finish``)."""

_NAMES = r"think(?:ing)?|thought|reasoning|seed:think"
_OPEN = (
    rf"<(?:{_NAMES})>|\[THINK\]|◁think▷|<\|START_THINKING\|>|<\|begin_of_thought\|>|<unused94>"
    r"|<\|channel\|>(?:analysis|commentary)<\|message\|>"
)
_CLOSE = (
    rf"</(?:{_NAMES})>|\[/THINK\]|◁/think▷|<\|END_THINKING\|>|<\|channel\|>final<\|message\|>"
    r"|<\|end_of_thought\|>|<unused95>"
)
_MANY_CUT = 0.05
_MARK = re.compile(f"(?P<open>{_OPEN})|(?P<close>{_CLOSE})", re.IGNORECASE)


def state_of(
    text: str | None,
    *,
    thought: str = "",
    finish: str = "stop",
    error: str | None = None,
    scores: Mapping[str, float | None] | None = None,
) -> str:
    """Return the state of a row, or of an answer that is not scored yet.

    Args:
        text: the answer without its thinking part; ``None`` when there is none.
        thought: the thinking part.
        finish: how generation ended.
        error: why answer or score is missing.
        scores: values by metric; ``None`` for an answer that is not scored yet.
    """
    if text is None and finish == NOT_FINITE:
        return NOT_FINITE
    if text is None or (text == "" and finish == LENGTH):
        if thought:
            return THOUGHT_ONLY
        return CUT if finish == LENGTH else MISSING
    known = [value for value in (scores or {}).values() if value is not None]
    if error is not None and not known:
        return REFUSED if error.startswith(REFUSED) else MISSING
    if scores is not None and not known:
        return MISSING if scores else NOT_APPLICABLE
    return CUT if finish == LENGTH else ANSWERED


def split_thought(text: str) -> tuple[str, str]:
    """Part what a model thought aloud from its answer.

    Thinking stands between marks such as ``<think>`` and ``</think>``. A mark that is never closed
    makes everything behind it a thought; a closing mark alone, everything before it, as chat
    templates open the thinking themselves.

    Returns:
        The thought, and the answer; without any mark, the text as it is.
    """
    thoughts: list[str] = []
    said: list[str] = []
    inside, place = False, 0
    for mark in _MARK.finditer(text):
        part = text[place : mark.start()]
        place = mark.end()
        if mark["close"] and not inside:  # what seemed to be said before was thought
            thoughts.extend([*said, part])
            said = []
        else:
            (thoughts if inside else said).append(part)
        inside = mark["open"] is not None
    if place == 0:
        return "", text
    (thoughts if inside else said).append(text[place:])
    return "\n".join(filter(None, map(str.strip, thoughts))), "".join(said).strip()


class HasState(Protocol):
    """A row, as far as counting goes; :class:`harness.records.Sample` is one."""

    @property
    def id(self) -> str:
        """Its id in the benchmark."""
        ...

    @property
    def answer(self) -> str | None:
        """What the model said, ``None`` when missing."""
        ...

    @property
    def tokens(self) -> int:
        """How many tokens that were."""
        ...

    @property
    def verdict(self) -> str | None:
        """What the scorer said."""
        ...

    @property
    def state(self) -> str:
        """One of :data:`STATES`."""
        ...

    @property
    def error(self) -> str | None:
        """Why answer or score is missing."""
        ...


@dataclass(frozen=True)
class StateCount:
    """How many rows of one arm are in a state.

    Attributes:
        state: one of :data:`STATES`.
        rows: how many.
        reason: the most frequent reason in words; empty where none was given.
    """

    state: str
    rows: int
    reason: str = ""


def count_states(rows: Iterable[HasState]) -> tuple[StateCount, ...]:
    """Count rows by state, in the order of :data:`STATES`; states without rows are left out."""
    reasons: dict[str, Counter[str]] = {}
    for row in rows:
        reasons.setdefault(row.state, Counter())[row.error or ""] += 1
    return tuple(
        StateCount(state, reasons[state].total(), most_frequent(reasons[state]))
        for state in STATES
        if state in reasons
    )


def most_frequent(reasons: Counter[str]) -> str:
    """Return the most frequent reason on one line, the first of equals by name."""
    reason = min(reasons, key=lambda text: (-reasons[text], text), default="")
    return " ".join(reason.split())


def sentences(arms: Mapping[str, Sequence[StateCount]]) -> tuple[str, ...]:
    """Say what became of the rows of each arm, where not all were simply answered.

    Args:
        arms: counts by the arm's name; an empty name where there is only one.
    """
    told = [
        f"rows {arm}".rstrip() + f": {counts_in_words(counts)}"
        for arm, counts in arms.items()
        if any(count.state != ANSWERED for count in counts)
    ]
    for arm, counts in arms.items():
        cut, share = next((c.rows for c in counts if c.state == CUT), 0), cut_share(counts)
        if share > _MANY_CUT:
            told.append(
                f"{cut} answers{f' {arm}' if arm else ''} ({100 * share:.0f} %) were cut at their "
                "limit, and what was cut off cannot be scored; raise the limit with "
                "--max-new-tokens"
            )
    return tuple(told)


def counts_in_words(counts: Sequence[StateCount]) -> str:
    """Return ``40 answered, 1 cut (2.4 %), 20 missing (reason)``."""
    share = cut_share(counts)
    return ", ".join(
        f"{count.rows} {count.state}"
        + (f" ({100 * share:.1f} %)" if count.state == CUT else _because(count))
        for count in counts
    )


def _because(count: StateCount) -> str:
    reason = count.reason.removeprefix(f"{count.state}: ")
    return f" ({reason})" if reason and count.state not in (ANSWERED, NOT_APPLICABLE) else ""


def cut_share(counts: Iterable[StateCount]) -> float:
    """Return the share of answers that were cut at their limit, among those that were given."""
    rows = {count.state: count.rows for count in counts}
    given = rows.get(ANSWERED, 0) + rows.get(CUT, 0)
    return rows.get(CUT, 0) / given if given else 0.0


FIRST = 8
"""How many rows go ahead of the others."""
_EMPTY, _ONE_TOKEN = "empty", "cut at one token"
_NEXT = {
    NOT_FINITE: (
        "An overflow while training or converting leaves such weights: take another checkpoint or "
        "adapter; in 16 bit, try --dtype float32"
    ),
    THOUGHT_ONLY: "Raise the limit for thinking and answer with --max-new-tokens 2048",
    CUT: "Raise the limit with --max-new-tokens 1024",
    _ONE_TOKEN: "Look for a limit in the server's settings, or raise it with --max-new-tokens 1024",
    _EMPTY: (
        "Ask the model one of these questions by hand: an end token at once points to another "
        "chat template than the one that it was trained with, or to a training that broke it"
    ),
    REFUSED: "Repair the benchmark's code at that place",
    NOT_APPLICABLE: "Write a benchmark for this task; see docs/write-a-benchmark.md",
    MISSING: "Repair what this names",
}


def settled(row: HasState) -> bool:
    """Say whether a row needs no further try: it is measured, or has nothing to measure."""
    return row.answer is not None and row.state in (ANSWERED, CUT, NOT_APPLICABLE)


def failed(row: HasState, limit: int) -> bool:
    """Say whether a row tells nothing of the model, for the rows that go ahead.

    Args:
        row: as it was measured.
        limit: where answers are cut, in tokens; one of a single token is meant so.
    """
    return _failure(row, limit) is not None


def _failure(row: HasState, limit: int) -> str | None:
    if row.state not in (ANSWERED, CUT) or row.answer is None:
        return row.state
    if not row.answer:
        return _EMPTY
    return _ONE_TOKEN if row.state == CUT and row.tokens <= 1 < limit else None


def none_measured(what: str, rows: Sequence[HasState], limit: int, model: str) -> str:
    """Say in one paragraph that no row that went ahead could be measured, why, and what to type.

    Args:
        what: benchmark and arm.
        rows: all of them failed.
        limit: where answers are cut, in tokens.
        model: whom was asked.
    """
    kinds = Counter(_failure(row, limit) or "" for row in rows)
    kind = min(kinds, key=lambda name: (-kinds[name], name))
    alike = [row for row in rows if _failure(row, limit) == kind]
    told = kind not in (_EMPTY, _ONE_TOKEN)
    reason = most_frequent(Counter(row.error or row.verdict or "" for row in alike if told))
    none = f"none of the first {len(rows)} rows can" if len(rows) > 1 else "its only row cannot"
    share = f"{len(alike)} of {len(rows)}, such as row {alike[0].id}"
    return stopped(what, f"{none} be measured", kind, share, reason, model)


def stopped(what: str, none: str, kind: str, share: str, reason: str, model: str) -> str:
    """Return the paragraph with which work ends whose beginning failed throughout.

    Args:
        what: benchmark and arm, or the pairs.
        none: what could not be had, as ``none of the first 8 rows can be measured``.
        kind: a state, or one of the words of :data:`_NEXT`.
        share: how many of how many failed so.
        reason: the most frequent one.
        model: whom was asked.
    """
    told = f"{kind}: {reason}" if reason and not reason.startswith(kind) else reason or kind
    return (
        f"{what}: {none}, so {model} is asked nothing more. {share}: {told.rstrip('.')}. "
        f"{_NEXT.get(kind, _NEXT[MISSING])}, then run the same command again; finished work is "
        "kept."
    )
