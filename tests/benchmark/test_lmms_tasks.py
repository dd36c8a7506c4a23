"""The page of lmms-eval's image tasks says what a run finds out."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests.support.lmms_tasks import LEFT, STATES, found_out, image_tasks, page

PAGE = Path(__file__).parents[2] / "docs" / "lmms-eval-tasks.md"
EVERY = 36
"""Of how many tasks the slow test examines one; which ones is told by their place."""


def lines() -> dict[str, str]:
    text = PAGE.read_text(encoding="utf-8")
    rows = re.findall(r"^\| ([\w.-]+) (\| [a-z].*\|)$", text, re.MULTILINE)
    return {task: f"| {task} {row}" for task, row in rows}


def test_every_image_task_is_on_the_page() -> None:
    shown = lines()
    assert sorted(shown) == sorted(task for task, _ in image_tasks())
    assert {row.split(" | ")[1] for row in shown.values()} <= set(STATES)
    assert not [task for task, row in shown.items() if "| differ" in row]


@pytest.mark.slow
def test_the_page_is_what_is_found_out_now() -> None:
    shown = lines()
    found = page(found_out(list(image_tasks())[::EVERY], processes=2))
    rows = re.findall(r"^\| [\w.-]+ \| [a-z].*\|$", found, re.MULTILINE)
    other = ["too long"]  # depends on the machine
    other += ["the package typing.io"] if sys.version_info >= (3, 13) else []  # it is gone there
    left = [
        row
        for row in rows
        if not any(each in row for each in other) and LEFT not in shown[row.split(" | ")[0][2:]]
    ]
    assert [row for row in left if row not in shown.values()] == []
