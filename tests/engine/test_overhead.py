"""What the house adds around the network: rendering, keys, store, order, planning."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from harness.engine import EngineRequest
from harness.engine.prefixes import batches, group_prefixes
from harness.model import Model
from harness.model.base import Base
from harness.records import Answer, Request
from harness.storage import Store
from tests.support.checkpoints import write_llava

LATENCY = 0.002
"""Seconds per request of the dummy, and the bound on what is added to it."""


class Dummy:
    """Stands where the engine stands and takes a fixed time per request."""

    def run(
        self, items: Sequence[EngineRequest], adapter: Path | None = None
    ) -> Iterator[tuple[int, Answer]]:
        time.sleep(LATENCY * len(items))
        for index, item in enumerate(items):
            yield index, Answer(item.request.prompt, tokens=1)


class DummyBase(Base):
    """A base that never loads its network."""

    def engine(self) -> Dummy:  # type: ignore[override]
        return Dummy()


@pytest.mark.slow
def test_ten_thousand_requests_cost_less_than_the_dummy_takes(tmp_path: Path) -> None:
    opened = Model.open(write_llava(tmp_path / "llava"), device="cpu")
    base = DummyBase(opened.base.source)
    model = Model("dummy", base, store=Store(tmp_path / "store"))
    images = [
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (336, 336, 3), dtype=np.uint8))
        for seed in range(50)
    ]
    asked = [Request(f"question {n}", (images[n // 200],), max_new_tokens=8) for n in range(10_000)]
    list(model.answer(asked[:1]))
    began = time.process_time()
    answers = list(model.answer(asked))
    busy = time.process_time() - began
    assert [answer.text for answer in answers] == [request.prompt for request in asked]
    # Sleeping takes no processor time: what is left is ours alone.
    assert busy < LATENCY * len(asked), f"{1000 * busy / len(asked):.2f} ms per request"


def test_planning_is_linear_in_the_window() -> None:
    def seconds(count: int) -> float:
        prompts = [
            ((1, *[-(n // 18) - 1] * 576, 9, 9, 9, 40 + n % 18, 5, 6, 7), 577) for n in range(count)
        ]
        began = time.process_time()
        jobs = group_prefixes(prompts)
        list(batches(jobs, lambda part: len(part) <= 64))
        return time.process_time() - began

    seconds(64)
    assert seconds(512) < 40 * max(seconds(64), 1e-4)


def test_each_prompt_is_planned_once_and_shares_the_deepest_beginning() -> None:
    image = (-1,) * 100
    system = tuple(range(200, 280))
    prompts = [
        ((1, *image, 5, 6), 101),
        ((1, *image, 5, 7), 101),
        ((1, *image, 5, 6), 101),
        ((1, *image, *system, 8), 101),
        ((1, *image, *system, 9), 101),
        ((1, *system, 8), 0),
        ((1, *system, 9), 0),
        ((1, 3), 0),
    ]
    jobs = group_prefixes(prompts)
    assert sorted(member for job in jobs for member in job.members) == list(range(8))
    by_first = {job.members[0]: job for job in jobs}
    assert by_first[0].members == [0, 2]
    assert by_first[0].shared == by_first[1].shared == 101
    assert by_first[3].shared == by_first[4].shared == 181
    assert by_first[3].node is by_first[4].node
    assert by_first[5].node is None or by_first[5].shared == 81
    assert all(job.rest >= 1 for job in jobs)
    assert all(prompts[job.members[0]][0] == job.symbols for job in jobs)
