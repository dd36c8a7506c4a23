"""The pytest plugin: fixtures for the tests of a method."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from harness.records import Prompt


@pytest.fixture
def harness_check() -> Callable[..., None]:
    """Return :func:`harness.testing.assert_method`; call it with the method's name."""
    from harness.testing.check import assert_method

    return assert_method


@pytest.fixture
def harness_prompts(tmp_path: Path) -> list[Prompt]:
    """Return one prompt: a red image, a question, and ``"a red square"`` as its reference."""
    import PIL.Image

    from harness.records import Prompt

    PIL.Image.new("RGB", (32, 32), "red").save(tmp_path / "a.png")
    return [Prompt("p0", tmp_path / "a.png", "What is shown?", "a red square")]
