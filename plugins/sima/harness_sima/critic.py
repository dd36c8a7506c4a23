"""The critic: its prompt, and how its verdict is read (arXiv 2405.15973, section 3.2)."""

from __future__ import annotations

import ast
import hashlib
import re
from pathlib import Path

from harness.errors import UsageError, near_miss
from harness_sima.templates import SHIPPED

OFFICIAL = "0834ea10903b1188f9a9c640906e2888345d22f72f2e9afaa00921bee7f5ce87"
"""SHA-256 of SIMA's prompt, the string in llava/sima/prompt_for_critic.py at ba9e7ed (Apache-2.0).

Its four places are ``{}``, in the order of :data:`PLACES`.
"""
ORDERS = ("released", "both")
PLACES = ("question", "reference", "response_1", "response_2")


def read_template(name: str) -> str:
    """Return the text of a template that is shipped, a file, or already the text.

    Raises:
        UsageError: if there is no such file, or it lacks a place for one of the four texts.
    """
    if name in SHIPPED:
        return SHIPPED[name]
    if is_official(name):
        return name
    if "\n" in name or all("{" + place + "}" in name for place in PLACES):
        return _complete(name, "text")
    try:
        text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"The critic's template {name} cannot be read ({error}).{near_miss(name, SHIPPED)} "
            f"Shipped are: {', '.join(SHIPPED)}. Any other value of template is a text file."
        ) from error
    return _official(text) or _complete(text, name)


def is_official(template: str) -> bool:
    """Tell whether a template is SIMA's own prompt, with named places."""
    return _digest(_anonymous(template)) == OFFICIAL


def _official(text: str) -> str | None:
    """Return SIMA's prompt with named places, if a text or a Python file is or holds it.

    A Python file is read, never run.
    """
    try:
        constants = [n.value for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)]
    except (SyntaxError, ValueError, RecursionError):
        constants = []
    for found in (text, *constants):
        if isinstance(found, str) and _digest(_anonymous(found)) == OFFICIAL:
            head, *rest = _anonymous(found).split("{}")
            named = zip(PLACES, rest, strict=True)
            return head + "".join("{" + place + "}" + part for place, part in named)
    return None


def _anonymous(template: str) -> str:
    for place in PLACES:
        template = template.replace("{" + place + "}", "{}")
    return template


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()


def _complete(text: str, name: str) -> str:
    lacking = [place for place in PLACES if "{" + place + "}" not in text]
    if lacking:
        raise UsageError(
            f"The critic's template {name} has no place for {', '.join(lacking)}. Write each of "
            f"{', '.join('{' + place + '}' for place in PLACES)} in it."
        )
    return text.strip()


def fill(template: str, question: str, reference: str, first: str, second: str) -> str:
    """Return the critic's prompt; line breaks inside of the four texts are deleted, as released.

    A text that looks like a place is left as it is: places are found in the template alone.
    """
    texts = dict(zip(PLACES, (question, reference, first, second), strict=True))
    marks = {at: place for place in PLACES for at in _all(template, "{" + place + "}")}
    made, at = [], 0
    for start in sorted(marks):
        place = marks[start]
        made += [template[at:start], texts[place].replace("\n", "")]
        at = start + len(place) + 2
    return "".join([*made, template[at:]])


def verdict(text: str | None, *, bare: bool = False) -> int | None:
    """Return 1 or 2 from the last ``[[...]]`` of the critic's words, or ``None``.

    Args:
        text: what the critic said; ``None`` when it could not be asked.
        bare: as released: a text without brackets that is exactly ``1`` or ``2`` counts too.
    """
    if text is None:
        return None
    if bare:
        last = text.split("[[")[-1].split("]]")[0]
    else:
        last = ([None, *re.findall(r"\[\[([^\[\]]*)\]\]", text)])[-1]
    return int(last) if last in ("1", "2") else None


def _all(text: str, part: str) -> list[int]:
    found, at = [], text.find(part)
    while at >= 0:
        found.append(at)
        at = text.find(part, at + 1)
    return found
