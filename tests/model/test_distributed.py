"""Two processes give the result of one; a process that dies ends the run with a plain error."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from harness.model.distributed import Ranks
from tests.support.checkpoints import write_llava

ASK = """
import json, os, sys
from pathlib import Path
import numpy as np
import torch
from PIL import Image
from harness.errors import HarnessError
from harness.model import Model
from harness.model.distributed import ranks, serve
from harness.records import Request
from harness.storage import Store

torch.set_num_threads(1)
folder, store, die = sys.argv[1:4]


class Deadly(str):  # kills the process that unpacks it
    def __reduce__(self):
        return os._exit, (9,)


if ranks().rank > 0:
    serve()
    sys.exit()
images = [
    Image.fromarray(np.random.default_rng(seed).integers(0, 255, (40, 50, 3), dtype=np.uint8))
    for seed in range(3)
]
asked = [
    Request(text, (image,), max_new_tokens=5, temperature=heat, seed=4)
    for image in images for text in ("is there a dog?", "yes") for heat in (0.0, 0.9)
]
model = Model.open(folder, device="cpu", store=Store(Path(store)))
if die != "none":
    asked[1] = Request(Deadly("x"), asked[1].images, max_new_tokens=5)
try:
    answers = [answer.text for answer in model.answer([*asked, asked[0]])]
except HarnessError as error:
    print("ERROR", error)
    sys.exit(1)
ranks().dismiss()
mine = model.base._engine.features.encoded if model.base._engine else 0
print(json.dumps({"answers": answers, "calls": model.calls, "encoded": mine}))
"""


def launch(folder: Path, store: Path, size: int, die: str = "none") -> list[tuple[int, str]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = []
    for rank in range(size):
        settings = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(size)}
        settings |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command = [sys.executable, "-c", ASK, str(folder), str(store), die]
        processes.append(
            subprocess.Popen(
                command, stdout=subprocess.PIPE, text=True, env={**os.environ, **settings}
            )
        )
    outputs = [process.communicate(timeout=500)[0] for process in processes]
    return [(p.returncode, out) for p, out in zip(processes, outputs, strict=True)]


def test_work_is_divided_by_image_and_nothing_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    work = [(f"k{number}", (f"image{number % 5}",), 10) for number in range(40)]
    work += [(f"t{number}", (), 3) for number in range(7)]
    parts = []
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        monkeypatch.setenv("WORLD_SIZE", "3")
        parts.append(Ranks().divide(work))
    assert sorted(key for part in parts for key in part) == sorted(key for key, _, _ in work)
    images = [{int(key[1:]) % 5 for key in part if key[0] == "k"} for part in parts]
    assert sum(map(len, images)) == 5


@pytest.mark.slow
def test_two_processes_answer_like_one(tmp_path: Path) -> None:
    folder = write_llava(tmp_path / "llava", seed=2)
    (code, text), *_ = launch(folder, tmp_path / "one", 1)
    assert code == 0
    one = json.loads(text.splitlines()[-1])
    (code, text), (other, nothing) = launch(folder, tmp_path / "two", 2)
    assert (code, other, nothing) == (0, 0, "")
    two = json.loads(text.splitlines()[-1])
    assert two["answers"] == one["answers"]
    assert two["calls"] == one["calls"] == 12
    assert 0 < two["encoded"] < one["encoded"] == 3
    (_, text), _ = launch(folder, tmp_path / "two", 2)
    assert json.loads(text.splitlines()[-1])["calls"] == 0


@pytest.mark.slow
def test_a_process_that_dies_ends_the_run_with_a_plain_error(tmp_path: Path) -> None:
    folder = write_llava(tmp_path / "llava", seed=2)
    (code, text), (other, _) = launch(folder, tmp_path / "store", 2, die="1")
    assert (code, other) == (1, 9)
    assert "lost the others" in text


def test_work_within_shared_work_is_a_plain_call(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Ranks().call(lambda: 1 / 0, lambda: "here") == "here"
