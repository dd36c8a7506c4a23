"""Two processes train as one does: the same pairs per step, so the same losses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.checkpoints import write_llava

SCRIPT = """
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
for case, (batch, count, more) in enumerate({cases!r}):
    pairs = [
        Pair(Prompt(f"p{{n}}", folder / f"{{n}}.png", "is there a dog?"), "yes" + " dog" * (n % 3),
             ("no water", "two")[: 1 + n % 2])
        for n in range(10 if more else 8)  # as many in training: each epoch is whole steps
    ]
    training = dpo.Training(
        loss="multi_softmax", lora_rank=4, lora_alpha=8, batch_size=batch, accumulation=count,
        epochs=2, save_steps=2, **({{"learning_rate": 3e-3}} | more),
    )
    model = Model.open(folder / "llava", device="cpu")
    dpo.train(pairs, model, out / str(case), seed=2, training=training)
ranks().dismiss()
"""


ALL = {
    "tune": "full", "parts": ("language", "projector", "vision"), "holdout": 0.2, "eval_steps": 1,
    "learning_rate": 1e-3, "gradient_checkpointing": True,
}  # fmt: skip
CASES = [(2, 2, {}), (4, 1, {"holdout": 0.2, "eval_steps": 2}), (2, 2, ALL)]
"""Pairs in a batch, batches in a step, and what else is set."""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every case by one process and by two, which import their libraries once for all of them."""
    folder = tmp_path_factory.mktemp("processes")
    write_llava(folder / "llava")
    draw = np.random.default_rng(7)
    for number in range(10):
        pixels = draw.integers(0, 255, (28, 28, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    script = folder / "train.py"
    script.write_text(SCRIPT.format(folder=str(folder), cases=CASES))
    launch = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "ACCELERATE_USE_CPU": "true"}
    for name, how in (("one", []), ("two", launch)):
        command = [sys.executable, *how, str(script), str(folder / name)]
        subprocess.run(command, check=True, env=environment, capture_output=True)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("case", range(len(CASES)))
def test_two_processes_have_the_losses_of_one(trained: Path, case: int) -> None:
    from safetensors.torch import load_file

    *_, more = CASES[case]
    runs = [trained / name / str(case) for name in ("one", "two")]
    for file in ("curves.jsonl", *(["held_out.jsonl"] if more else [])):
        curves = [
            [json.loads(line) for line in (run / file).read_text().splitlines()] for run in runs
        ]
        if file == "curves.jsonl":
            assert [line["step"] for line in curves[1]] == [1, 2, 3, 4]
        assert curves[1]
        for key in ("loss", "margin", "logp_chosen", "grad_norm"):
            first, second = ([line[key] for line in lines if key in line] for lines in curves)
            assert first == pytest.approx(second, rel=1e-4, abs=1e-6), key
    effects = [json.loads((run / "effect.json").read_text()) for run in runs]
    for key in ("update_norm", "weight_norm", "held_out", "measured", "pairs"):
        assert effects[0][key] == pytest.approx(effects[1][key], rel=1e-4), key
    for when in ("before", "after"):
        assert effects[0][when] == pytest.approx(effects[1][when], rel=1e-4, abs=1e-5)
    weights = [load_file(next(run.glob("[am]*/*model.safetensors"))) for run in runs]
    assert weights[0].keys() == weights[1].keys()
    for name, value in weights[0].items():
        assert np.allclose(value, weights[1][name], rtol=1e-3, atol=2e-5), name
