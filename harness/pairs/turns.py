"""Conversations as data sets write them, brought to one question and one answer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_ROLES = {
    **dict.fromkeys(("human", "user"), "user"),
    **dict.fromkeys(("gpt", "assistant", "llava", "model", "bot", "chatgpt"), "assistant"),
    "system": "system",
}
_MARK = re.compile(r"[ \t]*\n?<image>\n?")
# A prompt that is written out in LLaVA's template, as mDPO's files have it.
_VICUNA = re.compile(r"^A chat between .*?USER: (?P<turns>.*) ASSISTANT:\s*$", re.DOTALL)


class Unusable(Exception):  # noqa: N818  (a finding about a row, not a fault of ours)
    """A row that is not used.

    Attributes:
        reason: in a word or two.
        detail: at length.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True)
class Turn:
    """What one side says: ``user``, ``assistant`` or ``system``."""

    role: str
    text: str
    images: tuple[Any, ...] = ()


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


def content_of(said: Any) -> tuple[str, tuple[Any, ...]]:
    """Return the text of a turn, and the images that its parts carry.

    Raises:
        Unusable: if it is neither a text nor a list of parts, or a part is a video.
    """
    if isinstance(said, str):
        return said, ()
    if isinstance(said, list) and said and all(isinstance(each, Mapping) for each in said):
        if any("role" in each or "from" in each for each in said):  # a conversation of one turn
            only = [turn for turn in turns_of(said) if turn.role == "user"]
            if len(only) != 1:
                raise Unusable("several turns")
            return only[0].text, only[0].images
        texts, images = [], []
        for part in said:
            kind = part.get("type")
            if kind == "text" or (kind is None and isinstance(part.get("text"), str)):
                texts.append(str(part.get("text") or ""))
            elif kind in ("image", "image_url"):
                image = part.get("image") or part.get("image_url") or part.get("url")
                inner = image.get("url") if isinstance(image, Mapping) and "url" in image else image
                images += [] if inner is None else [inner]
            else:
                raise Unusable("no text or image", f"a part of type {str(kind)[:40]!r}")
        return "\n".join(text for text in texts if text), tuple(images)
    raise Unusable("unknown shape", f"a text was expected, not {str(said)[:60]!r}")


def question_of(turns: Sequence[Turn]) -> str:
    """Return the one question of a prompt, without image marks or a template around it.

    Raises:
        Unusable: if there are several turns, a system message, or nothing is asked.
    """
    system = [turn.text for turn in turns if turn.role == "system" and turn.text.strip()]
    if system:
        raise Unusable("system message", system[0][:80])
    asked = [turn for turn in turns if turn.role != "system"]
    if len(asked) > 1:
        raise Unusable("several turns", f"{len(asked)} turns before the answer")
    if not asked or asked[0].role != "user":
        raise Unusable("no question", "the conversation does not begin with a question")
    text = asked[0].text
    if whole := _VICUNA.match(text):
        text = whole["turns"]
        if "USER:" in text:
            raise Unusable("several turns", "several turns before the answer, in LLaVA's template")
    if text.count("<image>") > 1:
        raise Unusable("several images", f"{text.count('<image>')} image marks in the question")
    text = _MARK.sub("\n", text).strip()
    if not text:
        raise Unusable("no question", "nothing is asked beside the image")
    return text


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
