"""One session of a judge: what is known is not asked; anchors first, the rest in random order."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness import progress
from harness.benchmark import JudgePrompt, UnparsableReply
from harness.errors import HarnessError
from harness.judge.items import JudgeItem
from harness.judge.protocol import Judge, Question, Reply
from harness.judge.records import AnchorCheck
from harness.judge.server import estimate
from harness.judge.verdict_cache import VerdictCache, VerdictKey
from harness.records import FIRST, MISSING, distinct, most_frequent, seed_of, stopped
from harness.settings import JudgeSettings
from harness.storage import Store


@dataclass(frozen=True)
class Replies:
    """What a session came to.

    One reply per judging by benchmark and question, what the judge calls itself and how it scored
    the anchors by benchmark, and the number of questions that reached it.
    """

    replies: Mapping[tuple[str, JudgePrompt], tuple[Reply, ...]]
    models: Mapping[str, str]
    checks: tuple[AnchorCheck, ...]
    calls: int


def collect(
    judge: Judge, items: Sequence[JudgeItem], store: Store, settings: JudgeSettings, seed: int
) -> Replies:
    """Return the replies to all items; a question that both arms share is asked once."""
    readers: dict[tuple[str, JudgePrompt], JudgeItem] = {}
    for item in items:
        if item.ask is not None:
            readers.setdefault((item.benchmark, item.ask), item)
    turns = range(settings.judgings)
    wanted = [(name, ask, turn) for name, ask in readers for turn in turns]
    one_each = {name: item for (name, _), item in readers.items()}
    books = {
        name: VerdictCache(judge.name, item, store, settings) for name, item in one_each.items()
    }
    known = _known(books, wanted, readers)
    unknown = distinct(name for name, ask, turn in wanted if (name, ask, turn) not in known)
    calls = 0
    if unknown:
        lacking = [Question(p[1].prompt, p[1].max_tokens) for p in wanted if p not in known]
        progress.say(f"judge: {estimate(lacking, settings.price)}; anchors besides")
        calls = _admit([books[name] for name in unknown], judge, settings)
        known = _known(books, wanted, readers)  # a new term has no verdicts yet
        order = [place for place in wanted if place not in known]
        random.Random(seed_of("judge", seed)).shuffle(order)
        calls += _ask(judge, books, readers, order, known)
    return Replies(
        replies={
            (name, ask): tuple(known[name, ask, turn] for turn in turns) for name, ask in readers
        },
        models={name: book.model for name, book in books.items()},
        checks=tuple(book.checked() for book in books.values()),
        calls=calls,
    )


def _known(
    books: Mapping[str, VerdictCache],
    wanted: Sequence[VerdictKey],
    readers: Mapping[tuple[str, JudgePrompt], JudgeItem],
) -> dict[VerdictKey, Reply]:
    """Return the stored replies; one that only an earlier version could read is asked anew."""
    found: dict[VerdictKey, Reply] = {}
    for name, book in books.items():
        found |= book.known([place for place in wanted if place[0] == name])
    return {place: reply for place, reply in found.items() if _readable(reply, readers[place[:2]])}


def _readable(reply: Reply, reader: JudgeItem) -> bool:
    try:
        reader.read(reply.text or "")
    except UnparsableReply:
        return False
    return True


def _admit(books: Sequence[VerdictCache], judge: Judge, settings: JudgeSettings) -> int:
    """Let the judge score the anchors, and find out whether it is reliable and unchanged.

    Each is asked twice, in random order: a judge that takes turns, whatever it is asked, would
    else pass now and then.
    """
    turns = range(1 if judge.steady else 2)
    asked = [
        (book, item, turn)
        for book in books
        for item in book.anchors
        for turn in turns
        if item.ask is not None
    ]
    random.Random(seed_of("anchors")).shuffle(asked)
    questions = [
        Question(item.ask.prompt, item.ask.max_tokens, turn)
        for _, item, turn in asked
        if item.ask is not None
    ]
    replies: dict[str, dict[str, list[Reply]]] = {book.name: {} for book in books}
    calls = 0
    with progress.bar("anchors", len(questions), "verdicts") as bar:
        for place, reply in judge.ask(questions):
            book, item, turn = asked[place]
            # The first turn is the one that counts for the drift, so it stays in front.
            each = replies[book.name].setdefault(item.sample.id, [])
            each.insert(0 if turn == 0 else len(each), reply)
            calls += reply.asked
            bar.advance(1)
    for book in books:
        book.check_drift(replies[book.name], accept=settings.accept_drift)
    return calls


def _ask(
    judge: Judge,
    books: Mapping[str, VerdictCache],
    readers: Mapping[tuple[str, JudgePrompt], JudgeItem],
    order: Sequence[VerdictKey],
    known: dict[VerdictKey, Reply],
) -> int:
    """Ask what is not known, and add it to what is."""
    closed = {name: book.closed for name, book in books.items() if book.closed is not None}
    known.update(
        {place: Reply(None, error=closed[place[0]]) for place in order if place[0] in closed}
    )
    order = [place for place in order if place[0] not in closed]
    # The first go ahead of the others where no verdict is known yet: see harness.records.stopped.
    ahead = FIRST if len(order) > FIRST and all(r.text is None for r in known.values()) else 0
    calls = 0
    with progress.bar("judge", len(order), "verdicts") as bar:
        for start, stop in ((0, ahead), (ahead, len(order))):
            part = order[start:stop]
            questions = [Question(ask.prompt, ask.max_tokens, turn) for _, ask, turn in part]
            for place, reply in judge.ask(questions):
                name, ask, _ = part[place]
                known[part[place]] = books[name].kept(part[place], reply, readers[name, ask])
                calls += reply.asked
                bar.advance(1)
            if 0 < stop == ahead:
                _refuse_hopeless([known[place] for place in part], judge)
    return calls


def _refuse_hopeless(first: Sequence[Reply], judge: Judge) -> None:
    """End a judging whose first verdicts are all missing, before the others are paid for."""
    if any(reply.text is not None for reply in first):
        return
    errors = Counter(reply.error or "no reply" for reply in first)
    raise HarnessError(
        stopped(
            "The judging",
            f"none of the first {len(first)} answers got a verdict",
            MISSING,
            f"{max(errors.values())} of {len(first)}",
            most_frequent(errors),
            f"the judge {judge.name}",
        )
    )
