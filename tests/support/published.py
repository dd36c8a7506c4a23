"""The miniatures as their benchmarks' authors would publish them.

The real archives are under their own licences and large, so these are written from what the
official evaluation code reads: LLaVA-RLHF's template of MMHal-Bench, Mementos' tables and notebook,
HA-DPO's ``ha_dpo/shr_eval/json_eval.py`` with Visual Genome's readme, AMBER's ``inference.py``.
"""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as parquet
from harness_tinyworld import DATA

Doc = dict[str, Any]


def rows(folder: str, count: int = 4) -> list[Doc]:
    """Return the first rows of a miniature, images as bytes."""
    (file,) = (DATA / folder / "data").glob("*.parquet")
    return parquet.read_table(file).slice(0, count).to_pylist()


def archive(path: Path, members: Mapping[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as made:
        for name, data in members.items():
            made.writestr(name, data)


def dump(path: Path, value: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False), encoding="utf-8")


def mmhal(folder: Path) -> list[Doc]:
    """Write the template, and the archive of images; return the miniature's rows."""
    docs = rows("MMHal-Bench")
    keys = ("question_type", "question_topic", "image_id", "image_content", "question", "gt_answer")
    source = "https://c4.staticflickr.com/8/7211/{}_o.jpg"
    template = [
        {key: doc[key] for key in keys}
        | {"image_src": source.format(doc["image_id"]), "model_answer": ""}
        for doc in docs
    ]
    dump(folder / "response_template.json", template)
    images = {f"images/{doc['image_id']}_o.jpg": doc["image"]["bytes"] for doc in docs}
    archive(folder / "test_data.zip", {"__MACOSX/images/._m0_o.jpg": b"x", **images})
    return docs


def shr(folder: Path) -> list[Doc]:
    """Write HA-DPO's three lists and Visual Genome's two, and images in both of its folders."""
    docs = rows("SHR")
    numbers = [2317429 + place for place in range(len(docs))]
    places = [f"VG_100K{'_2' * (number % 2)}/{number}.jpg" for number in numbers]
    dump(folder / "shr/val_images_final.json", [{"image_id": str(n)} for n in numbers])
    last = [{str(n): doc["facts"][-1:]} for n, doc in zip(numbers, docs, strict=True)]
    for part, lines in ((1, last[:2]), (2, last[2:])):
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"shr/shr_factual_part{part}.jsonl").write_text(text)
    address = "https://cs.stanford.edu/people/rak248/{}"
    known = [
        {"image_id": n, "url": address.format(p), "width": 80, "height": 80, "coco_id": coco}
        for n, p, coco in zip(numbers, places, (None, 547168, None, 9), strict=True)
    ]
    other = {"image_id": 1, "url": address.format("VG_100K_2/1.jpg"), "coco_id": None}
    dump(folder / "VG/image_data.json", [other, *known])
    described = [
        {"id": n, "regions": [region(n, text) for text in ("", *doc["facts"][:-1])]}
        for n, doc in zip(numbers, docs, strict=True)
    ]
    dump(folder / "VG/region_descriptions.json", [{"id": 5, "regions": []}, *described])
    for place, doc in zip(places, docs, strict=True):
        file = folder / "VG" / place
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(doc["image"]["bytes"])
    return docs


def region(image: int, phrase: str) -> Doc:
    return {"image_id": image, "phrase": phrase, "x": 1, "y": 2, "width": 3, "height": 4}


def amber(folder: Path) -> list[Doc]:
    """Write questions, annotations, word lists and images."""
    docs = rows("amber_g")
    asked = [
        {"id": doc["question_id"], "image": f"AMBER_{doc['question_id']}.jpg", "query": "?"}
        for doc in docs
    ]
    truth = [
        {
            "id": doc["question_id"],
            "type": "generative",
            "truth": doc["truth"],
            "hallu": doc["hallu"],
        }
        for doc in docs
    ]
    dump(folder / "query/query_generative.json", asked)
    dump(folder / "annotations.json", [*truth, {"id": 1005, "type": "d", "truth": "yes"}])
    for name in ("relation.json", "safe_words.txt"):
        (folder / name).write_bytes((DATA / "amber_g" / "metadata" / name).read_bytes())
    images = {f"image/AMBER_{doc['question_id']}.jpg": doc["image"]["bytes"] for doc in docs}
    archive(folder / "image.zip", images)
    return docs


_TYPES = {"existence": "discriminative-hallucination", "relation": "relation"}


def amber_all(folder: Path) -> list[Doc]:
    """Write all of AMBER: both halves' questions about one image; return the miniature's rows."""
    docs = rows("AMBER", 9)
    number = "question_id"
    asked = [{"id": d[number], "image": "AMBER_1.jpg", "query": d["question"]} for d in docs]
    truth = []
    for doc in docs:
        kind = doc["kind"]
        if kind == "generative":
            answer = {"type": kind, "truth": doc["truth"], "hallu": doc["hallu"]}
        else:
            named = _TYPES.get(kind, f"discriminative-{kind}")
            answer = {"type": named, "truth": doc["truth"][0]}
        truth.append({"id": doc[number], **answer})
    dump(folder / "query_all.json", asked)
    dump(folder / "annotations.json", truth)
    for name in ("relation.json", "safe_words.txt"):
        (folder / name).write_bytes((DATA / "AMBER" / "metadata" / name).read_bytes())
    archive(folder / "image.zip", {"image/AMBER_1.jpg": docs[0]["image"]["bytes"]})
    return docs


def pope(folder: Path, packed: bool = True, many: int = 3) -> list[Doc]:
    """Write a list of each split and the images, as POPE's repository and COCO lay them out."""
    docs = []
    for split in ("adversarial", "popular", "random"):
        every = [doc for doc in rows("POPE", 2880) if doc["category"] == split]
        mine = every[: many - (split == "random")]
        lines = [
            {
                "question_id": int(doc["question_id"]),
                "image": f"{doc['image_source']}.jpg",
                "text": doc["question"],
                "label": doc["answer"],
            }
            for doc in mine
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        lists = folder if packed else folder / "coco"
        lists.mkdir(exist_ok=True)
        (lists / f"coco_pope_{split}.json").write_text(text)
        docs += mine
    images = {f"val2014/{doc['image_source']}.jpg": doc["image"]["bytes"] for doc in docs}
    if packed:
        archive(folder / "val2014.zip", images)
    for name, data in () if packed else images.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    return docs


def hallusion_all(folder: Path) -> list[Doc]:
    """Write the list, of which some questions name no file, and the archive of figures."""
    docs = rows("HallusionBench-all", 200)
    keys = ("category", "subcategory", "set_id", "figure_id", "question_id", "visual_input")
    texts = (*keys, "sample_note", "question", "gt_answer", "gt_answer_details")
    listed, figures = [], {}
    for doc in docs:
        place = "{category}/{subcategory}/{set_id}_{figure_id}.png".format(**doc)
        drawn = doc["image"] is not None
        listed.append({**{k: doc[k] for k in texts}, "filename": f"./{place}" if drawn else None})
        if drawn:
            figures[f"hallusion_bench/{place}"] = doc["image"]["bytes"]
    dump(folder / "HallusionBench.json", listed)
    archive(folder / "hallusion_bench.zip", figures)
    return docs


TEXTS = {
    "cmc": [("cmc_10.png", "A bear holds a hat, and a bear runs.")],
    "dl": [
        ("rw_7.png", "Two dogs sit; a “puppy” runs home."),
        ("rw_8.png", "A line\nbreak, a dog and a chair."),
    ],
    "robo": [("rb_9.png", "A robotic arm picks up the can.")],
}
HEADS = {
    "cmc": ("image_name", "gt_description"),
    "dl": ("image_name", "description"),
    "robo": ("image", "description"),
}
GRAPHS = {
    ("cmc", "object"): {"bear": {"": ["bear"]}, "cap": {"": ["hat"]}},
    ("cmc", "action"): {"jog": {"": ["run", "jog"]}, "hold": {"": ["hold"]}},
    ("dl", "object"): {
        "dog": {"": ["dog", "puppy", " animal,"]},
        "chair": {"": ["chair"]},
        "group": {"": [], "girls": ["people"]},
    },
    ("dl", "action"): {"sit": {"": ["sit"]}, "run": {"": ["run"]}},
    ("robo", "object"): {"robotic arm": {"": ["robotic arm"]}, "can": {"": ["can"]}},
}


def mementos(folder: Path) -> None:
    """Write tables, graphs and images of four sequences; the robot's actions have no graph."""
    images = [doc["image"]["bytes"] for doc in rows("Mementos")]
    for short, texts in TEXTS.items():
        with (folder / f"{short}_description.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([HEADS[short], *texts])
        members = {f"image_{short}/{name}": images.pop() for name, _ in texts}
        archive(folder / f"image_{short}.zip", members)
    (folder / "sym_graphs").mkdir()
    for (short, kind), graph in GRAPHS.items():
        file = folder / "sym_graphs" / f"{short}_{kind}_graph_v1.pkl"
        file.write_bytes(pickled(f"{kind.title()}Graph", graph))


_SAVE = """
import json, sys
from pickle import dumps
name, graph = json.load(sys.stdin)
kind = type(name, (), {"__module__": "__main__"})
globals()[name] = kind
made = kind()
made.graph = graph
sys.stdout.buffer.write(dumps(made))
"""


def pickled(name: str, graph: Any) -> bytes:
    """Save a graph as Mementos' notebook does: an object of a class of its own, pickled."""
    return other_python(_SAVE, json.dumps([name, graph]))


def other_python(code: str, text: str = "") -> bytes:
    """Run code in a process of its own and return what it writes."""
    command: Sequence[str] = [sys.executable, "-c", code]
    return subprocess.run(command, input=text.encode(), stdout=-1, check=True).stdout
