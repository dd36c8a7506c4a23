"""The parts that every page has: one style sheet, one script, one policy, one way to escape.

Text of models, judges and data sets is hostile. The templates escape everything; data stands in
JSON blocks that nothing can end, and the scripts build text nodes only. The policy allows one
script and one style sheet by their hashes, pictures from the file itself, and nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from harness_reports import numbers, words


def page(template: str, addresses: Iterable[str], /, **values: Any) -> str:
    """Return the page of a template, with its style and script in it.

    Args:
        template: NAME of ``page/NAME.html.jinja`` and ``page/NAME.js``.
        addresses: of its pictures, inside the page or files beside it.
        values: what the template shows.
    """
    from jinja2 import Environment, FunctionLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        return words.visible(value) if type(value) is str else value

    style = _text("report.css")
    script = _text("page.js") + _text(f"{template}.js")
    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
    )
    return environment.get_template(f"{template}.html.jinja").render(
        policy=_policy(style, script, addresses),
        style=Markup(style),
        script=Markup(script),
        numbers=numbers,
        words=words,
        **values,
    )


def inside(picture: bytes) -> str:
    """Return the address of a picture that stands in the page itself."""
    return "data:image/webp;base64," + base64.b64encode(picture).decode()


def script_json(value: Any) -> str:
    """Return JSON that may stand inside a ``script`` element: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text


def _text(name: str) -> str:
    return (files("harness_reports") / "page" / name).read_text("utf-8")


def _policy(style: str, script: str, pictures: Iterable[str]) -> str:
    def digest(text: str) -> str:
        return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

    inside = all(address.startswith("data:") for address in pictures)
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'sha256-{digest(script)}'",
            f"style-src 'sha256-{digest(style)}'",
            "img-src data:" + ("" if inside else " 'self' file:"),
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
        )
    )
