"""Two processes train as one does: the same pairs per step, so the same losses."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from tests.support.checkpoints import write_llava

SCRIPT = """
import dataclasses
from pathlib import Path
import sys
import torch
torch.set_num_threads(1)
from harness import dpo
from harness.model import Model
from harness.records import Pair, Prompt
from harness.model.distributed import ranks, serve
if ranks().rank > 0:
    serve()
    sys.exit()
folder, out = Path({folder!r}), Path(sys.argv[1])
pairs = [
    Pair(Prompt(f"p{{n}}", folder / f"{{n}}.png", "is there a dog?"), "yes" + " dog" * (n % 3),
         ("no water", "two")[: 1 + n % 2])
    for n in range({pairs})
]
training = dpo.Training(
    loss="multi_softmax", learning_rate=3e-3, lora_rank=4, lora_alpha=8, batch_size={batch},
    accumulation={count}, epochs=2, save_steps=2,
)
training = dataclasses.replace(training, **{more})
dpo.train(pairs, Model.open(folder / "llava", device="cpu"), out, seed=2, training=training)
ranks().dismiss()
"""


ALL = {
    "tune": "full", "parts": ("language", "projector", "vision"), "holdout": 0.2, "eval_steps": 1,
    "learning_rate": 1e-3, "gradient_checkpointing": True,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("batch", "count", "more"),
    [(2, 2, {}), (4, 1, {"holdout": 0.2, "eval_steps": 2}), (2, 2, ALL)],
)
def test_two_processes_have_the_losses_of_one(tmp_path, batch, count, more):
    from safetensors.torch import load_file

    write_llava(tmp_path / "llava")
    draw = np.random.default_rng(7)
    pairs = 10 if more else 8  # as many in training: each epoch is whole steps
    for number in range(pairs):
        pixels = draw.integers(0, 255, (28, 28, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{number}.png")
    script = tmp_path / "train.py"
    script.write_text(
        SCRIPT.format(folder=str(tmp_path), batch=batch, count=count, more=more, pairs=pairs)
    )
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"}
    for name, how in (("one", []), ("two", launch)):
        command = [sys.executable, *how, str(script), str(tmp_path / name)]
        subprocess.run(command, check=True, env=environment, capture_output=True)
    for file in ("curves.jsonl", *(["held_out.jsonl"] if more else [])):
        curves = [
            [json.loads(line) for line in (tmp_path / name / file).read_text().splitlines()]
            for name in ("one", "two")
        ]
        if file == "curves.jsonl":
            assert [line["step"] for line in curves[1]] == [1, 2, 3, 4]
        assert curves[1]
        for key in ("loss", "margin", "logp_chosen", "grad_norm"):
            first, second = ([line[key] for line in lines if key in line] for lines in curves)
            assert first == pytest.approx(second, rel=1e-4, abs=1e-6), key
    effects = [json.loads((tmp_path / name / "effect.json").read_text()) for name in ("one", "two")]
    for key in ("update_norm", "weight_norm", "held_out", "measured", "pairs"):
        assert effects[0][key] == pytest.approx(effects[1][key], rel=1e-4), key
    for when in ("before", "after"):
        assert effects[0][when] == pytest.approx(effects[1][when], rel=1e-4, abs=1e-5)
    weights = [
        load_file(next((tmp_path / name).glob("[am]*/*model.safetensors")))
        for name in ("one", "two")
    ]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        assert np.allclose(value, weights[1][name], rtol=1e-3, atol=2e-5), name
