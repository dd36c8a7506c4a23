"""The page of lmms-eval's image tasks says what a run finds out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.lmms_tasks import LEFT, STATES, examine, image_tasks, page, ready

PAGE = Path(__file__).parents[2] / "docs" / "lmms-eval-tasks.md"
LOOKED_AT = ("ai2d", "blink_counting", "cv_bench", "mmmu_test", "mmstar", "mmvetv2", "naturalbench")


def lines() -> dict[str, str]:
    found = re.findall(
        r"^\| ([\w.-]+) \| [a-z].*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )
    rows = re.findall(r"^\| [\w.-]+ \| [a-z].*\|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return dict(zip(found, rows, strict=True))


def test_every_image_task_is_on_the_page() -> None:
    shown = lines()
    assert sorted(shown) == sorted(task for task, _ in image_tasks())
    assert all(row.split(" | ")[1] in STATES for row in shown.values())


@pytest.mark.slow
def test_the_page_is_what_is_found_out_now() -> None:
    ready()
    shown, tasks = lines(), dict(image_tasks())
    found = [examine(task, tasks[task]) for task in LOOKED_AT if LEFT not in shown[task]]
    for row in re.findall(r"^\| [\w.-]+ \| [a-z].*\|$", page(found), re.MULTILINE):
        assert row in shown.values()
