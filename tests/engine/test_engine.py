"""Sharing never changes an answer: the engine against ``generate`` on each request alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from harness.engine import Engine, EngineRequest, ImageDigests, Loaded
from harness.engine.decoding import Ending, ending_of
from harness.engine.fallback import answer_alone
from harness.engine.inputs import Prepared, prepare
from harness.engine.vision import Preparer
from harness.model import Model
from harness.records import Answer, Request
from tests.support.checkpoints import BOS_TEMPLATE, LLAVA_HF_TEMPLATE, Sizes, write_llava


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def picture(seed: int, size: tuple[int, int] = (40, 50)) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


IMAGES = [picture(seed, (30 + 7 * seed, 50 - 5 * seed)) for seed in range(4)]
LONG = "please describe what is in the picture in detail and name the colour of the square "
QUESTIONS = (
    "is there a dog in the image?",
    "is there a cat in the image?",
    "yes",
    LONG + "left",
    LONG + "right",
    LONG * 3 + "above",
    "w7 w8 w9 how many?",
)


@dataclass(frozen=True)
class Noise:
    """A view like SeVa's: the seed decides the noise."""

    seed: int

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        stream = torch.Generator().manual_seed(self.seed)
        return pixels * 0.5 + torch.randn(pixels.shape, generator=stream)


@dataclass
class Bench:
    """An engine and, for the same network, the plain path."""

    loaded: Loaded
    ending: Ending
    model: Model

    def engine(self, rows: int = 64, tokens: int = 4096) -> Engine:
        engine = Engine(self.loaded)
        engine.budget.rows, engine.budget.tokens = rows, tokens
        return engine

    def shared(self, requests: list[Request], engine: Engine | None = None) -> list[Answer]:
        digests = ImageDigests()
        items = [
            EngineRequest(r, self.model.render(r), tuple(map(digests.of, r.images)))
            for r in requests
        ]
        found = dict((engine or self.engine()).run(items))
        assert sorted(found) == list(range(len(requests)))
        return [found[index] for index in range(len(requests))]

    def alone(self, request: Request) -> Answer:
        prompt = prepare(self.loaded, request, self.model.render(request))
        return answer_alone(self.loaded, prompt, self.ending)


def bench_of(folder: Path) -> Bench:
    model = Model.open(folder, device="cpu")
    loaded = model.base.loaded()
    return Bench(loaded, ending_of(loaded.network, loaded.tokenizer), model)


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return bench_of(write_llava(tmp_path_factory.mktemp("llava"), Sizes(kv_heads=2), seed=1))


requests = st.builds(
    Request,
    prompt=st.sampled_from(QUESTIONS),
    images=st.lists(st.sampled_from(IMAGES), max_size=2).map(tuple),
    max_new_tokens=st.sampled_from((1, 2, 7, 24)),
    view=st.sampled_from((None, None, Noise(1), Noise(2))),
    stop=st.sampled_from(((), (), ("a",), ("e", " s"))),
)


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    window=st.lists(requests, min_size=1, max_size=10),
    rows=st.sampled_from((1, 3, 64)),
    tokens=st.sampled_from((40, 4096)),
    fixed=st.booleans(),
)
def test_any_mixture_gives_the_answers_of_each_request_alone(
    bench: Bench, window: list[Request], rows: int, tokens: int, fixed: bool
) -> None:
    engine = bench.engine(rows, tokens)
    assert engine.passes is not None
    engine.passes.fixed = fixed
    answers = bench.shared(window, engine)
    assert answers == [bench.alone(request) for request in window]


@pytest.mark.parametrize("fixed", [False, True])
def test_long_answers_are_equal_token_by_token(bench: Bench, fixed: bool) -> None:
    """Also in steps of fixed shape, as on a GPU: past a segment's end, with rows that ended."""
    engine = bench.engine()
    assert engine.passes is not None
    engine.passes.fixed = fixed
    window = [
        Request(question, (image,), max_new_tokens=length)
        for image in IMAGES
        for question, length in zip(QUESTIONS, (80, 40, 80, 3, 60, 80, 20), strict=True)
    ]
    answers = bench.shared(window, engine)
    assert answers == [bench.alone(request) for request in window]
    assert {answer.finish for answer in answers} == {"stop", "length"}


def test_each_image_is_encoded_once_and_each_beginning_computed_once(bench: Bench) -> None:
    engine = bench.engine()
    window = [Request(q, (image.copy(),), max_new_tokens=1) for q in QUESTIONS for image in IMAGES]
    bench.shared(window, engine)
    assert engine.features.encoded == len(IMAGES)
    assert engine.passes is not None
    prompts = [prepare(bench.loaded, r, bench.model.render(r)) for r in window]
    everything = sum(len(prompt.ids) for prompt in prompts)
    # Beyond the verified first prompt: one image beginning per image, then the questions.
    assert engine.passes.computed < everything
    before = engine.passes.computed
    again = [Request("what colour is it?", (image,), max_new_tokens=1) for image in IMAGES]
    bench.shared(again, engine)
    assert engine.features.encoded == len(IMAGES)
    question = len(prepare(bench.loaded, again[0], bench.model.render(again[0])).ids)
    assert engine.passes.computed - before < 4 * (question - 16)


def test_greedy_and_samples_of_one_prompt_share_its_prefill(bench: Bench) -> None:
    engine = bench.engine()
    greedy = Request(QUESTIONS[0], (IMAGES[0],), max_new_tokens=6)
    bench.shared([greedy], engine)
    assert engine.passes is not None
    engine.forget()
    engine.passes.computed = 0
    bench.shared([greedy], engine)
    one = engine.passes.computed
    engine.forget()
    engine.passes.computed = 0
    samples = [
        Request(QUESTIONS[0], (IMAGES[0],), max_new_tokens=6, temperature=1.0, seed=seed)
        for seed in range(5)
    ]
    bench.shared([greedy, *samples], engine)
    assert engine.passes.computed <= one + 5 * 5


@settings(max_examples=6, deadline=None, derandomize=True)
@given(
    neighbours=st.lists(requests, max_size=6),
    seed=st.integers(0, 2**62),
    top_p=st.sampled_from((1.0, 0.9, 0.3)),
    place=st.integers(0, 6),
)
def test_a_sampled_answer_depends_on_its_own_seed_only(
    bench: Bench, neighbours: list[Request], seed: int, top_p: float, place: int
) -> None:
    asked = Request(
        QUESTIONS[3], (IMAGES[1],), max_new_tokens=12, temperature=0.8, top_p=top_p, seed=seed
    )
    mixed = [*neighbours[:place], asked, *neighbours[place:]]
    position = min(place, len(neighbours))
    assert bench.shared(mixed)[position] == bench.shared([asked])[0]


def test_samples_follow_the_distribution(bench: Bench) -> None:
    asked = [
        Request("yes", (IMAGES[0],), max_new_tokens=1, temperature=1.0, seed=seed)
        for seed in range(400)
    ]
    engine = bench.engine()
    digests = ImageDigests()
    items = [
        EngineRequest(r, bench.model.render(r), tuple(map(digests.of, r.images))) for r in asked
    ]
    prompt = prepare(bench.loaded, asked[0], bench.model.render(asked[0]))
    with torch.inference_mode():
        chances = engine._first_logits(prompt).float().softmax(-1)
    counts: dict[str, int] = {}
    for _, answer in engine.run(items):
        counts[answer.text or ""] = counts.get(answer.text or "", 0) + 1
    best = bench.ending.decode([int(chances.argmax())]).strip()
    expected = 400 * float(chances.max())
    assert abs(counts[best] - expected) < 5 * expected**0.5 + 5


def test_a_narrow_nucleus_is_greedy(bench: Bench) -> None:
    narrow = Request(QUESTIONS[0], (IMAGES[0],), 12, temperature=1.0, top_p=1e-6, seed=5)
    greedy = Request(QUESTIONS[0], (IMAGES[0],), 12)
    first, second = bench.shared([narrow, greedy])
    assert first == second


def test_choices_are_scored_as_continuations_of_the_prompt(bench: Bench) -> None:
    window = [
        Request(question, (image,), max_new_tokens=2, choices=("Yes", "No", LONG))
        for question in QUESTIONS[:3]
        for image in IMAGES[:2]
    ]
    for answer, request in zip(bench.shared(window), window, strict=True):
        assert answer.choices == pytest.approx(bench.alone(request).choices, abs=1e-3)
        assert all(value < 0 for value in answer.choices)


@pytest.mark.parametrize("template", [LLAVA_HF_TEMPLATE, BOS_TEMPLATE])
def test_there_is_exactly_one_bos(tmp_path: Path, template: str) -> None:
    bench = bench_of(write_llava(tmp_path, template=template))
    request = Request("is there a dog?", (IMAGES[0],), max_new_tokens=3)
    prompt = prepare(bench.loaded, request, bench.model.render(request))
    bos = bench.loaded.tokenizer.bos_token_id
    assert prompt.ids[0] == bos
    assert prompt.ids.count(bos) == 1
    quick = bench.engine()._preparer.prepare(
        EngineRequest(request, bench.model.render(request), ("a",))
    )
    assert quick.ids == prompt.ids
    assert torch.equal(
        quick.pictures[0].tensors["pixel_values"], prompt.pictures[0].tensors["pixel_values"]
    )
    assert bench.shared([request]) == [bench.alone(request)]


def test_the_rendered_prompt_is_the_processors(bench: Bench) -> None:
    request = Request("is there a dog?", (IMAGES[0], IMAGES[1]))
    content: list[dict[str, Any]] = [{"type": "image"}, {"type": "image"}]
    turn = [{"role": "user", "content": [*content, {"type": "text", "text": request.prompt}]}]
    theirs = bench.loaded.processor.apply_chat_template(
        turn, add_generation_prompt=True, tokenize=False
    )
    assert bench.model.render(request) == theirs


@dataclass(frozen=True)
class Broken:
    """A view that fails."""

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("no such noise")


def test_a_request_that_fails_is_missing_and_its_neighbours_are_not(bench: Bench) -> None:
    good = Request(QUESTIONS[0], (IMAGES[0],), max_new_tokens=4)
    bad = Request(QUESTIONS[0], (IMAGES[0],), max_new_tokens=4, view=Broken())
    endless = Request(QUESTIONS[1], (IMAGES[0],), max_new_tokens=3, choices=("Yes", ""))
    answers = bench.shared([good, bad, good, endless])
    assert answers[0] == answers[2] == bench.alone(good)
    assert answers[1].text is None
    assert answers[1].finish == "missing"
    assert "no such noise" in (answers[1].error or "")


def test_a_prompt_that_the_network_refuses_is_missing_and_its_neighbours_are_not(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where it is the first one, by which the shared path is tried."""
    real = Preparer.prepare

    def prepare(self: Preparer, item: EngineRequest) -> Prepared:
        made = real(self, item)
        token = bench.loaded.processor.image_token_id
        more = (token,) * (item.request.prompt == QUESTIONS[1])
        return replace(made, ids=(*made.ids, *more))

    monkeypatch.setattr(Preparer, "prepare", prepare)
    window = [Request(q, (IMAGES[0],), max_new_tokens=4) for q in (QUESTIONS[1], QUESTIONS[0])]
    refused, answered = bench.shared(window)
    assert (refused.text, refused.finish) == (None, "missing")
    assert "image tokens" in (refused.error or "")
    assert answered == bench.alone(window[1])


def test_running_out_of_memory_halves_the_batch(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    window = [Request(q, (image,), max_new_tokens=5) for image in IMAGES for q in QUESTIONS[:3]]
    wanted = [bench.alone(request) for request in window]
    engine = bench.engine()
    assert engine.passes is not None
    real, sizes = engine.passes.begin, []

    def begin(jobs: Any, prompts: Any) -> Any:
        sizes.append(len(jobs))
        if len(jobs) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(jobs, prompts)

    monkeypatch.setattr(engine.passes, "begin", begin)
    assert bench.shared(window, engine) == wanted
    assert max(sizes) == 12
    assert sizes[-1] <= 2
    bench.shared(window, engine)
    monkeypatch.setattr(engine.passes, "begin", lambda jobs, prompts: 1 / 0)
    for answer in bench.shared(window[:3], engine):
        assert answer.text is None
        assert "ZeroDivisionError" in (answer.error or "")


def test_a_repetition_penalty_of_the_checkpoint_counts(bench: Bench) -> None:
    settings_before = bench.loaded.network.generation_config.repetition_penalty
    bench.loaded.network.generation_config.repetition_penalty = 1.3
    try:
        window = [Request(q, (IMAGES[0],), max_new_tokens=20) for q in QUESTIONS]
        answers = bench.shared(window, bench.engine())
        assert answers == [bench.alone(request) for request in window]
    finally:
        bench.loaded.network.generation_config.repetition_penalty = settings_before
