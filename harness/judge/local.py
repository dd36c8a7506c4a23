"""A judge in this process: a local Hugging Face model, asked through the engine, batch by batch.

It needs no second machine and no network. Whatever the engine opens can judge: a text model, or a
vision-language model that is asked without an image.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from harness.judge.protocol import Question, Reply
from harness.plugins import load, names
from harness.records import Request, seed_of, split_thought

if TYPE_CHECKING:
    from harness.model import Model


WARMTH = 0.7
"""Temperature of a judge that is asked more than once; a greedy one would say the same again."""


class LocalJudge:
    """Judges with a model in memory: greedily, or by drawing where it judges more than once.

    What is drawn depends on the question and the number of the judging alone, so the same question
    has the same replies another time, and equal answers have equal verdicts. The name holds the
    hash of the weights, wherever they lie, and how it replies.
    """

    steady = True
    spent = ""

    def __init__(
        self, source: str, judgings: int = 1, *, device: str = "auto", dtype: str = "auto"
    ) -> None:
        """Find the model; its weights are loaded by the first question."""
        from harness.model import Model

        path = load("demos", source).model if source in names("demos") else source
        self.model: Model = Model.open(path, device=device, dtype=dtype)
        self._warmth = WARMTH if judgings > 1 else 0.0
        drawn = f" temperature {self._warmth:g}" if self._warmth else ""
        self.name = f"hf:{self.model.fingerprint}{drawn}"
        self._called = f"{source} {self.model.fingerprint[:12]}"

    def ask(self, questions: Sequence[Question]) -> Iterator[tuple[int, Reply]]:
        """Yield replies in the order of the questions; the network stays in memory."""
        requests = [
            Request(
                question.prompt,
                max_new_tokens=question.max_tokens,
                temperature=self._warmth,
                seed=seed_of(question.prompt, question.turn),
            )
            for question in questions
        ]
        for place, answer in enumerate(self.model.answer(requests)):
            thought, said = split_thought(answer.text or "")
            error = answer.error
            if error is None and thought and not said:
                error = (
                    f"all {answer.tokens} tokens went into thinking; ask such a judge behind a "
                    "server, with --judge openai:MODEL@URL and --judge-thinking"
                )
            elif error is None and answer.finish == "length":
                error = f"the reply was cut at {questions[place].max_tokens} tokens"
            text = None if error else said
            yield place, Reply(text, self._called, error, 0, answer.tokens)

    def close(self) -> None:
        """Free the memory of the network."""
        self.model.release()
