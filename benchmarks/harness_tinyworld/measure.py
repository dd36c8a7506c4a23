"""Measure a checkpoint on held-out scenes: `python -m harness_tinyworld.measure` prints JSON."""

from __future__ import annotations

import argparse
import json
import random
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np

from harness_tinyworld import DATA, MODEL, critic, describe, formats, questions, reading, relations
from harness_tinyworld.ask import Respondent
from harness_tinyworld.chinese import chinese
from harness_tinyworld.lessons import draw
from harness_tinyworld.probe import probe
from harness_tinyworld.questions import Asker, Question
from harness_tinyworld.scenes import HELD_OUT, Scene, make_scene, render
from harness_tinyworld.vocabulary import COLOURS, SHAPES

SHORT_KINDS: dict[str, Asker] = {
    "existence": questions.existence,
    "attribute": questions.attribute,
    "colour": questions.colour,
    "shape": questions.shape,
    "count": questions.count,
    "position": questions.position,
    "relation": relations.relation,
    "word": reading.word,
    "number": reading.number,
    "category": reading.category,
    "arithmetic": reading.arithmetic,
}
FREE = (describe.description, describe.brief, describe.half, describe.colours, describe.shapes)
Asked = tuple[Scene, Question]


def held_out(asker: Asker, count: int, salt: int) -> list[Asked]:
    """Draw questions of one kind, each on a held-out scene of its own."""
    found: list[Asked] = []
    seed = HELD_OUT + salt * 100_000
    while len(found) < count:
        scene = make_scene(seed)
        asked = asker(scene, random.Random(f"held out {seed}"))
        if asked:
            found.append((scene, asked))
        seed += 1
    return found


def right_share(
    model: Respondent, asked: Sequence[Asked], style: Callable[..., tuple[str, str]]
) -> dict[str, float]:
    """Ask in one style; return the share right and, as chance, that of the best constant answer."""
    rng = random.Random("style")
    worded = [style(item, rng) for _, item in asked]
    rows = [(render(scene), text) for (scene, _), (text, _) in zip(asked, worded, strict=True)]
    answers = model.answers(rows, longest=24)
    truths = [truth for _, truth in worded]
    right = [
        a.lower().rstrip(".") == t.lower().rstrip(".") for a, t in zip(answers, truths, strict=True)
    ]
    chance = Counter(truths).most_common(1)[0][1] / len(truths)
    return {"right": round(sum(right) / len(right), 3), "chance": round(chance, 3), "n": len(right)}


def grade(truth: str, answer: str) -> float:
    """Grade by MM-Vet's notation: the share of `<AND>` parts of which one `<OR>` is said."""
    said = f" {' '.join(re.findall(r'[a-z0-9]+', answer.lower()))} "
    parts = truth.lower().split("<and>")
    hits = [any(f" {option.strip()} " in said for option in part.split("<or>")) for part in parts]
    return sum(hits) / len(hits)


def mini(folder: Path) -> list[dict[str, Any]]:
    """Read the rows of a miniature benchmark, images decoded to RGB bytes."""
    from datasets import load_dataset

    rows = load_dataset(str(folder), split="test")
    return [{**row, "image": np.array(row["image"].convert("RGB"))} for row in rows]


def mmvet(model: Respondent) -> dict[str, Any]:
    """Score the shipped MM-Vet miniature with the deterministic grader, in all and by skill."""
    rows = mini(DATA / "MMVet")
    answers = model.answers([(row["image"], formats.STEPS + row["question"]) for row in rows])
    scores = [grade(row["answer"], answer) for row, answer in zip(rows, answers, strict=True)]
    skills = {}
    for skill in ("rec", "ocr", "know", "gen", "spat", "math"):
        part = [
            s for s, row in zip(scores, rows, strict=True) if skill in row["capability"].split(",")
        ]
        skills[skill] = round(sum(part) / len(part), 3)
    return {"score": round(sum(scores) / len(scores), 3), **skills, "n": len(rows)}


def pope(model: Respondent) -> dict[str, Any]:
    """Score the shipped POPE miniature, in all and by category; with the share of Yes."""
    rows = mini(DATA / "POPE")
    answers = model.answers(
        [(row["image"], row["question"] + formats.SHORT) for row in rows], longest=8
    )
    right = [a.lower() == row["answer"] for a, row in zip(answers, rows, strict=True)]
    found: dict[str, Any] = {"right": round(sum(right) / len(right), 3), "n": len(right)}
    for name in ("random", "popular", "adversarial"):
        part = [r for r, row in zip(right, rows, strict=True) if row["category"] == name]
        found[name] = round(sum(part) / len(part), 3)
    found["yes"] = round(sum(a.lower() == "yes" for a in answers) / len(answers), 3)
    return found


def kinds_named(text: str) -> set[str]:
    """Find the kinds ("red circle") that a description names."""
    pattern = rf"\b({'|'.join(COLOURS)}) ({'|'.join(SHAPES)})(?:es|s)?\b"
    return {f"{colour} {shape}" for colour, shape in re.findall(pattern, text)}


def free_form(model: Respondent, count: int) -> dict[str, Any]:
    """Measure descriptions, and how many free-form answers SeVa's noise changes."""
    told = held_out(describe.description, count, 40)
    rng = random.Random("free")
    plain = [(scene, draw(scene, rng)) for scene, _ in held_out(describe.brief, count, 41)]
    some = [
        item for salt, asker in enumerate(FREE) for item in held_out(asker, count // 5, 42 + salt)
    ]
    asked = told + [p for p in plain if p[1].kind not in ("chinese", "unanswerable")] + some
    rows = [(render(scene), item.text) for scene, item in asked]
    clean = model.answers(rows)
    first = clean[: len(told)]
    absent = [bool(kinds_named(a) - s.kinds) for a, (s, _) in zip(first, told, strict=True)]
    exact = [a == item.right.sentence for a, (_, item) in zip(first, told, strict=True)]
    found: dict[str, Any] = {
        "descriptions_naming_absent": round(sum(absent) / len(absent), 3),
        "descriptions_exact": round(sum(exact) / len(exact), 3),
        "descriptions": len(told),
        "free_form": len(rows),
    }
    for step in (500, 800):
        other = model.answers(rows, step=step)
        pairs = list(zip(clean, other, strict=True))
        found[f"changed_t{step}"] = round(sum(a != b for a, b in pairs) / len(pairs), 3)
        head = pairs[: len(told)]
        found[f"descriptions_changed_t{step}"] = round(sum(a != b for a, b in head) / len(head), 3)
        tail = pairs[len(told) :]
        found[f"others_changed_t{step}"] = round(sum(a != b for a, b in tail) / len(tail), 3)
    return found


def critic_share(model: Respondent, count: int) -> dict[str, float]:
    """Let the model judge held-out pairs in both orders; return the shares right."""
    rng = random.Random("critic")
    askers = (describe.description, describe.brief, *SHORT_KINDS.values())
    text, rows, truths = critic.template(), [], []
    for number in range(count):
        scene, item = held_out(askers[number % len(askers)], 1, 100 + number)[0]
        good, bad = critic.two_answers(item, rng)
        for order in (True, False):
            prompt, verdict = critic.judged(text, item, good, bad, order)
            rows.append((render(scene), prompt))
            truths.append(verdict[-5:])
    answers = model.answers(rows, longest=40)
    right = [truth in answer for truth, answer in zip(truths, answers, strict=True)]
    first, second = right[::2], right[1::2]
    both = [a and b for a, b in zip(first, second, strict=True)]
    return {
        "right": round(sum(right) / len(right), 3),
        "better_first": round(sum(first) / len(first), 3),
        "better_second": round(sum(second) / len(second), 3),
        "both_orders": round(sum(both) / len(both), 3),
        "chance": 0.5,
        "pairs": count,
    }


def figures(model: Respondent, count: int) -> dict[str, Any]:
    """Measure everything with `count` questions of each kind."""
    found: dict[str, Any] = {}
    asked = {
        name: held_out(asker, count, salt) for salt, (name, asker) in enumerate(SHORT_KINDS.items())
    }
    for name, items in asked.items():
        found[name] = right_share(model, items, formats.short)
    mixed = [
        item for name in ("colour", "shape", "count", "word") for item in asked[name][: count // 3]
    ]
    found["letters"] = right_share(model, mixed, formats.choice)
    found["letters_chinese"] = right_share(
        model, held_out(chinese, count // 2, 30), formats.choice_chinese
    )
    unanswerable = held_out(reading.unanswerable, count // 2, 31)
    found["unanswerable"] = {**right_share(model, unanswerable, formats.vizwiz), "chance": None}
    found["probe"] = probe(model.model)
    found["free_form"] = free_form(model, count)
    found["critic"] = critic_share(model, count)
    if (DATA / "POPE").exists():
        found["pope_mini"] = pope(model)
        found["mmvet_mini"] = mmvet(model)
    return found


def main() -> None:
    """Read the command line, measure, and print the figures as JSON."""
    import torch

    parser = argparse.ArgumentParser(description="Measure a checkpoint on held-out scenes.")
    parser.add_argument("--model", type=Path, default=MODEL, help="folder of the checkpoint")
    parser.add_argument("--count", type=int, default=300, help="questions of each kind")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    click.echo(json.dumps(figures(Respondent(options.model), options.count), indent=1))


if __name__ == "__main__":
    main()
