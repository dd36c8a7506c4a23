"""Photograph a report: ``uv run python docs/screens/make.py RUN/report.html``."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import PIL.Image

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))

from tests.support.browser import chromium, window  # noqa: E402

SHOTS = (
    ("light", {"color_scheme": "light", "viewport": {"width": 1280, "height": 900}}, ".bar"),
    (
        "dark",
        {"color_scheme": "dark", "viewport": {"width": 1280, "height": 900}},
        "#samples-title",
    ),
    ("phone", {"color_scheme": "light", "viewport": {"width": 390, "height": 844}}, "#sample"),
)


def main(file: Path) -> None:
    """Write light.png, dark.png and phone.png beside this file, in few colours."""
    with chromium() as browser:
        for name, options, place in SHOTS:
            with window(browser, **options) as opened:
                opened.open(file)
                opened.page.locator(place).evaluate("element => element.scrollIntoView()")
                shot = PIL.Image.open(io.BytesIO(opened.page.screenshot()))
            shot.convert("RGB").quantize(256, kmeans=2, dither=PIL.Image.Dither.NONE).save(
                HERE / f"{name}.png", optimize=True
            )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
