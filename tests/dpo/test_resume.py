"""Killed at any step, training continues and ends with the same bytes; nothing is unpickled."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from PIL import Image

from harness import dpo
from harness.dpo import Training, session
from harness.dpo.callback import Curves
from harness.dpo.resume import References, latest, load_random, save_random, seal
from harness.errors import HarnessError
from harness.model import Model
from harness.records import Pair, Prompt
from tests.support.checkpoints import write_llava

TRAINING = Training(
    loss="multi_softmax", learning_rate=3e-3, lora_rank=4, lora_alpha=8, lora_dropout=0.1,
    batch_size=2, accumulation=1, epochs=2, save_steps=1,
)  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_case(folder):
    """Five pairs, so that the last batch of an epoch is short, on a small random model."""
    draw = np.random.default_rng(7)
    pairs = []
    for number in range(5):
        image = folder / f"{number}.png"
        Image.fromarray(draw.integers(0, 255, (28, 28, 3), dtype=np.uint8)).save(image)
        rejected = ("no water", "two")[: 1 + number % 2]
        pairs.append(Pair(Prompt(f"p{number}", image, "is there a dog?"), "yes", rejected))
    return pairs


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    folder = tmp_path_factory.mktemp("resume")
    model = Model.open(write_llava(folder / "llava"), device="cpu")
    pairs = make_case(folder)
    adapter = dpo.train(pairs, model, folder / "whole", seed=2, training=TRAINING)
    return model, pairs, adapter


class KilledError(Exception):
    """Stands for the moment at which a process ends."""


def weights(adapter):
    return (adapter / "adapter_model.safetensors").read_bytes()


def lines(path):
    kept = ("step", "loss", "margin", "grad_norm", "kl")
    made = [json.loads(line) for line in (path / "curves.jsonl").read_text().splitlines()]
    return [{name: line[name] for name in kept} for line in made]


@pytest.mark.parametrize("step", [1, 3, 5])
def test_an_interrupted_training_ends_with_the_same_bytes(case, tmp_path, monkeypatch, step):
    model, pairs, whole = case
    end = Curves.on_step_end

    def stop(self, args, state, control, **known):
        end(self, args, state, control, **known)
        if state.global_step == step:
            raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(Curves, "on_step_end", stop)
        with pytest.raises(KilledError):
            dpo.train(pairs, model, tmp_path, seed=2, training=TRAINING)
    left = sorted(path.suffix for path in tmp_path.rglob("*") if path.is_file())
    assert not {".pt", ".pth", ".bin", ".pkl"} & set(left)
    adapter = dpo.train(pairs, model, tmp_path, seed=2, training=TRAINING)
    assert weights(adapter) == weights(whole)
    assert lines(tmp_path) == lines(whole.parent)
    assert not (tmp_path / "state").exists()


def test_a_continued_training_knows_of_all_cut_answers(case, tmp_path, monkeypatch):
    model, pairs, _ = case
    marked = [dataclasses.replace(pairs[0], meta={"cut": ["yes"]}), *pairs[1:]]
    once = dataclasses.replace(TRAINING, epochs=1, cut="keep", save_steps=3)
    with monkeypatch.context() as patched:
        patched.setattr(session, "measured", lambda *_: (_ for _ in ()).throw(KilledError))
        with pytest.raises(KilledError):
            dpo.train(marked, model, tmp_path, seed=2, training=once)
    dpo.train(marked, model, tmp_path, seed=2, training=once)
    effect = json.loads((tmp_path / "effect.json").read_text())
    assert effect["cut"] == 1 / 12  # five chosen answers, and 1 + 2 + 1 + 2 + 1 rejected ones


def test_a_half_written_or_damaged_checkpoint_is_passed_over(tmp_path):
    folders = [tmp_path / f"checkpoint-{number}" for number in (5, 10, 15, 20, 25, 30)]
    for folder in folders:
        folder.mkdir()
        (folder / "a").write_text("abc")
        seal(folder)
    _, short, flipped, gone, cut, bare = folders
    (short / "a").write_text("ab")
    (flipped / "a").write_text("abb")  # one bit, and the same size
    (gone / "a").unlink()
    (cut / "complete.json").write_text("{")
    (bare / "complete.json").write_text("[1]")
    assert latest(tmp_path) == tmp_path / "checkpoint-5"


def test_another_training_does_not_continue_this_one(case, tmp_path, monkeypatch):
    model, pairs, whole = case

    def stop(self, args, state, control, **known):
        if state.global_step == 2:
            raise KilledError

    with monkeypatch.context() as patched:
        patched.setattr(Curves, "on_step_end", stop)
        other = dataclasses.replace(TRAINING, beta=0.5)
        with pytest.raises(KilledError):
            dpo.train(pairs, model, tmp_path, seed=2, training=other)
    adapter = dpo.train(pairs, model, tmp_path, seed=2, training=TRAINING)
    assert weights(adapter) == weights(whole)


def test_the_reference_is_computed_once_per_answer(case, tmp_path, monkeypatch):
    from harness.dpo.trainer import PackedTrainer

    model, pairs, _ = case
    calls = []
    answers = PackedTrainer._answers

    def count(self, model, base, inputs, features, competing):
        if not torch.is_grad_enabled():
            calls.extend(row.name for row in inputs["rows"])
        return answers(self, model, base, inputs, features, competing)

    monkeypatch.setattr(PackedTrainer, "_answers", count)
    once = dataclasses.replace(TRAINING, lora_dropout=0.0, repeats=2, save_steps=0)
    kept = dpo.train(pairs, model, tmp_path / "kept", seed=2, training=once)
    # A pair may stand twice in one batch before anything of it is kept.
    # At the end, the trained model orders each pair once.
    assert len(calls) <= 6 + 2 + len(pairs)
    assert len(set(calls)) == 5
    every = dataclasses.replace(once, precompute_reference=False)
    again = dpo.train(pairs, model, tmp_path / "again", seed=2, training=every)
    assert len(calls) >= 20
    one, other = (lines(path.parent) for path in (kept, again))
    assert [line["loss"] for line in one] == pytest.approx([line["loss"] for line in other])


def test_random_states_survive_exactly(tmp_path):
    save_random(tmp_path, 0)
    first = random.random(), np.random.rand(), torch.rand(3).tolist()
    load_random(tmp_path, 0)
    assert (random.random(), np.random.rand(), torch.rand(3).tolist()) == first


def test_a_damaged_checkpoint_says_what_to_delete(tmp_path):
    path = tmp_path / "reference-0.safetensors"
    path.write_bytes(b"\x80\x04not a tensor file")
    with pytest.raises(HarnessError, match="Delete"):
        References().load(tmp_path, 0)


SCRIPT = """
from pathlib import Path
import torch
torch.set_num_threads(1)
from harness import dpo
from harness.model import Model
from tests.dpo.test_resume import TRAINING, make_case
folder = Path({folder!r})
dpo.train(make_case(folder), Model.open(folder / "llava", device="cpu"), folder / {out!r},
          seed=2, training=TRAINING)
"""


@pytest.mark.slow
def test_kill_minus_nine_at_any_moment(tmp_path):
    write_llava(tmp_path / "llava")
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}

    def start(out):
        command = [sys.executable, "-c", SCRIPT.format(out=out, folder=str(tmp_path))]
        return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    for delay in (0.0, 0.3):
        process = start("killed")
        while process.poll() is None and not list((tmp_path / "killed").rglob("checkpoint-*")):
            time.sleep(0.005)
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert start("killed").wait() == 0
    made = [weights(tmp_path / name / "adapter") for name in ("killed", "whole")]
    assert made[0] == made[1]
    assert lines(tmp_path / "killed") == lines(tmp_path / "whole")
