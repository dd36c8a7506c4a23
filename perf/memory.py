"""The memory that the preflight estimates for a training, against what the training took.

    uv run python perf/memory.py

Each setting is a process of its own on a made-up LLaVA of 27 million weights, in float32, on the
CPU: the peak of its resident memory in the training, less what it held once the model was loaded.
The estimate counts the model's weights, which are in memory before; they are taken off.
"""

from __future__ import annotations

import json
import re
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
import checkout  # noqa: F401  (tests.support is that of this checkout)

BASE = {"rank": 64, "length": 128, "batch": 4, "checkpointing": 0}
SETTINGS = [
    BASE,
    *({**BASE, "rank": rank} for rank in (8, 256)),
    *({**BASE, "length": length} for length in (32, 384)),
    *({**BASE, "batch": batch} for batch in (1, 12)),
    {**BASE, "checkpointing": 1},
]


def resident(name: str) -> float:
    """Return a figure of this process's memory in MB."""
    found = re.search(rf"{name}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 1e3


def measure(folder: Path, rank: int, length: int, batch: int, checkpointing: int) -> None:
    """Print estimate and measured peak of one training, in MB."""
    import torch
    from PIL import Image

    from harness import dpo
    from harness.model import Model
    from harness.records import Pair, Prompt

    torch.set_num_threads(1)
    model = Model.open(folder / "model", device="cpu", dtype="float32")
    image = folder / f"{rank}-{length}-{batch}.png"
    Image.effect_noise((56, 56), 90).convert("RGB").save(image)
    answer = "x" * (length - 1)
    pairs = [
        Pair(Prompt(f"p{n}", image, "what is there?"), f"{answer}a", (f"{answer}b",))
        for n in range(2 * batch)
    ]
    training = dpo.Training(
        learning_rate=1e-4, lora_rank=rank, lora_alpha=rank, batch_size=batch, accumulation=1,
        save_steps=0, gradient_checkpointing=bool(checkpointing),
    )  # fmt: skip
    seen = dpo.try_step(pairs[0], model, training)
    held = sum(weight.nbytes for weight in model.network.parameters()) / 1e6
    estimate = seen.memory(batch, 2, length) / 1e6 - held
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    dpo.train(pairs, model, folder / f"out-{image.stem}-{checkpointing}", seed=0, training=training)
    peak = resident("VmHWM") - before
    print(json.dumps({"estimate": estimate, "peak": peak}))


def main() -> None:
    """Print a line for each setting."""
    from tests.support.checkpoints import Sizes, write_llava

    sizes = Sizes(hidden=512, mlp=1408, layers=8, heads=8, vision_hidden=128, vision_layers=4)
    with tempfile.TemporaryDirectory() as folder:
        write_llava(Path(folder) / "model", sizes)
        for setting in SETTINGS:
            done = subprocess.run(
                [sys.executable, __file__, folder, json.dumps(setting)],
                capture_output=True,
                text=True,
                check=True,
            )
            found = json.loads(done.stdout.splitlines()[-1])
            error = found["estimate"] / found["peak"] - 1
            print(
                f"{setting}: estimate {found['estimate']:6.0f} MB, peak {found['peak']:6.0f} MB, "
                f"{error:+.0%}",
                flush=True,
            )
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(f"{used.ru_utime + used.ru_stime:.0f} s of processor time")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]), **json.loads(sys.argv[2]))
    else:
        main()
