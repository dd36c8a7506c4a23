"""Engine, training, image ablation, local judge and merge on a pretend GPU, and what it waits for.

``tests/test_pretend_gpu.py`` runs this file in a process of its own, because the pretend GPU is
known to the whole process. What only a real GPU shows, its kernels and its speed, is in
``perf/gpu.py``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import accelerate
import pytest
import torch
import transformers
from safetensors.torch import load_file

from harness import dpo
from harness.dpo import Training
from harness.dpo.trainer import PackedTrainer
from harness.engine.loading import _state_of
from harness.judge.local import LocalJudge
from harness.judge.protocol import Question
from harness.model import Model
from harness.records import Answer, Pair, Request
from tests.dpo.test_resume import make_case
from tests.engine.test_engine import IMAGES, LONG
from tests.engine.test_text import qwen2
from tests.support.checkpoints import Sizes, write_llava
from tests.support.families import idefics, intern, llava_next, qwen, smol
from tests.support.pretend_gpu import GPU, Seen, pretend

torch.set_num_threads(1)
STEP_READS, STEP_UPLOADS = 1, 7
"""Most that a decoding step may wait for, and copies of indices that it may send."""
FIXED_UPLOADS = 1
"""The same of a step of fixed shape: its tokens."""
BATCH_READS = 12
TRAINING = Training(
    loss="multi_softmax", learning_rate=3e-3, lora_rank=4, lora_alpha=8, batch_size=2,
    accumulation=2, epochs=2, repeats=2, save_steps=2,
)  # fmt: skip
"""With ``repeats``, rows that were seen and rows that were not meet in one batch."""


def llava(path: Path) -> Path:
    return write_llava(path, Sizes(kv_heads=2))


ALL = [llava, llava_next, qwen, idefics, smol, intern]


@pytest.fixture(scope="module", params=ALL, ids=lambda write: write.__name__)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    write: Callable[[Path], Path] = request.param
    return write(tmp_path_factory.mktemp(write.__name__) / "model")


def opened(folder: Path, dtype: str = "float32") -> Model:
    return Model.open(folder, device="cpu", dtype=dtype)


def sent(model: Model) -> Model:
    """Move a model to the pretend GPU, as loading it there would."""
    loaded = model.base.loaded()
    loaded.network.to(GPU)
    loaded.state = _state_of(loaded.network)
    assert {weight.device.type for weight in loaded.network.parameters()} == {"gpu"}
    return model


@contextmanager
def training_there() -> Iterator[Seen]:
    """Let trainers put models and batches on the pretend GPU."""

    def place(arguments: Any) -> torch.device:
        arguments._setup_devices  # noqa: B018 (also says how many processes there are)
        return torch.device(GPU)

    with (
        pretend() as seen,
        mock.patch.object(transformers.TrainingArguments, "device", property(place)),
        mock.patch.object(accelerate.Accelerator, "device", torch.device(GPU)),
    ):
        yield seen


def window() -> list[Request]:
    return [
        Request(question, tuple(images), max_new_tokens=length, choices=choices)
        for images in [(), IMAGES[:1], IMAGES[1:2], IMAGES[:2]]
        for question, length, choices in [
            ("is there a dog?", 9, ()),
            ("yes", 2, ("yes", "no")),
            (LONG + "left", 9, ()),
        ]
    ]


def test_it_refuses_what_a_gpu_refuses() -> None:
    with pretend() as seen:
        near = torch.arange(6.0)
        far = near.to(GPU)
        assert far.device == torch.device(GPU)
        assert seen.uploads == 1
        with pytest.raises(RuntimeError, match="on the same device"):
            far + near
        with pytest.raises(RuntimeError, match="on the same device"):
            torch.cat([far, near])
        with pytest.raises(RuntimeError, match="on the same device"):
            far.index_select(0, torch.tensor([1]))
        with pytest.raises(TypeError, match="numpy"):
            far.numpy()
        assert (far * torch.tensor(2.0))[torch.tensor([1, 2])].device == far.device
        assert seen.waits == 0
        assert far.tolist() == near.tolist()
        assert bool((far.cpu() == near).all())
        assert float(far.sum()) == 15
        assert len(far[far > 2]) == 3
        assert seen.waits == 4
        assert near.any().item() is not None
        assert seen.waits == 4, "what the CPU does is not counted"


def test_answers_are_those_of_the_cpu(folder: Path) -> None:
    plain = list(opened(folder).answer(window()))
    with pretend():
        model = sent(opened(folder))
        far = list(model.answer(window()))
        engine = model.base.engine()
    assert engine.passes is not None
    assert all(engine._trusted.values()), engine._trusted
    assert [answer.text for answer in far] == [answer.text for answer in plain]
    assert apart(far, plain) < 1e-5


def test_answers_in_bfloat16(folder: Path) -> None:
    """Rounding may turn an answer, but nothing fails, and log-probabilities stay near."""
    plain = list(opened(folder, "bfloat16").answer(window()))
    with pretend():
        model = sent(opened(folder, "bfloat16"))
        far = list(model.answer(window()))
        engine = model.base.engine()
    assert all(engine._trusted.values()), engine._trusted
    assert [answer.error for answer in far] == [None] * len(far)
    assert apart(far, plain) < 0.1


def apart(one: list[Answer], two: list[Answer]) -> float:
    """Return the largest difference between choices' log-probabilities."""
    pairs = [zip(a.choices, b.choices, strict=True) for a, b in zip(one, two, strict=True)]
    differences = [abs(a - b) for pair in pairs for a, b in pair]
    assert len(differences) == 8
    return max(differences)


@pytest.mark.parametrize("fixed", [False, True])
def test_a_decoding_step_waits_once(folder: Path, fixed: bool) -> None:
    """Two calls that differ in the number of steps alone, on what is already encoded."""
    counted = []
    with pretend() as seen:
        model = sent(opened(folder))
        for length in (13, 13, 23):
            loaded = model.base.loaded()
            loaded.network.generation_config.eos_token_id = []  # no answer ends before its time
            model.base._engine = None
            passes = model.base.engine().passes
            assert passes is not None
            passes.fixed = fixed
            asked = [Request(LONG, (image,), max_new_tokens=length) for image in IMAGES[:3]]
            seen.clear()
            answers = list(model.answer(asked))
            assert [answer.tokens for answer in answers] == [length] * 3
            counted.append((seen.waits, seen.uploads))
    (reads, uploads), (more_reads, more_uploads) = counted[1:]
    assert 0 < more_reads - reads <= 10 * STEP_READS
    assert more_uploads - uploads <= 10 * (FIXED_UPLOADS if fixed else STEP_UPLOADS)


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> list[Pair]:
    return make_case(tmp_path_factory.mktemp("pairs"))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_training_is_that_of_the_cpu(
    folder: Path, pairs: list[Pair], tmp_path: Path, dtype: str
) -> None:
    """Weights, image ablation and merge; and how often a micro-batch waits for the GPU."""
    here = dpo.train(pairs, opened(folder, dtype), tmp_path / "here", seed=2, training=TRAINING)
    plain = dpo.image_ablation(pairs, opened(folder, dtype), here)
    reads: list[int] = []
    step = PackedTrainer.training_step

    def counted(self: PackedTrainer, *args: Any, **kwargs: Any) -> Any:
        before = seen.waits
        loss = step(self, *args, **kwargs)
        reads.append(seen.waits - before)
        return loss

    with training_there() as seen, mock.patch.object(PackedTrainer, "training_step", counted):
        model = sent(opened(folder, dtype))
        there = dpo.train(pairs, model, tmp_path / "there", seed=2, training=TRAINING)
        far = dpo.image_ablation(pairs, model, there)
    assert len(reads) == 10, "two epochs of ten rows, two at a time"
    if "qwen" not in str(folder):  # whose vision tower, in transformers, reads every grid
        assert max(reads) <= BATCH_READS, reads
    close = {"float32": 5e-5, "bfloat16": 2e-2}[dtype]  # 2.6e-5 was seen with two threads
    first, second = (load_file(one / "adapter_model.safetensors") for one in (here, there))
    assert max(float((first[key] - second[key]).abs().max()) for key in first) < close
    moved = load_file(there / "adapter_model.safetensors")
    assert max(float(moved[key].abs().max()) for key in moved if "lora_B" in key) > 1e-3
    for name, value in dataclasses.asdict(plain).items():
        assert getattr(far, name) == pytest.approx(value, rel=50 * close), name

    if dtype == "float32":
        merged = dpo.merge(folder, there, tmp_path / "merged")
        with pretend():
            worn = list(sent(opened(folder)).with_adapter(there).answer(window()))
            alone = list(sent(opened(merged)).answer(window()))
        assert [answer.text for answer in worn] == [answer.text for answer in alone]
        assert apart(worn, alone) < 1e-4


def test_a_local_judge_replies_as_on_the_cpu(tmp_path: Path) -> None:
    where = str(qwen2(tmp_path))
    asked = [Question(f"w{word} is to be judged", 20, turn) for word in range(6) for turn in (0, 1)]
    plain = [reply for _, reply in LocalJudge(where, 2, device="cpu").ask(asked)]
    with pretend() as seen:
        judge = LocalJudge(where, 2, device="cpu")
        sent(judge.model)
        far = [reply for _, reply in judge.ask(asked)]
        assert seen.operations > 1000
    assert any(reply.text for reply in plain), "else nothing was compared"
    assert far == plain
