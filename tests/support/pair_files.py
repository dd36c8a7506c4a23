"""Small files in exactly the shapes in which preference pairs and prompts are published.

Each writer puts one table (and its images) into a folder and returns what ``--pairs`` takes; the
pairs are always the same two: :data:`PAIRS`.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image
import pyarrow
import pyarrow.parquet

PAIRS = (
    ("What is shown?", "A red square.", "A blue dog."),
    ("How many are there?", "There is one.", "There are seven."),
)


def picture(number: int = 0) -> bytes:
    made = io.BytesIO()
    PIL.Image.new("RGB", (8, 8), ("red", "green", "blue")[number % 3]).save(made, "PNG")
    return made.getvalue()


def images(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))


def json_file(folder: Path, rows: list[Any], name: str = "pairs.json") -> Path:
    path = folder / name
    path.write_text(
        "".join(json.dumps(row) + "\n" for row in rows) if name.endswith("l") else json.dumps(rows)
    )
    return path


def parquet(folder: Path, rows: list[dict[str, Any]], name: str = "pairs.parquet") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


def embedded(number: int) -> dict[str, Any]:
    return {"bytes": picture(number), "path": None}


def trl_plain(folder: Path) -> Path:
    rows = [
        {"image": embedded(n), "prompt": q, "chosen": c, "rejected": r}
        for n, (q, c, r) in enumerate(PAIRS)
    ]
    return parquet(folder, rows)


def trl_conversational(folder: Path) -> Path:
    """As HuggingFaceH4/rlaif-v_formatted: parts of a content, images in a list of their own."""
    rows = [
        {
            "images": [embedded(n)],
            "prompt": [{"role": "user", "content": [
                {"type": "image", "text": None}, {"type": "text", "text": q}]}],
            "chosen": [{"role": "assistant", "content": [{"type": "text", "text": c}]}],
            "rejected": [{"role": "assistant", "content": [{"type": "text", "text": r}]}],
        }
        for n, (q, c, r) in enumerate(PAIRS)
    ]  # fmt: skip
    return parquet(folder, rows)


def trl_implicit(folder: Path) -> Path:
    images(folder, "a.png", "b.png")
    rows = [
        {
            "images": [name],
            "chosen": [{"role": "user", "content": q}, {"role": "assistant", "content": c}],
            "rejected": [{"role": "user", "content": q}, {"role": "assistant", "content": r}],
        }
        for name, (q, c, r) in zip(("a.png", "b.png"), PAIRS, strict=True)
    ]
    return json_file(folder, rows, "train.jsonl")


def sharegpt(folder: Path) -> Path:
    """As LLaMA-Factory's README gives it, in a JSON array."""
    images(folder, "img/a.png", "img/b.png")
    rows = [
        {
            "conversations": [{"from": "human", "value": f"<image>{q}"}],
            "chosen": {"from": "gpt", "value": c},
            "rejected": {"from": "gpt", "value": r},
            "images": [name],
        }
        for name, (q, c, r) in zip(("img/a.png", "img/b.png"), PAIRS, strict=True)
    ]
    return json_file(folder, rows)


def alpaca(folder: Path) -> Path:
    images(folder, "a.png", "b.png")
    rows = [
        {"instruction": q, "input": "", "chosen": c, "rejected": r, "images": [name]}
        for name, (q, c, r) in zip(("a.png", "b.png"), PAIRS, strict=True)
    ]
    return json_file(folder, rows)


def swift(folder: Path) -> Path:
    images(folder, "a.png", "b.png")
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"<image>{q}"},
                {"role": "assistant", "content": c},
            ],
            "rejected_response": r,
            "images": [str(folder / name)],
        }
        for name, (q, c, r) in zip(("a.png", "b.png"), PAIRS, strict=True)
    ]
    return json_file(folder, rows, "pairs.jsonl")


def sima(folder: Path) -> Path:
    """As llava/sima/dataset_for_dpo.py writes it; POVID's and CSR's files are alike."""
    images(folder, "000000000001.jpg", "000000000002.jpg")
    rows = []
    for number, (q, c, r) in enumerate(PAIRS, start=1):
        asked = {"from": "human", "value": f"<image>\n{q}"}
        rows.append(
            {
                "id": f"00000000000{number}",
                "image": f"00000000000{number}.jpg",
                "conversations": [asked, {"from": "gpt", "value": c}],
                "rejected_conversations": [asked, {"from": "gpt", "value": r}],
            }
        )
    return json_file(folder, rows, "sima.jsonl")


def seva(folder: Path) -> Path:
    """As data/step3/make_pair_textvqa.py writes it; an image may stand in two rows."""
    images(folder, "a.jpg")
    rows = [{"chosen": c, "reject": r, "question": q, "image_id": "a.jpg"} for q, c, r in PAIRS]
    return json_file(folder, rows)


def llava_rlhf(folder: Path) -> Path:
    images(folder, "a.png", "b.png")
    rows = [
        {
            "id": name,
            "image": name,
            "conversations": [{"from": "human", "value": f"{q}\n<image>"}],
            "output_1": {"from": "llava", "value": r},
            "output_2": {"from": "llava", "value": c},
            "preference": 2,
            "hallucination": False,
        }
        for name, (q, c, r) in zip(("a.png", "b.png"), PAIRS, strict=True)
    ]
    return json_file(folder, rows)


def rlaif_v(folder: Path) -> Path:
    rows = [
        {
            "ds_name": "RLAIF-V",
            "image": embedded(n),
            "question": q,
            "chosen": c,
            "rejected": r,
            "origin_dataset": "COCO",
            "origin_split": '{"model": "llava15-7b", "type": "question_answer"}',
            "idx": str(n),
            "image_path": f"./RLAIF-V-Dataset/COCO_{n}.jpg",
        }
        for n, (q, c, r) in enumerate(PAIRS)
    ]
    return parquet(folder, rows, "RLAIF-V-Dataset_000.parquet")


def rlhf_v(folder: Path) -> Path:
    rows = [
        {
            "ds_name": "RLHF-V",
            "image": embedded(n),
            "text": json.dumps({"question": q, "chosen": c, "rejected": r}),
            "origin_dataset": "LLaVA-1.5",
            "origin_split": '{"model": "muffin", "type": "question_answering"}',
            "idx": n,
            "image_path": f"llava1.5/{n}.png",
        }
        for n, (q, c, r) in enumerate(PAIRS)
    ]
    return parquet(folder, rows, "RLHF-V-Dataset.parquet")


def vlfeedback(folder: Path) -> Path:
    """Four answers rated on three aspects; the two in the middle have equal means."""
    images(folder, "merged_images/a.jpg")
    question, good, bad = PAIRS[0]

    def rated(text: str, ratings: str) -> dict[str, Any]:
        aspects = ("Helpfulness", "Ethical Considerations", "Visual Faithfulness")
        marks = zip(aspects, ratings, strict=True)
        notes = {aspect: {"Rating": mark, "Rationale": "..."} for aspect, mark in marks}
        return {"annotations": notes, "model": "m", "response": text}

    completions = [rated("m1", "345"), rated(good, "555"), rated("m2", "444"), rated(bad, "151")]
    rows = [
        {
            "id": "svit-1",
            "prompt": question,
            "models": ["a", "b", "c", "d"],
            "completions": completions,
            "img_path": "merged_images/a.jpg",
        },
    ]
    return json_file(folder, rows, "vlfeedback.jsonl")


def mdpo(folder: Path) -> Path:
    """As data/sample_data.json of mDPO: the prompt is written out in LLaVA's template."""
    images(folder, "images/a.jpg", "images/b.jpg")
    head = (
        "A chat between a curious user and an artificial intelligence assistant. The assistant "
        "gives helpful, detailed, and polite answers to the user's questions."
    )
    rows = [
        {
            "img_path": name,
            "prompt": f"{head} USER: <image>\n{q} ASSISTANT:",
            "chosen": c,
            "rejected": r,
        }
        for name, (q, c, r) in zip(("images/a.jpg", "images/b.jpg"), PAIRS, strict=True)
    ]
    return json_file(folder, rows)


def saved_by_datasets(folder: Path) -> Path:
    """A folder that ``DatasetDict.save_to_disk`` writes."""
    import datasets

    rows = [
        {"image": PIL.Image.open(io.BytesIO(picture(n))), "question": q, "chosen": c, "rejected": r}
        for n, (q, c, r) in enumerate(PAIRS)
    ]
    made = datasets.Dataset.from_list(rows)
    datasets.DatasetDict({"train": made, "test": made.select([0])}).save_to_disk(folder / "saved")
    return folder / "saved"


def published_folder(folder: Path) -> Path:
    """A folder as a data set lies on the hub: shards of each split."""
    for n, (q, c, r) in enumerate(PAIRS):
        row = {"image": embedded(n), "question": q, "chosen": c, "rejected": r}
        parquet(folder, [row], f"data/train-{n:05d}-of-00002.parquet")
    parquet(folder, [row], "data/test-00000-of-00001.parquet")
    (folder / "README.md").write_text("---\nlicense: mit\n---\n")
    return folder


def comma_separated(folder: Path) -> Path:
    images(folder, "a.png", "b.png")
    path = folder / "pairs.csv"
    with path.open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["image", "question", "chosen", "rejected"])
        out.writerows([name, *pair] for name, pair in zip(("a.png", "b.png"), PAIRS, strict=True))
    return path


WRITERS: dict[str, Callable[[Path], Path]] = {
    function.__name__: function
    for function in (
        trl_plain, trl_conversational, trl_implicit, sharegpt, alpaca, swift, sima, seva,
        llava_rlhf, rlaif_v, rlhf_v, mdpo, saved_by_datasets, published_folder, comma_separated,
    )
}  # fmt: skip
"""Every shape that holds exactly :data:`PAIRS`."""
