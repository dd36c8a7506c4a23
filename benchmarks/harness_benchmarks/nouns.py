"""The words of a text in the singular, and which of them are nouns.

The one reading of words behind CHAIR, AMBER and Mementos. A possessive is its noun ("the cat's paw"
names a cat), a hyphenated word is one word, and punctuation stands between words that then make no
compound. Parts of speech come from the tagger of pattern.en (Brill's rules and lexicon), which the
package ``textblob`` brings with its data; nothing is fetched. Its lexicon knows one most frequent
part of speech for "can", "watch", "drink" and the like, so two rules are added: after an article or
a possessive a word is a noun, unless a noun follows or it is a modal verb before another verb; and
after a pronoun that acts, "to", a modal verb, or a verb and "and", a word in the singular is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

_TOKEN = re.compile(r"[^\W_]+(?:-[^\W_]+)*|['’][^\W_]+|[^\s]", re.UNICODE)
_IRREGULAR = {
    "people": "person",
    "children": "child",
    "men": "man",
    "women": "woman",
    "mice": "mouse",
    "geese": "goose",
    "feet": "foot",
    "teeth": "tooth",
    "oxen": "ox",
    "buses": "bus",
    "knives": "knife",
    "leaves": "leaf",
    "shelves": "shelf",
    "wolves": "wolf",
    "calves": "calf",
    "loaves": "loaf",
    "scarves": "scarf",
    "halves": "half",
}
_OWNING = frozenset(
    {"a", "an", "the", "his", "her", "its", "their", "our", "my", "your", "'s", "’s"}
)
_ACTING = frozenset(["i", "you", "he", "she", "it", "we", "they", "who", "to"])
_UNSURE = ("MD", "VB", "VBP", "VBZ", "VBD")  # tags of words that may be nouns all the same
_BETWEEN = ("JJ", "CC", "VBN")  # may stand between an article and its noun


def singular(word: str) -> str:
    """Return the singular of an English noun by its ending; other words may lose an "s" too."""
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if word.endswith(("men", "children", "mice")) and len(word) > 5:
        for plural in ("children", "men", "mice"):  # firemen, grandchildren
            if word.endswith(plural):
                return word.removesuffix(plural) + _IRREGULAR[plural]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "xes", "shes", "ches", "oes")):
        return word[:-2]
    if word.endswith("s") and not word.endswith(("ss", "us")) and len(word) > 3:
        return word[:-1]
    return word


def tokens(text: str) -> list[str]:
    """Split a text, in lower case, into words and the signs between them."""
    return _TOKEN.findall(text.lower())


@dataclass(frozen=True)
class Words:
    """The words of a text, in its order.

    Attributes:
        singular: each word or sign, words in the singular.
        nouns: whether each is a noun.
    """

    singular: tuple[str, ...]
    nouns: tuple[bool, ...]


@lru_cache(maxsize=256)
def words_of(text: str) -> Words:
    """Read a text."""
    found = tokens(text)
    tags = [tag for _, tag, *_ in _parser().find_tags(found)] if found else []
    nouns = (_is_noun(found, tags, place) for place in range(len(found)))
    return Words(tuple(map(singular, found)), tuple(nouns))


def _parser() -> Any:
    from textblob.en import parser

    return parser


def _follows_verb(found: Sequence[str], tags: Sequence[str], place: int) -> bool:
    """Whether what stands before a word makes it a verb: who acts, a modal, or another verb."""
    if place == 0:
        return False
    last, before = found[place - 1], place - 2
    if tags[place - 1] == "MD":
        return before < 0 or found[before] not in _OWNING
    if last in ("and", "or"):
        return before >= 0 and tags[before].startswith("VB")
    return last in _ACTING


def _is_noun(found: Sequence[str], tags: Sequence[str], place: int) -> bool:
    tag = tags[place]
    if tag.startswith("NN"):
        return tag != "NN" or not _follows_verb(found, tags, place)
    following = tags[place + 1] if place + 1 < len(tags) else ""
    if tag not in _UNSURE or following.startswith("NN") or (tag == "MD" and following == "VB"):
        return False
    before = place - 1
    while before >= 0 and tags[before] in _BETWEEN:
        before -= 1
    return before >= 0 and found[before] in _OWNING
