"""What a row of a data set holds: its conversation as one question and one answer, and its images.

An image is a file, bytes in the table, or an address.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from harness.errors import plain
from harness.model import fetched, without_password
from harness.protocol import IMAGE
from harness.records import IMAGE_FORMATS, image_problem
from harness.storage import open_regular

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


_SECONDS = 30.0


class Images:
    """Finds the image files of one table's rows.

    Images that lie in the table, or behind an address, are kept as files named by their content.
    """

    def __init__(
        self, table: Path, folder: Path | None, keep: Path | None, *, allow_urls: bool
    ) -> None:
        """Remember where to look; nothing is read.

        Paths begin in ``folder`` and beside the ``table``; ``keep`` is for images that are no files
        yet, and ``None`` keeps none of them.
        """
        beside = table if table.is_dir() else table.parent
        self._bases = [beside] if folder is None else [folder, beside]
        self._named = folder is not None
        self._keep, self._allow_urls = keep, allow_urls
        self._seen: dict[str, Path | Unusable] = {}

    def find(self, image: Any) -> Path:
        """Return an image of a row as a file that can be opened.

        Raises:
            Unusable: if it cannot be used; says why.
        """
        if isinstance(image, Mapping):
            data, name = image.get("bytes"), image.get("path")
            image = data if isinstance(data, bytes) and data else name
        if isinstance(image, str) and image[:5].lower() == "data:":
            image = _decoded(image)
        if isinstance(image, bytes):
            return self._kept(image, "the bytes in the row")
        if not isinstance(image, str) or not image.strip():
            raise Unusable("no image", f"{type(image).__name__} where an image was expected")
        if image not in self._seen:
            try:
                self._seen[image] = self._named_file(image)
            except Unusable as error:
                self._seen[image] = error
        found = self._seen[image]
        if isinstance(found, Unusable):
            raise Unusable(found.reason, found.detail)
        return found

    def _named_file(self, name: str) -> Path:
        if name.lower().startswith(("http://", "https://")):
            told = without_password(name)[:120]
            if not self._allow_urls:
                raise Unusable("image is a URL", f"{told}; --allow-urls fetches it")
            try:
                return self._kept(fetched(name, _SECONDS), told)
            except OSError as error:
                raise Unusable("image not fetched", f"{told}: {error}") from error
        path = PurePath(name.removeprefix("file://"))
        if "\0" in name or ".." in path.parts:
            raise Unusable("image outside", plain(f"{name[:120]!r} is outside of the image folder"))
        inside = [base for base in self._bases if _is_below(path, base)]
        for base in inside:
            file = base / path  # an absolute path stays what it is
            try:
                with open_regular(file) as opened:
                    _check(opened, name)
            except OSError:
                continue
            return file
        if not inside:
            raise Unusable("image outside", f"{name[:120]}; give its folder with --images DIR")
        hint = "" if self._named else "; --images DIR says where paths begin"
        raise Unusable("image missing", plain(f"{name[:120]}{hint}"))

    def _kept(self, data: bytes, where: str) -> Path:
        kind = _check(io.BytesIO(data), where)
        name = f"{hashlib.sha256(data).hexdigest()[:32]}.{kind.lower()}"
        if self._keep is None:
            return Path(name)
        path = self._keep / name
        if not path.exists():
            self._keep.mkdir(parents=True, exist_ok=True)
            part = path.with_name(f".{path.name}.{os.getpid()}")
            part.write_bytes(data)
            part.replace(path)
        return path


def _decoded(uri: str) -> bytes:
    """Return the image that a data URI holds in base64, which may be wrapped into lines."""
    try:
        return base64.b64decode("".join(uri.partition(",")[2].split()), validate=True)
    except ValueError as error:  # characters outside of ASCII, or of base64
        raise Unusable("image unreadable", plain(f"{uri[:120]}: {error}")) from error


def _is_below(path: PurePath, base: Path) -> bool:
    return not path.is_absolute() or path.is_relative_to(base.absolute())


def _check(file: Any, where: str) -> str:
    """Read an image's header and return its format.

    Raises:
        Unusable: if it is no image that could be shown to a model.
    """
    import PIL.Image

    try:
        with PIL.Image.open(file, formats=IMAGE_FORMATS) as image:
            problem = image_problem(image)
            kind = str(image.format)
    except PIL.UnidentifiedImageError as error:  # its text has the address of an object
        raise Unusable("image unreadable", plain(f"{where[:120]}: in no known format")) from error
    except Exception as error:  # Pillow's readers raise many kinds
        raise Unusable("image unreadable", plain(f"{where[:120]}: {error}"[:240])) from error
    if problem:
        raise Unusable("image unreadable", plain(f"{where[:120]}: {problem}"))
    return kind
