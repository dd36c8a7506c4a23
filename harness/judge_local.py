"""A judge in this process: a local Hugging Face model, asked through the engine, batch by batch.

It needs no second machine and no network. Every family that the engine opens can judge, so it is
a vision-language model, asked without an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.judge_source import Question, Reply
from harness.plugins import load, names
from harness.records import Request

if TYPE_CHECKING:
    from harness.model import Model


class LocalJudge:
    """Judges with a model in memory, greedily; the same question has one reply.

    Attributes:
        name: ``hf:`` and the hash of the weights, wherever they lie.
        spent: nothing.
        model: whom to ask.
    """

    spent = ""

    def __init__(self, source: str, *, device: str = "auto", dtype: str = "auto") -> None:
        """Find the model; its weights are loaded by the first question.

        Args:
            source: a folder, a hub id, or the name of an embedded world.
            device: see :meth:`harness.model.Model.open`.
            dtype: see :meth:`harness.model.Model.open`.

        Raises:
            UsageError: if there is no such model.
        """
        from harness.model import Model

        path = load("worlds", source).model if source in names("worlds") else source
        self.model: Model = Model.open(path, device=device, dtype=dtype)
        self.name = f"hf:{self.model.fingerprint}"
        self._called = f"{source} {self.model.fingerprint[:12]}"

    def ask(self, questions: Sequence[Question]) -> Iterator[tuple[int, Reply]]:
        """Yield replies in the order of the questions; the network is let go at the end."""
        requests = [Request(q.prompt, max_new_tokens=q.max_tokens) for q in questions]
        for place, answer in enumerate(self.model.answer(requests)):
            error = answer.error
            if error is None and answer.finish == "length":
                error = f"the reply was cut at {questions[place].max_tokens} tokens"
            text = None if error else answer.text
            yield place, Reply(text, self._called, error, 0, answer.tokens)
        self.model.release()
