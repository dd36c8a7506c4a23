"""The page over several runs in a real Chromium: sorted, filtered, saved, read by anybody."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from harness_reports import many

from tests.support.browser import chromium, window
from tests.support.many_runs import overview, runs_of

pytestmark = pytest.mark.slow

NAMES = (
    "plain",
    "=cmd|' /C calc'!A0",
    "@sum(1)",
    "<script>alert(1)</script>",
    "</script>x",
    "-1+2",
)


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    given = replace(overview(NAMES, 3), runs=runs_of(NAMES, 3))
    given.pages.update({"plain": "plain/report.html"})
    return many.write(given, tmp_path_factory.mktemp("many") / "runs.html")


@pytest.fixture
def page(browser, made):
    with window(browser) as opened:
        opened.open(made)
        yield opened
        assert opened.quiet


def shown(page) -> list[str]:
    return page.page.eval_on_selector_all(
        "#runs tbody tr:not([hidden])", "rows => rows.map(row => row.dataset.run)"
    )


def saved(page, kind: str) -> str:
    with page.page.expect_download() as waiting:
        page.page.click(f"[data-save={kind}]")
    assert waiting.value.suggested_filename == f"runs.{kind}"
    return Path(waiting.value.path()).read_text("utf-8-sig")


def test_a_heading_sorts_up_down_and_not_at_all(page, made):
    first = shown(page)
    assert first[0] == "before"
    head = page.page.locator("#runs thead th", has_text="bench0 accuracy")
    figures = {row.run: row.figure for row in overview(NAMES, 3).board.rankings[0].runs}
    for state, turned in (("descending", True), ("ascending", False)):
        head.locator("button").click()
        assert head.get_attribute("aria-sort") == state
        assert shown(page) == sorted(figures, key=figures.__getitem__, reverse=turned)
    head.locator("button").click()
    assert head.get_attribute("aria-sort") is None
    assert shown(page) == first


def test_what_is_shown_is_what_is_saved_and_no_cell_is_a_formula(page):
    assert page.page.locator("#runs a").count() == 3, "one run has a page"
    page.page.locator("#runs thead th", has_text="bench1").locator("button").click()
    rows = list(csv.DictReader(io.StringIO(saved(page, "csv"))))
    assert [row["run"].lstrip("'") for row in rows[::3]] == shown(page)
    assert not [cell for row in rows for cell in row.values() if cell[:1] in ("=", "@", "+")]
    assert {row["run"] for row in rows} >= {"'=cmd|' /C calc'!A0", "'@sum(1)", "'-1+2", "plain"}
    numbers = {row["difference"] for row in rows if row["run"] == "plain"}
    known = {
        str(run.difference)
        for ranking in overview(NAMES, 3).board.rankings
        for run in ranking.runs
        if run.run == "plain"
    }
    assert {float(text) for text in numbers} == {float(text) for text in known}, "numbers stay"
    page.page.fill("#search", "PLAIN")
    assert shown(page) == ["plain"]
    records = json.loads(saved(page, "json"))
    assert [(each["run"], each["benchmark"]) for each in records] == [
        ("plain", f"bench{number}") for number in range(3)
    ]
    page.page.fill("#search", "")
    page.page.select_option("#kind", "losses")
    losers = {
        run.run
        for ranking in overview(NAMES, 3).board.rankings
        for run in ranking.runs
        if run.verdict == "loss"
    }
    assert set(shown(page)) == losers
    page.wait("#count", f"{len(losers)} of 7 runs")


def test_samples_stand_side_by_side_and_a_line_says_whose_it_is(page):
    first = page.page.inner_text("#place")
    assert re.fullmatch("1 of [0-9]+ rows", first)
    assert page.page.is_disabled("#back")
    page.page.click("#next")
    assert page.page.inner_text("#place") == first.replace("1 ", "2 ", 1)
    page.page.select_option("#bench", label="bench2")
    assert page.page.inner_text("#sample h3").startswith("bench2 / ")
    shown = page.page.inner_text("#sample")
    assert all(f"{name} says." in shown for name in NAMES), "all as text"
    link = page.page.locator("#sample h4 a", has_text="plain")
    assert link.get_attribute("href").startswith("plain/report.html#bench2/")
    line = page.page.locator("#training .at polyline").nth(NAMES.index("@sum(1)"))
    line.scroll_into_view_if_needed()
    x, y = line.evaluate(
        "l => { const p = l.points[9].matrixTransform(l.getScreenCTM()); return [p.x, p.y] }"
    )
    page.page.mouse.move(x, y)
    assert page.page.locator("#training .at:hover text:visible").count() == 1


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_to_object(browser, made, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    with window(browser, color_scheme=scheme, viewport={"width": width, "height": 844}) as opened:
        opened.open(made)
        opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = Axe().run(opened.page).response["violations"]
        assert [(v["id"], [node["html"][:120] for node in v["nodes"]][:3]) for v in found] == []
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width
        assert opened.quiet


def test_thirty_runs_and_fourteen_figures_open_and_sort(browser, tmp_path):
    """Prints how long it takes to open; docs/evidence.md has the figure."""
    names = [f"method-{number}" for number in range(30)]
    given = replace(overview(names, 14), runs=runs_of(names, 14))
    file = many.write(given, tmp_path / "runs.html")
    with window(browser) as opened:
        opened.open(file)
        load = "performance.getEntriesByType('navigation')[0].loadEventEnd"
        told = {"open_ms": round(opened.page.evaluate(load)), "bytes": file.stat().st_size}
        print(json.dumps(told))  # noqa: T201
        assert len(shown(opened)) == 31
        assert opened.page.locator("table.against").count() == 14
        opened.page.locator("#runs thead th", has_text="bench13").locator("button").click()
        assert len(shown(opened)) == 31
        assert opened.quiet
