"""What the pair stage sees for itself: prompts that cannot be used, and answers that were cut."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from harness.dpo import UNHELD, Training, Unfit, pair_encoder
from harness.errors import HarnessError
from harness.protocol import messages
from harness.records import LENGTH, Answer, Drop, Pair, Prompt, Request


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
            prompt.open_images()
        except HarnessError as error:
            return Drop(prompt, "unreadable image", {"error": str(error)})
        try:
            asked = messages(prompt.question, len(prompt.images), prompt.history)
        except ValueError as error:
            return Drop(prompt, UNHELD, {"error": str(error)})
        found = self._encoder.spelled_by(asked) if self._encoder is not None else None
        if found is None:
            return None
        told = f"The question spells {found}, which this model reads as a control token."
        return Drop(prompt, "control token", {"error": told})
