"""The engine: a window of requests in, answers out as they become ready. Needs torch.

Its law is *one image, one encoding; one prefix, one prefill*, and that sharing never changes an
answer. Families whose decoder it cannot drive exactly are answered one by one instead.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import count
from math import isfinite
from pathlib import Path
from typing import Any

from harness.engine.decoding import DecodingRow, choice_tokens, decode, ending_of
from harness.engine.fallback import NotFinite, answer_alone, can_share, same_logits
from harness.engine.forward import Passes
from harness.engine.inputs import Prepared, describe
from harness.engine.keys import EngineRequest
from harness.engine.loading import Loaded
from harness.engine.memory import Budget, give_back
from harness.engine.prefixes import Job, State, Symbols, batches, group_prefixes
from harness.engine.step import Live
from harness.engine.vision import Features, Preparer
from harness.errors import HarnessError
from harness.records import NOT_FINITE, Answer, Request

Found = list[tuple[int, Answer]]
_TIDY = 1024
"""After so many answers, about 200 MB lie free in the heap of the demo; 0.04 s give them back."""


class Engine:
    """Answers windows of requests with one loaded network.

    Attributes:
        features: the vision side; counts what it encoded.
        passes: the language side; counts the tokens it computed. ``None`` when this family is
            answered one by one.
    """

    def __init__(self, loaded: Loaded, memory: int | None = None) -> None:
        """Plan the memory (``memory`` bytes, or a part of what is free); compute nothing."""
        self._loaded = loaded
        self._ending = ending_of(loaded.network, loaded.tokenizer)
        self._penalty = float(loaded.network.generation_config.repetition_penalty or 1.0)
        self.budget = Budget.of(loaded, memory)
        self._preparer = Preparer(loaded, self.budget.pixels)
        self.features = Features(loaded, self.budget.features)
        self.passes: Passes | None = None
        if can_share(loaded.network):
            self.passes = Passes(loaded, self.features, self.budget.segments)
        self._image_token = getattr(loaded.network.config, "image_token_id", None)
        self._numbers: dict[str, int] = {}
        self._number = count(1)
        self._trusted: dict[tuple[Path | None, int], bool] = {}
        self._adapter: Path | None = None
        self._answered = 0

    def run(
        self, items: Sequence[EngineRequest], adapter: Path | None = None
    ) -> Iterator[tuple[int, Answer]]:
        """Yield each item's position and answer, in any order, each exactly once.

        Raises:
            UsageError: if the adapter does not fit. Whatever else goes wrong with an item
                becomes an answer without text.
        """
        prompts: list[Prepared | None] = []
        for index, item in enumerate(items):
            try:
                prompt = self._preparer.prepare(item)
                refused = self.budget.refuses(len(prompt.ids), item.request.max_new_tokens)
            except Exception as error:
                prompts.append(None)
                yield index, _missing(error)
                continue
            prompts.append(None if refused else prompt)
            if refused:
                yield index, Answer(text=None, finish="missing", error=refused)
        whole = [index for index, prompt in enumerate(prompts) if prompt is not None]
        window = [prompt for prompt in prompts if prompt is not None]
        shared = [place for place, prompt in enumerate(window) if self._trust(prompt, adapter)]
        alone = sorted(set(range(len(window))) - set(shared))
        for place, answer in self._shared(window, shared, adapter):
            yield whole[place], answer
        for place in alone:
            with self._with_adapter(adapter):
                answer = self._alone(window[place])
            yield whole[place], answer
        self._answered += len(items)
        if self._answered >= _TIDY:
            self._answered = 0
            give_back()

    def _shared(
        self, window: Sequence[Prepared], places: Sequence[int], adapter: Path | None
    ) -> Iterator[tuple[int, Answer]]:
        chosen = [window[place] for place in places]
        jobs = group_prefixes([self._symbols(prompt) for prompt in chosen])
        for job in jobs:
            job.choices = max(len(chosen[member].request.choices) for member in job.members)
            job.new = max(chosen[member].request.max_new_tokens for member in job.members)
        for batch in batches(jobs, self.budget.fits):
            for place, answer in self._attempt(batch, chosen, adapter):
                yield places[place], answer

    def _attempt(self, jobs: list[Job], prompts: Sequence[Prepared], adapter: Path | None) -> Found:
        """Answer a batch; when it fails, halve it until the guilty row stands alone."""
        import torch

        rows = sum(len(job.members) for job in jobs)
        with self._with_adapter(adapter), torch.inference_mode():
            try:
                return self._batch(jobs, prompts)
            except HarnessError:
                raise
            except Exception as error:
                failure, memory = _missing(error), _is_memory(error)
        if memory:
            self.forget()
            self.budget.shrink(rows)
        if rows == 1:
            return [(jobs[0].members[0], failure)]
        found: Found = []
        for half in _halves(jobs):
            found.extend(self._attempt(half, prompts, adapter))
        return found

    def _batch(self, jobs: list[Job], prompts: Sequence[Prepared]) -> Found:
        passes = self.passes
        assert passes is not None
        order = {node: place for place, node in enumerate(dict.fromkeys(j.node for j in jobs))}
        jobs = sorted(jobs, key=lambda job: order[job.node])
        state, logits = passes.begin(jobs, prompts)
        members = [member for job in jobs for member in job.members]
        lines = [line for line, job in enumerate(jobs) for _ in job.members]
        scores = self._score(state, logits, [prompts[member] for member in members], lines)
        most = max(prompts[member].request.max_new_tokens for member in members)
        live = Live(passes, state if len(lines) == len(jobs) else state.select(lines), most)
        rows = [DecodingRow(prompts[member].request, prompts[member].ids) for member in members]
        made = decode(rows, logits[lines], self._ending, live.advance, live.keep, self._penalty)
        return [
            (member, self._answer(tokens, prompts[member].request, score))
            for member, tokens, score in zip(members, made, scores, strict=True)
        ]

    def _answer(
        self, tokens: list[int] | None, request: Request, choices: tuple[float, ...]
    ) -> Answer:
        if tokens is None or not all(map(isfinite, choices)):
            return self._not_finite()
        return self._ending.answer(tokens, request, choices)

    def _not_finite(self) -> Answer:
        adapter = f" with the adapter {self._adapter}" if self._adapter else ""
        dtype = str(self._loaded.dtype).removeprefix("torch.")
        error = (
            f"{NOT_FINITE}: {self._loaded.source.path}{adapter} gives NaN or infinity in {dtype}"
        )
        return Answer(text=None, finish=NOT_FINITE, error=error)

    def _score(
        self, state: State, logits: Any, prompts: Sequence[Prepared], lines: Sequence[int]
    ) -> list[tuple[float, ...]]:
        """Return each row's choice log-probabilities (nats), summed over the choice's tokens."""
        import torch

        passes = self.passes
        assert passes is not None
        tokenizer = self._loaded.tokenizer
        wanted = [
            (row, choice_tokens(tokenizer, prompt.ids, choice))
            for row, prompt in enumerate(prompts)
            for choice in prompt.request.choices
        ]
        if not wanted:
            return [()] * len(prompts)
        first = logits[[lines[row] for row, _ in wanted]].float().log_softmax(-1)
        sums = [float(first[place, ids[0]]) for place, (_, ids) in enumerate(wanted)]
        longer = [place for place, (_, ids) in enumerate(wanted) if len(ids) > 1]
        if longer:
            branch = state.select([lines[wanted[place][0]] for place in longer])
            fed = [wanted[place][1][:-1] for place in longer]
            rest = passes.advance(branch, fed)[1].float().log_softmax(-1)
            targets = torch.tensor([t for place in longer for t in wanted[place][1][1:]])
            each = rest.gather(1, targets.to(rest.device)[:, None])[:, 0]
            for place, part in zip(longer, torch.split(each, [len(f) for f in fed]), strict=True):
                sums[place] += float(part.sum())
        found: list[list[float]] = [[] for _ in prompts]
        for (row, _), value in zip(wanted, sums, strict=True):
            found[row].append(value)
        return [tuple(values) for values in found]

    def _alone(self, prompt: Prepared) -> Answer:
        try:
            answer = answer_alone(self._loaded, prompt, self._ending)
            return answer if all(map(isfinite, answer.choices)) else self._not_finite()
        except NotFinite:
            return self._not_finite()
        except Exception as error:
            return _missing(error)

    def _symbols(self, prompt: Prepared) -> tuple[Symbols, int]:
        """Return the prompt with numbers for image contents, and where its last image ends."""
        token = self._image_token
        if not prompt.pictures or token is None:
            return prompt.ids, 0
        pending: list[int] = []
        for pictures in prompt.pictures:
            number = self._numbers.setdefault(pictures.key, -next(self._number))
            pending.extend([number] * (pictures.places or prompt.ids.count(token)))
        numbers = iter(pending)
        symbols = tuple(next(numbers) if t == token else t for t in prompt.ids)
        return symbols, len(symbols) - prompt.ids[::-1].index(token)

    def _trust(self, prompt: Prepared, adapter: Path | None) -> bool:
        """Tell whether the shared path is exact for prompts of this kind; tried once for each."""
        if self.passes is None:
            return False
        kind = (adapter, min(len(prompt.request.images), 2))
        if kind not in self._trusted:
            import torch

            with self._with_adapter(adapter), torch.inference_mode():
                same = same_logits(self._loaded, prompt, lambda: self._first_logits(prompt))
            if same is None:
                return False
            self._trusted[kind] = same
        return self._trusted[kind]

    def _first_logits(self, prompt: Prepared) -> Any:
        assert self.passes is not None
        return self.passes.begin(group_prefixes([self._symbols(prompt)]), [prompt])[1][0]

    def _with_adapter(self, adapter: Path | None) -> Any:
        """Apply an adapter; what was kept with another one on is forgotten."""
        if adapter != self._adapter:
            self.forget()
            self._adapter = adapter
        return self._loaded.with_adapter(adapter)

    def forget(self) -> None:
        """Drop kept pixels, features and shared beginnings; give cached device memory back."""
        self._preparer.clear()
        self.features.clear()
        if self.passes is not None:
            self.passes.clear()
        if self._loaded.device.type == "cuda":
            import torch

            torch.cuda.empty_cache()


def _halves(jobs: list[Job]) -> list[list[Job]]:
    if len(jobs) > 1:
        return [jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]]
    job = jobs[0]
    middle = len(job.members) // 2
    return [
        [replace(job, members=job.members[:middle])],
        [replace(job, members=job.members[middle:])],
    ]


def _missing(error: Exception) -> Answer:
    return Answer(text=None, finish="missing", error=describe(error))


def _is_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate" in text
