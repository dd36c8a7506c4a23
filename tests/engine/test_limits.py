"""What is no answer: logits that are not finite, and prompts too long for model or memory."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import PIL.Image
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor

from harness.engine import Engine
from harness.engine.decoding import finite
from harness.engine.inputs import check_resized
from harness.engine.memory import Budget, positions_of
from harness.model import Model
from harness.records import Request
from harness.storage import Store
from tests.support.checkpoints import Sizes, write_llava

SOUND, SICK = "is there a dog in the image?", "is there a cat in the image?"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose embedding of one word, and of nothing else, is NaN."""
    path = write_llava(tmp_path_factory.mktemp("sick"), Sizes(positions=200), seed=3)
    tokenizer = Model.open(path, device="cpu").base.loaded().tokenizer
    ids = set(tokenizer.encode(SICK)) - set(tokenizer.encode(SOUND))
    weights = load_file(path / "model.safetensors")
    name = next(key for key in weights if "embed_tokens" in key)
    weights[name][sorted(ids)] = float("nan")
    save_file(weights, path / "model.safetensors", metadata={"format": "pt"})
    return path


def ask(model: Model, *questions: str, **options) -> list:
    return list(model.answer(Request(q, max_new_tokens=5, **options) for q in questions))


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "alone"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_logits_that_are_not_finite_are_no_answer_and_their_neighbours_are(
    folder: Path, tmp_path: Path, shared: bool, temperature: float
) -> None:
    store = Store(tmp_path / "store.sqlite")
    model = Model.open(folder, device="cpu", store=store)
    if not shared:
        model.base.engine().passes = None
    sick, sound, again = ask(model, SICK, SOUND, SICK, temperature=temperature)
    assert sound.text is not None
    assert sound.state in ("answered", "cut")
    for answer in (sick, again):
        assert (answer.text, answer.finish, answer.state) == (None, "not finite", "not finite")
        assert answer.error == f"not finite: {folder} gives NaN or infinity in float32"
    calls = model.calls
    ask(model, SICK, SOUND, temperature=temperature)
    assert model.calls == calls + 1, "what is not finite is never stored"


@pytest.mark.parametrize("shared", [True, False], ids=["shared", "alone"])
def test_log_probabilities_that_are_not_finite_are_no_answer(folder: Path, shared: bool) -> None:
    model = Model.open(folder, device="cpu")
    if not shared:
        model.base.engine().passes = None
    (fine,) = ask(model, SOUND, choices=("dog", "yes"))
    (sick,) = ask(model, SOUND, choices=("dog", "cat dog"))
    assert len(fine.choices) == 2
    assert fine.text is not None
    assert (sick.text, sick.finish, sick.choices) == (None, "not finite", ())


def test_finite_by_hand() -> None:
    inf, nan = float("inf"), float("nan")
    rows = [[0.0, 1.0], [-inf, 1.0], [nan, 1.0], [0.0, inf], [-inf, -inf], [1e38, -1e38]]
    assert finite(torch.tensor(rows)) == [True, True, False, False, False, True]


def test_a_prompt_beyond_the_positions_is_refused_before_it_is_computed(folder: Path) -> None:
    model = Model.open(folder, device="cpu")
    short, long = ask(model, "dog " * 20, "dog " * 6_000)
    assert short.text is not None
    assert long.text is None
    assert long.state == "missing"
    form = r"refused: prompt of \d\d,\d{3} tokens, the model has 200 positions"
    assert re.fullmatch(form, long.error or "")


def test_a_prompt_that_free_memory_cannot_hold_is_refused(folder: Path) -> None:
    engine = Engine(Model.open(folder, device="cpu").base.loaded())
    budget = engine.budget
    budget.positions, budget.scores, budget.free = None, 0, budget.token_bytes * 100
    assert budget.refuses(60, 40) is None
    assert (budget.refuses(61, 40) or "").startswith(
        "refused: prompt of 61 tokens and answer of 40"
    )
    budget.scores = budget.token_bytes
    assert budget.refuses(9, 10) is None, "9 * 9 + 9 + 10 = 100"
    assert budget.refuses(9, 11) is not None


class Config:
    def __init__(self, **fields: object) -> None:
        self.__dict__.update(fields)


@pytest.mark.parametrize(
    ("config", "positions"),
    [
        (Config(), None),
        (Config(max_position_embeddings=2048), 2048),
        (Config(max_position_embeddings=4096, rope_scaling={"factor": 4.0}), 16384),
        (
            Config(
                max_position_embeddings=131072,
                rope_parameters={"factor": 32.0, "original_max_position_embeddings": 4096},
            ),
            131072,
        ),
        (Config(max_position_embeddings=32768, rope_scaling={"mrope_section": [1]}), 32768),
    ],
)
def test_positions_by_hand(config: Config, positions: int | None) -> None:
    assert positions_of(config) == positions


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_what_cpus_keep_does_not_grow_with_the_machine_or_the_processes(
    folder: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    loaded = Model.open(folder, device="cpu").base.loaded()
    monkeypatch.setattr("harness.engine.memory._free", lambda device: 1 << 40)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
    budget = Budget.of(loaded, None)
    kept = (budget.pixels, budget.features, budget.segments)
    assert [size * processes for size in kept] == [64 << 20, 64 << 20, 192 << 20]
    assert budget.working * processes == 1 << 39
    asked = Budget.of(loaded, 1000)
    assert (asked.features, asked.segments, asked.working) == (100, 300, 500)


@pytest.mark.parametrize(
    ("size", "protocol", "told"),
    [
        ((30_000, 10), "hf", "30000 x 10 pixels would have 338,688,000 when it is resized"),
        ((7_000, 10), "hf", None),  # 79 million
        ((30_000, 10), "llava-1.5", "900,000,000 when it is padded to a square"),
        ((12_000, 5_000), "llava-1.5", None),
    ],
)
def test_an_image_that_grows_beyond_the_memory_is_refused(size, protocol, told) -> None:
    image = PIL.Image.new("1", size)
    processor = SimpleNamespace(image_processor=CLIPImageProcessor(size={"shortest_edge": 336}))
    with pytest.raises(ValueError, match=told) if told else nullcontext():
        check_resized(protocol, processor, [image])
