"""What judging costs: an estimate before, the truth after, and a cap that holds."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from harness.judge.protocol import Question

_LETTERS_PER_TOKEN = 4  # of English prose, for estimates only
_FRAME = 64  # tokens of the chat template around a question, at most
Price = tuple[float, float]


def estimate(questions: Sequence[Question], price: Price | None) -> str:
    """Say in one line what asking these questions will take, at most as far as replies go."""
    come = sum(len(question.prompt) // _LETTERS_PER_TOKEN for question in questions)
    go = sum(question.max_tokens for question in questions)
    text = f"{len(questions)} questions: about {come} tokens in, at most {go} out"
    if price is None:
        return text
    return f"{text}; cost about {_cost(come, 0, price):.4f} to {_cost(come, go, price):.4f}"


class Budget:
    """Counts what was spent and never lets it exceed the cap; used by many threads at once.

    A question is let through once its own worst case fits beside what was spent and what the
    questions under way may still cost. Tokens of a text cannot be more than its bytes, so the
    worst case is certain, as far as the server reports its tokens correctly.

    Attributes:
        tokens_in: of the questions asked.
        tokens_out: of the replies.
    """

    def __init__(self, price: Price | None = None, cap: float | None = None) -> None:
        """Begin with nothing spent; ``price`` is per million tokens in and out."""
        self.tokens_in = self.tokens_out = 0
        self._price, self._cap = price, cap
        self._promised = 0.0
        self._waiting = threading.Condition()

    @property
    def spent(self) -> float:
        """Money that was spent; zero without a price."""
        return _cost(self.tokens_in, self.tokens_out, self._price)

    def reserve(self, question: Question) -> bool:
        """Reserve what a question may cost, waiting for others; ``False`` where it cannot fit."""
        if self._cap is None:
            return True
        worst = self._worst(question)
        with self._waiting:
            while self.spent + self._promised + worst > self._cap:
                if not self._promised:
                    return False
                self._waiting.wait()
            self._promised += worst
        return True

    def commit(self, question: Question, tokens: tuple[int, int]) -> None:
        """Put the truth, tokens in and out, in the place of what was reserved."""
        with self._waiting:
            self.tokens_in += tokens[0]
            self.tokens_out += tokens[1]
            if self._cap is not None:
                self._promised = max(self._promised - self._worst(question), 0.0)
                if self._promised < 1e-12:  # what is left of rounding must not keep anyone waiting
                    self._promised = 0.0
            self._waiting.notify_all()

    def told(self) -> str:
        """Say in one line what was spent."""
        text = f"{self.tokens_in} tokens in, {self.tokens_out} out"
        return text if self._price is None else f"{text}, cost {self.spent:.4f}"

    def _worst(self, question: Question) -> float:
        size = len(question.prompt.encode(errors="surrogatepass")) + _FRAME
        return _cost(size, question.max_tokens, self._price)


def _cost(tokens_in: int, tokens_out: int, price: Price | None) -> float:
    return 0.0 if price is None else (tokens_in * price[0] + tokens_out * price[1]) / 1e6
