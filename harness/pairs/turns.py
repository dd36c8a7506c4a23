"""Conversations as data sets write them, brought to one question and one answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness.protocol import IMAGE

_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "llava", "model", "bot", "chatgpt"), "assistant"),
    "system": "system",
}
_MARK = re.compile(r"[ \t]*\n?<image>\n?")
_AHEAD = re.compile(r"(?:\s*<image>)+\s*")
# A prompt that is written out in LLaVA's template, as mDPO's files have it.
_VICUNA = re.compile(r"^A chat between .*?USER: (?P<turns>.*) ASSISTANT:\s*$", re.DOTALL)


History = tuple[tuple[str, str], ...]


class Unusable(Exception):  # noqa: N818  (a finding about a row, not a fault of ours)
    """A row that is not used.

    Attributes:
        reason: in a word or two.
        detail: at length.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


def refuse_torn(*texts: str | None) -> None:
    """Refuse half a surrogate pair, which JSON may hold and no tokenizer takes.

    Raises:
        Unusable: if one of the texts holds one.
    """
    try:
        "".join(filter(None, texts)).encode()
    except UnicodeEncodeError as error:
        told = f"half a surrogate pair ({error.object[error.start]!a}), which is no character"
        raise Unusable("torn text", told) from error


@dataclass(frozen=True)
class Turn:
    """What one side says: ``user``, ``assistant`` or ``system``.

    ``marked`` is the text with a mark where each part that is an image stands.
    """

    role: str
    text: str
    images: tuple[Any, ...] = ()
    marked: str | None = None


def turns_of(value: Any) -> list[Turn]:
    """Read a conversation: ``from`` and ``value``, or ``role`` and ``content``.

    Raises:
        Unusable: if it is none.
    """
    if isinstance(value, Mapping) and value and all(isinstance(x, list) for x in value.values()):
        keys = list(value)  # how datasets stores a list of records
        value = [dict(zip(keys, each, strict=True)) for each in zip(*value.values(), strict=False)]
    if isinstance(value, Mapping):
        value = [value]
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        raise Unusable("unknown shape", f"a conversation was expected, not {str(value)[:60]!r}")
    if len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    return [_turn(each) for each in value]


def _turn(each: Any) -> Turn:
    if isinstance(each, Turn):
        return each
    if not isinstance(each, Mapping):
        raise Unusable("unknown shape", f"a turn was expected, not {str(each)[:60]!r}")
    role = each.get("from") or each.get("role") or each.get("source")
    if role not in _ROLES:
        raise Unusable("unknown role", f"a turn of {str(role)[:40]!r}")
    said = each.get("value") if each.get("value") is not None else each.get("content")
    return Turn(_ROLES[role], *content_of(said))


def content_of(said: Any) -> tuple[str, tuple[Any, ...], str]:
    """Return the text of a turn, the images that its parts carry, and the text with their marks.

    Raises:
        Unusable: if it is neither a text nor a list of parts, or a part is a video.
    """
    if isinstance(said, str):
        return said, (), said
    if isinstance(said, list) and said and all(isinstance(each, Mapping) for each in said):
        if any("role" in each or "from" in each for each in said):  # a conversation of one turn
            only = [turn for turn in turns_of(said) if turn.role == "user"]
            if len(only) != 1:
                raise Unusable("several turns")
            return only[0].text, only[0].images, only[0].marked or only[0].text
        texts, images, marked = [], [], ""
        for part in said:
            kind = part.get("type")
            if kind == "text" or (kind is None and isinstance(part.get("text"), str)):
                texts.append(str(part.get("text") or ""))
                between = "\n" if marked and texts[-1] and not marked.endswith(IMAGE) else ""
                marked += between + texts[-1]
            elif kind in ("image", "image_url"):
                image = part.get("image") or part.get("image_url") or part.get("url")
                inner = image.get("url") if isinstance(image, Mapping) and "url" in image else image
                images += [] if inner is None else [inner]
                marked += IMAGE
            else:
                raise Unusable("no text or image", f"a part of type {str(kind)[:40]!r}")
        return "\n".join(text for text in texts if text), tuple(images), marked
    raise Unusable("unknown shape", f"a text was expected, not {str(said)[:60]!r}")


def question_of(turns: Sequence[Turn]) -> tuple[str, History, int]:
    """Return the last question, question and answer of each turn before it, and how many marks.

    Nothing of a template is left around a question. Image marks are left out where all of them
    stand before the first question, and stay where the texts place them otherwise.

    Raises:
        Unusable: if there is a system message, turns do not alternate, an answer has an image, or
            nothing is asked.
    """
    system = [turn.text for turn in turns if turn.role == "system" and turn.text.strip()]
    if system:
        raise Unusable("system message", system[0][:80])
    asked = [turn for turn in turns if turn.role != "system"]
    if not asked or asked[0].role != "user":
        raise Unusable("no question", "the conversation does not begin with a question")
    if [turn.role for turn in asked] != ["user", "assistant"] * (len(asked) // 2) + ["user"]:
        raise Unusable("several turns", f"{len(asked)} turns that do not end with one question")
    if whole := _VICUNA.match(asked[0].text):
        if "USER:" in whole["turns"] or len(asked) > 1:
            raise Unusable("several turns", "several turns before the answer, in LLaVA's template")
        asked = [Turn("user", whole["turns"])]
    texts = [turn.text if turn.marked is None else turn.marked for turn in asked]
    marks = sum(text.count(IMAGE) for text in texts)
    if any(IMAGE in text for text in texts[1::2]):
        raise Unusable("image marks", "an earlier answer has an image")
    if len(asked) == 1 and marks <= 1:
        texts = [_MARK.sub("\n", asked[0].text).strip()]
    else:
        texts = _placed(texts, marks)
    if not all(text.replace(IMAGE, "").strip() for text in texts[::2]):
        raise Unusable("no question", "nothing is asked beside the image")
    if not all(texts):
        raise Unusable("empty answer", "an earlier answer is empty")
    return texts[-1], tuple(zip(texts[:-1:2], texts[1::2], strict=True)), marks


def _placed(texts: Sequence[str], marks: int) -> list[str]:
    """Strip texts; leave marks out where all of them stand before the first text.

    White space behind marks that begin a text is LLaVA's; a chat template puts its own.
    """
    placed = []
    for number, text in enumerate(texts):
        ahead = _AHEAD.match(text)
        count = ahead[0].count(IMAGE) if ahead else 0
        rest = text[ahead.end() :] if ahead else text
        placed.append((IMAGE * count * (number > 0 or count < marks) + rest).strip())
    return placed


def answer_of(value: Any) -> str:
    """Return an answer that is a text, a turn, or a conversation of one turn.

    Raises:
        Unusable: if it is something else.
    """
    if isinstance(value, str):
        return value
    turns = turns_of(value)
    if len(turns) != 1 or turns[0].role != "assistant":
        raise Unusable("several turns", f"an answer of {len(turns)} turns")
    return turns[0].text
