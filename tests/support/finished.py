"""Finished runs as they lie on disk, made of real rows and the real comparison, without a model."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness_reports import json as json_report

from harness.benchmark import benchmark, present
from harness.compare import compare
from harness.engine import checkpoint_digest
from harness.records import Drop, Pair, Prompt, Sample, to_json
from harness.report import ReportInput
from harness.storage import journal_of, write_json

DRAWS = 500


def pope(count: int = 90, *, right: float = 0.7, seed: int = 1) -> tuple[Sample, ...]:
    """Return rows of POPE with six questions on each image, answered right that often."""
    chance = random.Random(seed)
    found = []
    for index in range(count):
        truth = index % 2 == 0
        said = truth if chance.random() < right else not truth
        scores = {
            "strict": float(said == truth),
            "strict_yes": float(said),
            "strict_no": float(not said),
            "lenient": float(said == truth),
            "lenient_yes": float(said),
            "unparsed": 0.0,
            "label_yes": float(truth),
            "logit": float(said == truth),
            "logit_right": 0.75 if said == truth else 0.25,
        }
        found.append(
            row(index, "yes" if truth else "no", "Yes" if said else "No", scores, index // 6)
        )
    return tuple(found)


def mmvet(count: int = 60, *, right: float = 0.5, seed: int = 2) -> tuple[Sample, ...]:
    """Return rows of MM-Vet in two capabilities, judged in tenths."""
    chance = random.Random(seed)
    made = []
    for index in range(count):
        score = round((chance.random() < right and 1.0) or chance.randrange(5) / 10, 1)
        groups = {"capability": "rec" if index % 3 else "spat"}
        made.append(
            row(index, "two", "two", {"score": score}, index, judge="builtin", groups=groups)
        )
    return tuple(made)


def row(
    index: int,
    target: str,
    answer: str | None,
    scores: Mapping[str, float | None],
    image: int,
    **fields: object,
) -> Sample:
    """Return one row; the same index is the same question."""
    return Sample(
        id=str(index),
        content=f"content {index} {target}",
        cluster=f"image{image}",
        prompt=f"Question {index}?",
        target=target,
        answer=answer,
        tokens=2,
        finish="stop",
        scores=scores,
        **fields,  # type: ignore[arg-type]
    )


def write_run(
    folder: Path,
    before: Mapping[str, Sequence[Sample]],
    after: Mapping[str, Sequence[Sample]],
    *,
    method: str = "seva",
    data: str = "1234",
    prints: Mapping[str, str] | None = None,
    draws: int = DRAWS,
) -> Path:
    """Write a run folder as :func:`harness.run.run` leaves it, but for the checkpoint."""
    for arm, samples in (("before", before), ("after", after)):
        for name, rows in samples.items():
            journal = journal_of(
                folder / arm / f"{name}.jsonl", (prints or {}).get(name, f"{arm} {name}"), Sample
            )
            journal.append(*rows)
            journal.finish()
    columns = {name: present(benchmark(name).columns, rows) for name, rows in before.items()}
    comparison = compare(before, after, columns, draws=draws)
    place = Path("/home/jane doe/prompts/images")
    prompts = [Prompt(f"p{n}", place / f"{n}.png", f"What is {n}?") for n in range(3)]
    pairs: list[Pair | Drop] = [
        Pair(prompts[0], "A cat.", ("A dog.",), {"file": "/home/jane doe/x/y.png"}),
        Drop(prompts[1], "equal"),
        Pair(prompts[2], "Look in /usr/share/dict, cat\u2028or dog.", ("No.",)),
    ]
    lines = [{"version": 1, "fingerprint": "pairs"}, *map(to_json, pairs), {"end": 3}]
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    (folder / "pairs.jsonl").write_text(text, encoding="utf-8")
    write_json(
        folder / "settings.json",
        {
            "asked": {
                "benches": list(before),
                "model": "/home/jane doe/models/llava-1.5-7b-hf",
                "out": str(folder.parent),
                "limit": None,
            },
            "inputs": {f"data:{name}": data for name in before},
        },
    )
    write_json(folder / "versions.json", {"vlm-harness": "0.1.0"})
    report = ReportInput(
        comparison=comparison,
        method=method,
        model="/home/jane doe/models/llava-1.5-7b-hf",
        pairs=2,
        dropped={"equal": 1},
        notes=("a note",),
        options={"source": "critic at https://jane:secret@judge.example/v1"},
    )
    json_report.write(report, folder)
    (folder / "report.md").write_text("not evidence")
    weights = folder / "checkpoint" / "adapter"
    weights.mkdir(parents=True, exist_ok=True)
    (weights / "adapter_model.safetensors").write_bytes(b"weights")
    (weights / "adapter_config.json").write_text('{"base": "/home/jane doe/models"}')
    digest = checkpoint_digest(weights)
    write_json(folder / "training.json", {"path": "checkpoint/adapter", "files": digest})
    (folder / "checkpoint" / "curves.jsonl").write_text('{"step": 1, "loss": 0.69}\n')
    return folder
