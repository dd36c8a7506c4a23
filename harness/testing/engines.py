"""What every engine promises, tried out on a real checkpoint beside the engine ``own``."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.errors import UsageError
from harness.model import OWN, Identity, Model
from harness.plugins import load
from harness.records import Answer, Demo, Request
from harness.resolve import engine_of
from harness.settings import EvalSettings

__all__ = ["Agreement", "assert_engine", "demo_questions"]

WORDS = ("What is shown?", "Is there a red square?\nAnswer the question using a single word.")
CHOICES = ("Yes", "No")


@dataclass(frozen=True)
class Agreement:
    """How an engine's answers compare with those of the engine ``own``.

    Attributes:
        identity: of the engine.
        rows: greedy questions, each asked of both.
        equal: of them, answers with the same text.
        choices: rows whose choices got log-probabilities from the engine.
        difference: largest difference of a choice's log-probability, in nats; ``None`` without.
    """

    identity: Identity
    rows: int
    equal: int
    choices: int
    difference: float | None


def assert_engine(
    name: str,
    *,
    values: Mapping[str, str] | None = None,
    checkpoint: Path | None = None,
    adapter: Path | None = None,
    requests: Sequence[Request] = (),
    least: float = 0.9,
    nats: float = 0.05,
) -> Agreement:
    """Fail where an engine breaks a promise of docs/engines.md; else say how far it agrees.

    Every request gets an answer in its place, once; greedy answers are those of the engine
    ``own`` as often as ``least`` says; log-probabilities of choices are close to those of ``own``
    or there are none; an adapter changes answers and comes off again; what is refused is answered
    by ``own``; a wrong option is refused; the identity is stable and differs from that of ``own``;
    and after ``release`` it answers as before.

    Args:
        name: what ``--engine`` takes.
        values: ``--engine-set`` texts by option.
        checkpoint: a model's folder; the built-in demo's by default.
        adapter: a PEFT adapter for it that changes some answers.
        requests: greedy questions; two about each of a few made-up images by default.
        least: share of greedy answers that must have the text of ``own``.
        nats: largest difference of a choice's log-probability.

    Raises:
        AssertionError: with a sentence that names the engine.
    """
    asked = EvalSettings(
        benches=(), engine=name, engine_options=tuple(sorted((values or {}).items()))
    )
    folder = checkpoint if checkpoint is not None else _demo()
    own = Model.open(folder)
    model = Model.open(folder, engine=engine_of(asked, own.protocol))
    try:
        _identity(name, model, own)
        _options(name)
        questions = list(requests) or demo_questions()
        found = _compare(name, model, own, questions, least, nats)
        _sampled_and_odd(name, model)
        _refused(name, model, own)
        if adapter is not None:
            adapted = model.with_adapter(adapter)
            assert adapted.fingerprint != model.fingerprint, f"{name}: an adapter has no print."
            said = _compare(name, adapted, own.with_adapter(adapter), questions, least, nats)
            assert _texts(adapted, questions) != _texts(model, questions), (
                f"{name}: no answer changes with the adapter {adapter}, so it may not be applied."
            )
            found = _joined(found, said)
        before = _texts(model, questions[:2])
        model.release()
        assert _texts(model, questions[:2]) == before, f"{name}: another answer after release."
    finally:
        model.release()
        own.release()
    return found


def demo_questions(images: int = 4) -> list[Request]:
    """Return greedy questions about made-up images, some with choices."""
    from PIL import Image

    found = []
    for at in range(images):
        image = Image.effect_mandelbrot((96, 80), (-2.0, -1.5 + at / 4, 1.0, 1.5), 20 + at)
        picture = image.convert("RGB")
        found.append(Request(WORDS[0], (picture,), max_new_tokens=12))
        found.append(Request(WORDS[1], (picture,), max_new_tokens=3, choices=CHOICES))
    return found


def _demo() -> Path:
    demo = load("demos", "tinyworld")
    assert isinstance(demo, Demo)
    return demo.model


def _identity(name: str, model: Model, own: Model) -> None:
    identity = model.engine.identity
    assert identity.name == name, f"{name} calls itself {identity.name}."
    assert identity.version, f"{name} has no version."
    assert identity == model.engine.identity, f"{name}: its identity changes."
    assert str(identity).isprintable(), f"{name}: its identity does not fit on a line."
    same = model.fingerprint == own.fingerprint
    assert same == (name == OWN), f"{name}: its answers would be taken for those of own."


def _options(name: str) -> None:
    wrong = (("no_such_option_at_all", "1"),)
    try:
        engine_of(EvalSettings(benches=(), engine=name, engine_options=wrong), "hf")
    except UsageError:
        return
    raise AssertionError(f"{name} accepted the unknown option {wrong[0][0]}.")


def _texts(model: Model, requests: Sequence[Request]) -> list[str | None]:
    return [answer.text for answer in model.answer(requests)]


def _compare(
    name: str, model: Model, own: Model, requests: Sequence[Request], least: float, nats: float
) -> Agreement:
    theirs, ours = list(model.answer(requests)), list(own.answer(requests))
    assert len(theirs) == len(requests), f"{name}: {len(theirs)} answers to {len(requests)}."
    for request, answer, mine in zip(requests, theirs, ours, strict=True):
        where = f"{name}, '{request.prompt[:30]}'"
        assert answer.text is not None or mine.text is None, f"{where}: {answer.error}"
        assert 0 < answer.tokens <= request.max_new_tokens, f"{where}: {answer.tokens} tokens."
        assert len(answer.choices) in (0, len(request.choices)), f"{where}: some choices."
    equal = sum(a.text == b.text for a, b in zip(theirs, ours, strict=True))
    assert equal >= least * len(requests), (
        f"{name}: {equal} of {len(requests)} greedy answers are those of own, and {least:.0%} "
        "must be. Is it the same checkpoint, number format and chat template?"
    )
    known = [(a, b) for a, b in zip(theirs, ours, strict=True) if a.choices]
    gaps = [abs(x - y) for a, b in known for x, y in zip(a.choices, b.choices, strict=True)]
    assert all(map(math.isfinite, gaps)), f"{name}: a log-probability is NaN or infinite."
    worst = max(gaps, default=None)
    assert worst is None or worst <= nats, f"{name}: a choice differs by {worst:.3g} nats."
    return Agreement(model.engine.identity, len(requests), equal, len(known), worst)


def _joined(one: Agreement, two: Agreement) -> Agreement:
    gaps = [gap for gap in (one.difference, two.difference) if gap is not None]
    return Agreement(
        one.identity,
        one.rows + two.rows,
        one.equal + two.equal,
        one.choices + two.choices,
        max(gaps, default=None),
    )


def _sampled_and_odd(name: str, model: Model) -> None:
    """Ask what a run asks besides greedy questions: samples, stops, repeats, text alone."""
    shown = demo_questions(1)[0]
    sampled = Request(shown.prompt, shown.images, 6, temperature=0.9, top_p=0.9, seed=7)
    ended = Request(shown.prompt, shown.images, 6, stop=(" ",))
    odd = [shown, sampled, ended, shown, Request("Say something.", max_new_tokens=4)]
    answers: list[Answer] = list(model.answer(odd))
    assert len(answers) == len(odd), f"{name}: {len(answers)} answers to {len(odd)} questions."
    assert answers[0] == answers[3], f"{name}: the same question has two answers in one window."
    stopped = answers[2].text
    assert stopped is None or " " not in stopped, f"{name}: a stop text is in the answer."


@dataclass(frozen=True)
class _Same:
    """A view that changes nothing."""

    def __call__(self, pixels: object) -> object:
        return pixels


def _refused(name: str, model: Model, own: Model) -> None:
    """A request that the engine refuses has the answer of ``own``, which has its own place."""
    shown = demo_questions(1)[0]
    viewed = Request(shown.prompt, shown.images, 4, view=_Same())  # type: ignore[arg-type]
    if model.engine.refuses(viewed) is not None:
        assert _texts(model, [viewed]) == _texts(own, [viewed]), f"{name}: own did not answer."
