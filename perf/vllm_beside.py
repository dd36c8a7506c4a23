"""The engine of this project beside vLLM: the part of ``perf/engine.py --vllm`` that asks both."""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import checkout  # noqa: F401
import httpx

from harness.model import Model
from harness.model.vllm_engine import VllmEngine, VllmOptions
from harness.records import Request
from tests.support.checkpoints import Sizes, write_llava


def against_vllm(
    python: str, sizes: Sizes, shapes: dict[str, list[Request]], repetitions: int
) -> dict[str, dict[str, object]]:
    """Time the engine and vLLM alternately on some shapes; return ratios by shape."""
    os.environ.setdefault("VLLM_SERVER_DEV_MODE", "1")  # to empty its caches
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
    found: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as place:
        folder = write_llava(Path(place) / "llava", sizes)
        options = VllmOptions(python=python, start=3600.0)
        other = Model.open(folder, engine=lambda source: VllmEngine(source, options))
        model = Model.open(folder)
        warm = [replace(next(iter(shapes.values()))[0], max_new_tokens=2)]
        for each in (model, other):
            list(each.answer(warm))
        for name, rows in shapes.items():
            timed: dict[str, list[tuple[float, float]]] = {"own": [], "vllm": []}
            texts = {}
            for _ in range(repetitions):
                for way, asked in {"own": model, "vllm": other}.items():
                    forget(asked)
                    began, used = time.perf_counter(), processor_seconds(other)
                    texts[way] = [answer.text for answer in asked.answer(rows)]
                    wall = time.perf_counter() - began
                    timed[way].append((wall, processor_seconds(other) - used))
            wall, used = (
                {way: statistics.median(t[at] for t in times) for way, times in timed.items()}
                for at in (0, 1)
            )
            equal = sum(a == b for a, b in zip(texts["own"], texts["vllm"], strict=True))
            found[name] = {
                "wall": round(wall["vllm"] / wall["own"], 3),
                "processor": round(used["vllm"] / used["own"], 3),
                "equal": equal,
                "rows": len(rows),
            }
            print(
                f"{name:5} {len(rows):3} rows: own {wall['own']:.2f} s ({used['own']:.2f} s of "
                f"processor), vLLM {wall['vllm']:.2f} s ({used['vllm']:.2f} s); own is "
                f"{found[name]['wall']}x vLLM by wall time, {found[name]['processor']}x by "
                f"processor time; {equal} of {len(rows)} texts equal",
                flush=True,
            )
        other.release()
    return found


def forget(model: Model) -> None:
    """Empty what an engine has kept of earlier questions."""
    if not isinstance(model.engine, VllmEngine):
        model.base.engine().forget()
        return
    assert model.engine._server is not None
    root = model.engine._server.server.base.removesuffix("/v1")
    for path in ("reset_prefix_cache", "reset_mm_cache", "reset_encoder_cache"):
        httpx.post(f"{root}/{path}", timeout=60)


def processor_seconds(model: Model) -> float:
    """Return the processor time so far of this process and of the server with all its children."""
    total = time.process_time()
    engine = model.engine
    assert isinstance(engine, VllmEngine)
    assert engine._server is not None
    guard = engine._server._process.pid
    session = Path(f"/proc/{guard}/task/{guard}/children").read_text().split()[0]
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        if fields[3] == session:
            total += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return total
