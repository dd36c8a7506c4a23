"""The rule by which a sampled token is drawn."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.engine.decoding import _gumbel, _key, draw, ending_of
from harness.engine.fallback import answer_alone
from harness.engine.inputs import prepare
from harness.engine.keys import ImageDigests, answer_key
from harness.model import Model
from harness.records import Request
from tests.support.checkpoints import write_llava

torch.set_num_threads(1)
MASK = (1 << 64) - 1
# The first outputs of Vigna's splitmix64.c for the seed 1234567.
SPLITMIX = (6457827717110365317, 3203168211198807973, 9817491932198370423)


def asked(seed: int, top_p: float = 1.0, heat: float = 1.0) -> Request:
    return Request("q", temperature=heat, top_p=top_p, seed=seed)


def nucleus(logits: np.ndarray, top_p: float, heat: float) -> np.ndarray:
    """Return the chances by sorting, as the papers write it down (Holtzman et al. 2020)."""
    chances = np.exp((logits - logits.max()) / heat)
    chances /= chances.sum()
    order = np.argsort(-chances, kind="stable")
    kept = np.zeros(len(chances), bool)
    mass = 0.0
    for token in order:
        if mass >= top_p:
            break
        kept[token] = True
        mass += chances[token]
    return np.where(kept, chances, 0) / chances[kept].sum()


def test_the_noise_is_splitmix64_and_gumbel() -> None:
    found = _gumbel(torch.tensor([1234567]), 3)[0].tolist()
    wanted = [-math.log(-math.log(((n >> 11) + 0.5) / 2**53)) for n in SPLITMIX]
    assert found == pytest.approx(wanted, rel=1e-12)
    noise = _gumbel(torch.arange(20), 20_000)
    assert bool(noise.isfinite().all())
    assert abs(float(noise.mean()) - 0.5772) < 0.01  # Euler's constant; pi^2 / 6 below
    assert abs(float(noise.var()) - math.pi**2 / 6) < 0.02


def test_seed_and_step_both_count() -> None:
    keys = {_key(seed, step) for seed in (0, 1, -1, 2**62, 2**70) for step in range(50)}
    assert len(keys) == 250
    assert _key(1, 11) != _key(11, 1)


@pytest.mark.parametrize(("top_p", "heat"), [(1.0, 1.0), (0.9, 0.8), (0.5, 1.7), (1e-6, 1.0)])
def test_samples_follow_the_nucleus(top_p: float, heat: float) -> None:
    logits = np.random.default_rng(3).normal(0, 1.5, 12).astype(np.float32)
    chances = nucleus(logits, top_p, heat)
    count = 6000
    lines = torch.tensor(logits).expand(count, -1)
    drawn = draw(lines, [asked(seed, top_p, heat) for seed in range(count)], [0] * count)
    counts = np.bincount(drawn, minlength=12)
    assert (counts[chances == 0] == 0).all()
    kept = chances > 0
    chi = ((counts - count * chances)[kept] ** 2 / (count * chances[kept])).sum()
    assert chi < kept.sum() + 5 * math.sqrt(2 * kept.sum())


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(
        st.tuples(
            st.integers(0, 2**63 - 1),
            st.sampled_from((1.0, 0.9, 0.3, 0.01)),
            st.sampled_from((0.2, 0.8, 2.0)),
            st.integers(0, 500),
        ),
        min_size=1,
        max_size=6,
    ),
    levels=st.integers(1, 40),
    seed=st.integers(0, 999),
)
@example(rows=[(599, 0.9, 0.2, 54)], levels=1, seed=0)
def test_a_draw_is_the_same_in_every_batch_ties_included(rows, levels, seed) -> None:
    stream = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, levels, (len(rows), 50), generator=stream).float() / 4
    requests = [asked(number, top_p, heat) for number, top_p, heat, _ in rows]
    steps = [row[3] for row in rows]
    together = draw(logits, requests, steps)
    assert together == [
        draw(logits[i : i + 1], [requests[i]], [steps[i]])[0] for i in range(len(rows))
    ]
    for i, token in enumerate(together):
        edge = rows[i][1] + 1e-6  # 45 of 50 equal chances are 0.9, or a rounding less
        assert nucleus(logits[i].double().numpy(), edge, rows[i][2])[token] > 0


def test_rounding_as_of_another_batch_moves_next_to_no_draw() -> None:
    """By inversion over sorted chances such noise moved a third of all answers."""
    stream = torch.Generator().manual_seed(1)
    logits = torch.randn(1000, 2000, generator=stream)
    noised = logits + 1e-6 * torch.randn(logits.shape, generator=stream)
    requests = [asked(seed, 0.9 if seed % 2 else 1.0, 0.8) for seed in range(1000)]
    first = draw(logits, requests, [7] * 1000)
    second = draw(noised, requests, [7] * 1000)
    assert sum(a != b for a, b in zip(first, second, strict=True)) <= 1


def test_alone_through_generate_is_the_same_draw(tmp_path: Path) -> None:
    model = Model.open(write_llava(tmp_path / "llava", seed=4), device="cpu")
    loaded = model.base.loaded()
    image = Image.fromarray(np.random.default_rng(1).integers(0, 255, (40, 50, 3), dtype=np.uint8))
    requests = [
        Request("is there a dog?", (image,), 12, temperature=0.9, top_p=p, seed=seed, stop=stop)
        for seed, (p, stop) in enumerate([(1.0, ()), (0.9, ()), (0.6, ("e",)), (0.9, ("a",))])
    ]
    ending = ending_of(loaded.network, loaded.tokenizer)
    together = list(model.answer(requests))
    for request, answer in zip(requests, together, strict=True):
        prompt = prepare(loaded, request, model.render(request))
        assert answer_alone(loaded, prompt, ending) == answer
    assert len({answer.text for answer in together}) > 1


def test_only_sampled_answers_have_a_new_key() -> None:
    """Keys that the version before wrote (answers in its stores)."""
    digests = ImageDigests()
    greedy = answer_key("m", "USER: q", Request("q", max_new_tokens=4), digests)
    assert greedy == "answer:af0d97acf1aaf5d69d26a81716b596e26074755f736da0d090e732aa47eb4b35"
    warm = Request("q", max_new_tokens=4, temperature=0.8, seed=3)
    old = "answer:6ee8bea819482ce44d9a9ac55b4908b0c51280ae38ec64c0b745aace4c191a5b"
    assert answer_key("m", "USER: q", warm, digests) != old
