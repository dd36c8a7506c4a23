"""What the store knows of one judge on one rubric: its verdicts, and whether it is still the same.

A *term* is the time in which a judge is the same. It begins with the first verdict on a benchmark
and ends when the judge's name or its scores for the anchors change, which is
refused unless the user accepts it. Verdicts belong to a term, so those of two are never mixed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from harness.benchmark import JudgePrompt, UnparsableReply
from harness.errors import HarnessError
from harness.judge.items import JudgeItem
from harness.judge.prompts import row_of
from harness.judge.protocol import Reply
from harness.judge.records import AnchorCheck
from harness.records import fingerprint, to_json
from harness.settings import JudgeSettings
from harness.storage import Store

DRIFT = 0.1
"""Mean change of the anchors' marks, as a share of the scale, above which a judge is refused."""

_TERMS = 100


VerdictKey = tuple[str, JudgePrompt, int]
"""Benchmark, question, and number of the judging."""
Marks = Mapping[str, tuple[float, ...]]
"""By anchor, its marks, one for each time it was asked."""


class VerdictCache:
    """What the store knows of one judge on one rubric.

    Attributes:
        name: of the benchmark.
        model: what the judge called itself at the beginning of the term; empty before the first.
        anchors: made-up answers whose score is beyond dispute; a judge that fails them is refused.
        closed: why nothing more is to be asked, or ``None``.
    """

    def __init__(self, judge: str, item: JudgeItem, store: Store, settings: JudgeSettings) -> None:
        """Look up the current term."""
        self.name = item.benchmark
        self.closed: str | None = None
        self.anchors = _anchors(item)
        self._rubric, self._store, self._judge = item.rubric, store, judge
        self._terms = [f"term:{self._print(number)}" for number in range(_TERMS)]
        self._word, self._accepted = settings.judge, settings.accept_judge is not None
        self._marks: Marks | None = None
        self._drift: float | None = None
        found = store.get(self._terms)
        self._term = sum(term in found for term in self._terms) - 1
        term = found[self._terms[self._term]] if self._term >= 0 else {"model": ""}
        self.model = str(term["model"])
        failed = bool(term.get("accepted")) or self._failure(self._first_marks(), {}) is not None
        self._withheld = failed and not self._accepted

    def known(self, places: Sequence[VerdictKey]) -> dict[VerdictKey, Reply]:
        """Return the stored replies of this term, unless its judge failed the anchors."""
        if self._term < 0 or self._withheld or self.closed is not None:
            return {}
        keys = {place: self._key(place) for place in places}
        found = self._store.records(keys.values(), Reply)
        return {place: found[key] for place, key in keys.items() if key in found}

    def kept(self, place: VerdictKey, reply: Reply, reader: JudgeItem) -> Reply:
        """Store a reply that can be read; say of any other why it is none."""
        if reply.text is None:
            return reply
        if reply.model != self.model:
            return _no(reply, f"the server answered as {reply.model}, not as {self.model}")
        try:
            reader.read(reply.text)
        except UnparsableReply as error:
            return _no(reply, str(error))
        self._store.put({self._key(place): to_json(reply)})
        return reply

    def check_drift(self, replies: Mapping[str, Sequence[Reply]], *, accept: bool) -> None:
        """Begin or go on with a term, given fresh replies to the anchors."""
        names = sorted({reply.model for each in replies.values() for reply in each if reply.model})
        if len(names) > 1:
            raise HarnessError(
                f"The judge {self._judge} answered under several names ({', '.join(names)}), so "
                "it is unknown whose verdicts these are. Name one dated version with --judge."
            )
        marks, unreadable, reasons = self._marks_of(replies)
        changed = self._changed(names[0], marks) if names and self._term >= 0 else None
        if changed is not None and not accept:
            raise HarnessError(
                f"{changed} Its earlier and its present verdicts cannot be compared. Name the "
                "dated "
                "version that judged before, or judge everything anew with --accept-drift."
            )
        if not marks:  # whoever marks no anchor would mark no answer either, and cost as much
            why = next(iter([*unreadable.values(), *reasons]), "none was asked")
            self.closed = f"no anchor answer got a score: {why}"
            return
        self._marks, self._withheld = marks, False
        failure = self._failure(marks, unreadable)
        if failure is None and not self._tells(marks):
            failure = f"too few anchor answers got a reply: {next(iter(reasons), 'none')}"
        if failure is not None and not self._accepted:
            self.closed = (
                f"{failure}. So its verdicts on {self.name} do not count; name another judge, or "
                f"add --accept-judge {self._word} to count them all the same"
            )
            return
        if self._term < 0 or changed is not None:
            self._term += 1
            self.model = names[0]
            self._drift = None
            entry: dict[str, object] = {"model": self.model}
            entry |= {"accepted": True} if failure is not None else {}
            self._store.put({self._terms[self._term]: entry})
        first = {name: each[0] for name, each in marks.items()}
        self._store.put({self._anchor_key(name): {"mark": mark} for name, mark in first.items()})

    def checked(self) -> AnchorCheck:
        """Return how the anchors were scored: now, or when the epoch began."""
        marks = self._first_marks() if self._marks is None else self._marks
        return AnchorCheck(
            benchmark=self.name,
            anchors=len(self._rubric.anchors),
            readable=len(marks),
            expected=len(marks) - len(self._wrong(marks)),
            drift=self._drift,
        )

    def _wrong(self, marks: Marks) -> list[str]:
        """Say of each anchor with an unexpected score what it got."""
        return [
            f"'{anchor.name}' got {' and '.join(f'{mark:g}' for mark in dict.fromkeys(found))}, a "
            f"sound judge gives {anchor.low:g}"
            + (f" to {anchor.high:g}" if anchor.high > anchor.low else "")
            for anchor in self._rubric.anchors
            if (found := marks.get(anchor.name, ()))
            and not all(anchor.low <= mark <= anchor.high for mark in found)
        ]

    def _failure(self, marks: Marks, unreadable: Mapping[str, str]) -> str | None:
        """Say which anchors the judge failed, if it did."""
        wrong = self._wrong(marks) + [f"'{name}': {why}" for name, why in unreadable.items()]
        if not wrong:
            return None
        count = len(self._rubric.anchors)
        return f"the judge fails {len(wrong)} of {count} anchor answers ({'; '.join(wrong)})"

    def _tells(self, marks: Marks) -> bool:
        """Whether good and bad answers are among the scored anchors, so that they show a drift."""
        bands = [(each.low, each.high) for each in self._rubric.anchors if each.name in marks]
        return max(low for low, _ in bands) > min(high for _, high in bands)

    def _changed(self, model: str, marks: Marks) -> str | None:
        if model != self.model:
            return (
                f"The judge {self._judge} calls itself {model}; it was {self.model} when its "
                f"first verdicts on {self.name} were stored."
            )
        before = self._first_marks()
        now = {name: each[0] for name, each in marks.items() if name in before}
        moves = {name: mark - before[name][0] for name, mark in now.items()}
        if not moves:
            return None
        drift = sum(map(abs, moves.values())) / len(moves) / self._rubric.span
        self._drift = round(drift, 10)
        if drift <= DRIFT:
            return None
        moved = ", ".join(
            f"'{name}' {before[name][0]:g} then, {now[name]:g} now" for name in moves if moves[name]
        )
        return (
            f"The judge {self._judge} has drifted on {self.name}: its scores for the anchors "
            f"moved by {drift:.0%} of the scale, more than {DRIFT:.0%} ({moved})."
        )

    def _marks_of(
        self, replies: Mapping[str, Sequence[Reply]]
    ) -> tuple[Marks, dict[str, str], list[str]]:
        """Return the anchors' scores, which could not be read, and why others got no reply."""
        marks, unreadable, reasons = dict[str, tuple[float, ...]](), dict[str, str](), list[str]()
        for anchor, item in zip(self._rubric.anchors, self.anchors, strict=True):
            for reply in replies.get(item.sample.id, ()):
                if reply.text is None:
                    reasons.append(reply.error or "no reply")
                    continue
                try:
                    mark = item.read(reply.text).scores[anchor.metric]
                except UnparsableReply as error:
                    unreadable.setdefault(anchor.name, str(error))
                    continue
                if mark is not None:
                    marks[anchor.name] = (*marks.get(anchor.name, ()), mark)
        readable = {name: each for name, each in marks.items() if name not in unreadable}
        return readable, unreadable, reasons

    def _first_marks(self) -> Marks:
        if self._term < 0:
            return {}
        keys = {anchor.name: self._anchor_key(anchor.name) for anchor in self._rubric.anchors}
        found = self._store.get(keys.values())
        return {name: (float(found[key]["mark"]),) for name, key in keys.items() if key in found}

    def _print(self, term: int) -> str:
        anchors = [(anchor.name, anchor.doc, anchor.answer) for anchor in self._rubric.anchors]
        return fingerprint(self._judge, self._rubric.version, anchors, term)

    def _anchor_key(self, anchor: str) -> str:
        return f"anchor:{self._terms[self._term]}:{anchor}"

    def _key(self, place: VerdictKey) -> str:
        _, ask, turn = place
        text = fingerprint(self.model, ask.prompt, ask.max_tokens, turn)
        return f"verdict:{self._terms[self._term]}:{text}"


def _no(reply: Reply, why: str) -> Reply:
    return dataclasses.replace(reply, text=None, error=why)


def _anchors(item: JudgeItem) -> tuple[JudgeItem, ...]:
    """Return the rubric's anchors in the form of answers."""
    found = []
    for anchor in item.rubric.anchors:
        row = row_of(anchor)
        sample = dataclasses.replace(item.sample, id=anchor.name, answer=anchor.answer)
        ask = item.rubric.ask(item.task, row, anchor.answer)
        found.append(dataclasses.replace(item, sample=sample, row=row, ask=ask))
    return tuple(found)
