"""How LLaVA's evaluation scripts read answers, for columns that compare with published figures.

SeVa and SIMA evaluate with these scripts (github.com/haotian-liu/LLaVA, ``llava/eval`` and
``scripts``). They read the text as the model wrote it, without the white space around it.
"""

from __future__ import annotations

import re

PROTOCOL = "llava-1.5"
_NEGATIVE = frozenset({"No", "no", "not"})
_OPTIONS = "ABCDE"
_SENTENCE = re.compile(r"The answer is ([A-Z]).")


def says_yes(answer: str) -> bool:
    """Read a POPE answer: yes, unless a word of its first sentence is No, no or not."""
    words = answer.split(".")[0].replace(",", "").split(" ")
    return not _NEGATIVE.intersection(words)


def option(answer: str, count: int) -> str | None:
    """Read a ScienceQA answer: a letter, a letter with ". " after it, or "The answer is X.".

    Args:
        answer: what the model said.
        count: how many options there are; a letter beyond them does not count.
    """
    said = ""
    if answer in tuple(_OPTIONS):
        said = answer
    elif answer[:1] in tuple(_OPTIONS) and answer[1:3] == ". ":
        said = answer[0]
    elif len(found := _SENTENCE.findall(answer)) == 1:
        said = found[0]
    return said if said and said in _OPTIONS[:count] else None
