"""What the task files in this folder call: prompts, images, and the answer passed on.

Scoring is in the benchmarks' own modules; lmms-eval by itself only counts the answers here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

SHORT = "\nAnswer the question using a single word or phrase."


def doc_to_visual(doc: Mapping[str, Any]) -> list[Any]:
    """Return the image, in RGB."""
    return [doc["image"].convert("RGB")]


def figure_if_any(doc: Mapping[str, Any]) -> list[Any]:
    """Return the image, in RGB, of a row that has one."""
    return [] if doc["image"] is None else doc_to_visual(doc)


def every_image(doc: Mapping[str, Any]) -> list[Any]:
    """Return BLINK's images, one to four, in RGB."""
    found = (doc[f"image_{place}"] for place in range(1, 5))
    return [image.convert("RGB") for image in found if image is not None]


def blink_prompt(doc: Mapping[str, Any]) -> str:
    """Return the question with its options, as BLINK's authors word it."""
    return str(doc["prompt"])


def blink_answer(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Read the letter as lmms-eval does."""
    from lmms_eval.tasks.blink.utils import blink_process_results

    return dict(blink_process_results(dict(doc), list(results)))


def share_right(results: Sequence[Mapping[str, Any]]) -> float:
    """Return the share of right answers."""
    return sum(bool(item["is_correct"]) for item in results) / max(len(results), 1)


def decoded_image(doc: Mapping[str, Any]) -> list[Any]:
    """Return MathVista's image, in RGB; its column ``image`` holds a file's name."""
    return [doc["decoded_image"].convert("RGB")]


def query(doc: Mapping[str, Any]) -> str:
    """Return the question with hint and options, as MathVista's authors word it."""
    return str(doc["query"])


def question(doc: Mapping[str, Any]) -> str:
    """Return the question as it stands."""
    return str(doc["question"])


def sequence_prompt(doc: Mapping[str, Any]) -> str:
    """Ask what happens; a row may bring its own wording in ``question``."""
    own = doc.get("question")
    return str(own) if own else "Describe what happens in this sequence of images in detail."


def description_prompt(doc: Mapping[str, Any]) -> str:
    """Ask for a description, in the words of SHR's authors."""
    return "Describe this image in detail."


def amber_prompt(doc: Mapping[str, Any]) -> str:
    """Return the authors' query; one to be answered by yes or no asks for a word."""
    query = str(doc["question"])
    return query if doc["kind"] == "generative" else query + SHORT


def truth(doc: Mapping[str, Any]) -> str:
    """Return yes or no, or the annotated things, as one text."""
    return "; ".join(map(str, doc["truth"]))


def facts(doc: Mapping[str, Any]) -> str:
    """Return what is known of the image, as one text."""
    return "; ".join(map(str, doc["facts"]))


def answer(doc: Mapping[str, Any], results: Sequence[str]) -> dict[str, Any]:
    """Pass the answer on."""
    return {"answer": {"question_id": str(doc.get("question_id", "")), "answer": results[0]}}


def answered(results: Sequence[Mapping[str, Any]]) -> float:
    """Return the share of answers that are not empty."""
    return sum(bool(item["answer"].strip()) for item in results) / max(len(results), 1)
