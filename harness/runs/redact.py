r"""What must not leave the machine: its paths, and keys.

Paths are cut down to their last name wherever the harness wrote them. What people and models said
is left unchanged: scores and verdicts depend on it. A key is never cut out silently: packing
stops, because a text that holds one should not exist.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from harness.storage import is_secret, parse_json, read_text

_SPOKEN = frozenset(
    {
        *("answer", "answers", "chosen", "cluster", "content", "group", "groups", "id", "key"),
        *("missing_after", "missing_before", "prompt", "question", "reference", "rejected"),
        *("row", "rows", "target", "thought", "units", "value", "verdict", "words"),
    }
)
"""Keys whose texts come from the data, a model or a judge."""
_BY_NAME = ("groups", "units")
"""Keys that hold such texts by names of the data's own."""
_PATH = re.compile(r"(?:file://|(?<![\w/.:]))(?:/[^\s/'\"]+)+/([^\s/'\"]+)")
_WINDOWS = re.compile(r"\b[A-Za-z]:\\(?:[^\s\\'\"]+\\)*([^\s\\'\"]+)")
_LOGIN = re.compile(r"(?<=://)[^\s/@]+@")
_KEYS = {
    "a key of OpenAI's form": re.compile(r"\bsk-[A-Za-z0-9_-]{20,}"),
    "a token of the hub": re.compile(r"\bhf_[A-Za-z0-9]{20,}"),
    "a bearer token": re.compile(r"\bBearer\s+[A-Za-z0-9._~+/-]{16,}"),
    "a key of AWS's form": re.compile(r"\bAKIA[A-Z0-9]{16}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
}
_SECRET_NAME = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD)S?$")


def cleaned(path: Path, run: Path) -> str:
    """Return the text of one of a run's JSON or JSON-lines files without the machine's paths."""
    text = read_text(path, within=run)
    places = _places(run)
    if path.suffix == ".json":
        content = _clean(parse_json(text), "", places)
        return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
    lines = text.split("\n")  # not splitlines: a text may hold other line ends
    rows = [json.dumps(_clean(parse_json(line), "", places)) for line in lines if line]
    return "".join(f"{row}\n" for row in rows)


def leaks_in(text: str) -> list[str]:
    """Say what in a text looks like a secret: well-known forms, and secrets of the environment."""
    found = [what for what, form in _KEYS.items() if form.search(text)]
    found += [
        f"the value of ${name}"
        for name, value in sorted(os.environ.items())
        if _SECRET_NAME.search(name) and is_secret(value) and value in text
    ]
    return found


def without_paths(text: str, places: tuple[str, ...] = ()) -> str:
    """Cut every path in a text of the harness' own down to its last name.

    ``places`` are folders whose names hold spaces or are known to be private; they are cut first.
    """
    if PurePosixPath(text).is_absolute() and "\n" not in text:
        return PurePosixPath(text).name
    if PureWindowsPath(text).is_absolute() and "\n" not in text:
        return PureWindowsPath(text).name
    for place in places:
        text = text.replace(place + os.sep, "")
    text = _LOGIN.sub("", text)
    return _WINDOWS.sub(r"\1", _PATH.sub(r"\1", text))


def _clean(value: Any, key: str, places: tuple[str, ...]) -> Any:
    if isinstance(value, dict):
        inside = {name: key if key in _BY_NAME else name for name in value}
        return {name: _clean(item, inside[name], places) for name, item in value.items()}
    if isinstance(value, list):
        return [_clean(item, key, places) for item in value]
    if isinstance(value, str) and key not in _SPOKEN:
        return without_paths(value, places)
    return value


def _places(run: Path) -> tuple[str, ...]:
    folders = {run.resolve(), run.absolute(), Path.cwd(), Path.home()}
    ways = {str(folder) for folder in folders if len(folder.parts) > 1}
    return tuple(sorted(ways, key=len, reverse=True))
