"""The page in a real Chromium: the README's job, hostile texts, and 50,000 samples."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import time
from pathlib import Path

import PIL.Image
import pytest
from harness_reports import html

from harness.benchmark import mean_of
from harness.compare import compare, examples_of
from harness.pairs.measures import PairExample
from harness.records import Sample
from harness.run import run
from harness.settings import Settings
from harness.storage import save_thumbnail
from tests.support.browser import chromium, window
from tests.support.hostile import HOSTILE, doctor_of, report

pytestmark = pytest.mark.slow

XSS = [
    "<script>alert(1)</script>",
    "</script><script>alert(2)</script>",
    "<!--<script>alert(3)</script>-->",
    "<img src=x onerror=alert(4)>",
    "<svg onload=alert(5)><a xlink:href='javascript:alert(6)'>x</a></svg>",
    "\"><iframe srcdoc='<script>parent.alert(7)</script>'></iframe>",
    "' onmouseover='alert(8)' x='",
    "javascript:alert(9)",
    "{{ 7 * 7 }} {% raw %} ${alert(10)} `${alert(11)}`",
    "</style><style>body{display:none}</style>",
    "</textarea></title></details></main><h1>owned</h1>",
    "<base href=https://evil.example/><link rel=stylesheet href=//evil.example/x.css>",
    "<form action=https://evil.example><input name=x autofocus onfocus=alert(12)></form>",
    '\\u003cscript>alert(13)\\u003c/script> \u2028alert(14)\u2029 ]]> "];alert(15)//',
    "__proto__",
    "constructor",
    *HOSTILE,
]


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def outcome(tmp_path_factory):
    """The README's main job, smaller, with image regions behind two answers."""
    return run(
        Settings(
            method="seva",
            benches=("mmvet", "pope"),
            limit=36,
            max_prompts=24,
            options=(("epochs", "6"), ("learning_rate", "3e-3")),
            reports=("json", "html"),
            attribution=2,
            out=tmp_path_factory.mktemp("runs"),
        )
    )


@pytest.fixture
def page(browser, outcome):
    with window(browser) as opened:
        opened.open(outcome.written["html"])
        yield opened
        assert opened.quiet


def totals(outcome):
    found = outcome.comparison.benchmarks
    return sum(len(b.fixed) for b in found), sum(len(b.broken) for b in found)


def test_the_page_shows_the_runs_own_numbers(page, outcome):
    shown = page.page.inner_text("main")
    assert "Did seva make tinyworld better?" in shown
    for benchmark in outcome.comparison.benchmarks:
        figure = benchmark.figures[0]
        row = page.page.locator("#results tbody tr", has_text=f"{benchmark.name} {figure.column}")
        assert f"{figure.before:.1f}" in row.first.inner_text()
        assert f"{figure.after:.1f}" in row.first.inner_text()
    assert page.page.locator("figure.plot svg[role=img]").count() == 2
    assert page.count() == sum(totals(outcome)), "it opens on what changed"
    page.page.click("[data-status=all]")
    assert page.count() == 72


def test_filters_agree_with_the_comparison(page, outcome):
    fixed, broken = totals(outcome)
    assert fixed + broken > 0, "the training was meant to change something"
    expected = {"fixed": fixed, "broken": broken, "missing": 0, "all": 72}
    for name, count in {**expected, "unchanged": 72 - fixed - broken}.items():
        page.page.click(f"[data-status={name}]")
        assert page.count() == count
        assert page.page.get_attribute(f"[data-status={name}]", "aria-pressed") == "true"
    page.page.click("[data-status=all]")
    page.page.select_option("#bench", label="pope")
    assert page.count() == 36
    page.page.check("#differ")
    before, after = (outcome.report.before["pope"], outcome.report.after["pope"])
    other = sum(x.answer != y.answer for x, y in zip(before, after, strict=True))
    assert page.count() == other


def test_samples_are_filtered_by_reason_state_and_category_and_the_address_says_so(page, outcome):
    flips = [(b.name, flip) for b in outcome.comparison.benchmarks for flip in b.flips]
    label = flips[0][1].label
    page.page.select_option("#label", label)
    expected = sum(len(flip.rows) or 1 for _, flip in flips if flip.label == label)
    assert page.count() == expected
    address = page.page.url.split("#")[1]
    assert address.startswith("show?status=changed")
    page.page.select_option("#label", "")
    page.page.click("[data-status=all]")
    category = page.page.locator("#group option").nth(1).get_attribute("value")
    page.page.select_option("#group", category)
    rows = [row for name in ("mmvet", "pope") for row in outcome.report.after[name]]
    assert page.count() == sum(
        category in [f"{key}: {value}" for key, value in row.groups.items()] for row in rows
    )
    assert page.page.is_hidden("#state"), "every row was answered: nothing to choose between"
    page.page.goto(page.page.url.split("#")[0] + f"#{address}")
    page.wait("#count", f"{expected} of 72")
    assert page.page.input_value("#label") == label
    assert page.page.input_value("#group") == ""


def test_a_verdict_links_to_what_changed_and_figures_beside_it_unfold(page, outcome):
    link = page.page.locator("#figures a.mark").last
    link.click()
    (pope,) = [b for b in outcome.comparison.benchmarks if b.name == "pope"]
    page.wait("#count", f"{len(pope.fixed) + len(pope.broken)} of 72")
    assert page.page.input_value("#bench") == "1"
    rows = page.page.locator("#figures tbody tr")
    assert rows.filter(visible=True).count() == 2
    page.page.check("#beside")
    assert rows.filter(visible=True).count() == rows.count() > 2


def test_the_shown_samples_are_saved(page, outcome):
    page.page.click("[data-status=fixed]")
    with page.page.expect_download() as waiting:
        page.page.click("[data-save=json]")
    saved = json.loads(Path(waiting.value.path()).read_text())
    fixed = [(b.name, id_) for b in outcome.comparison.benchmarks for id_ in b.fixed]
    assert sorted((each["benchmark"], each["id"]) for each in saved) == sorted(fixed)
    after = {(n, row.id): row for n, rows in outcome.report.after.items() for row in rows}
    assert all(each["after"] == after[each["benchmark"], each["id"]].answer for each in saved)


def test_a_picture_is_enlarged_and_closed_again(page):
    small = page.page.locator("#sample img").bounding_box()
    page.page.click("#sample .zoom")
    large = page.page.locator("#large-image")
    assert large.bounding_box()["height"] > 2 * small["height"]
    page.page.keyboard.press("Escape")
    assert not large.is_visible()


def test_search_reads_questions_answers_and_verdicts(page, outcome):
    word = "circle"
    page.page.click("[data-status=all]")
    page.page.fill("#search", word.upper())
    pairs = [
        (one, two)
        for name in ("mmvet", "pope")
        for one, two in zip(outcome.report.before[name], outcome.report.after[name], strict=True)
    ]
    texts = [
        f"{x.prompt}\n{x.target}\n{x.answer}\n{y.answer}\n{x.verdict}\n{y.verdict}".lower()
        for x, y in pairs
    ]
    expected = sum(word in text for text in texts)
    page.wait("#count", f"{expected} of 72")
    assert 0 < expected < 72
    page.page.fill("#search", "nothing says this")
    page.wait("#count", "0 of 72")
    assert "No sample fits" in page.shown()


def test_a_sample_shows_picture_texts_and_verdicts(page, outcome):
    sample, after = outcome.report.before["mmvet"][3], outcome.report.after["mmvet"][3]
    page.page.goto(page.page.url.split("#")[0] + f"#mmvet/{sample.id}")
    page.wait("#sample h3", f"mmvet / {sample.id}")
    shown = page.shown()
    for text in (sample.target, sample.answer, after.answer, sample.verdict, "builtin"):
        assert text in shown
    assert "".join(sample.prompt.split()) in "".join(shown.split())
    image = page.page.locator("#sample img")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0


def test_keys_walk_and_the_address_follows(page):
    heading = "#sample h3"
    page.page.click("[data-status=all]")
    page.page.focus("#list")
    page.page.keyboard.press("Home")
    first = page.page.inner_text(heading)
    page.page.keyboard.press("j")
    second = page.page.inner_text(heading)
    assert second != first
    assert page.page.url.endswith("#" + second.replace(" / ", "/"))
    page.page.keyboard.press("k")
    assert page.page.inner_text(heading) == first
    page.page.keyboard.press("End")
    last = page.page.inner_text(heading)
    chosen = page.page.get_attribute("#list", "aria-activedescendant")
    assert page.page.get_attribute(f"#{chosen}", "aria-selected") == "true"
    page.page.keyboard.press("ArrowUp")
    assert page.page.inner_text(heading) not in (first, last)
    page.page.keyboard.press("/")
    page.page.keyboard.type("jk")  # letters typed into the search do not walk
    assert page.page.input_value("#search") == "jk"


def test_a_link_opens_its_sample(browser, outcome):
    sample = outcome.report.before["pope"][7]
    with window(browser) as opened:
        opened.open(outcome.written["html"], f"#pope/{sample.id}")
        assert opened.page.inner_text("#sample h3") == f"pope / {sample.id}"
        assert opened.quiet


def test_changed_words_are_marked(page):
    page.page.check("#differ")
    assert page.count() > 0
    before, after = page.page.locator(".arm").nth(0), page.page.locator(".arm").nth(1)
    assert before.locator("del").count() + after.locator("ins").count() > 0
    kept = [
        arm.locator(".said").first.evaluate(
            "said => [...said.childNodes].filter(n => n.nodeType === 3).map(n => n.data).join('')"
        )
        for arm in (before, after)
    ]
    assert kept[0] == kept[1]  # what is not marked is the same text


def test_the_gallery_shows_both_pictures(page, outcome):
    assert len(outcome.report.doctor.examples) == 10
    pairs = page.page.locator("#pairs .pair")
    assert pairs.count() == 10
    for at in range(10):
        images = pairs.nth(at).locator("img")
        assert images.count() == 2
        sources = {images.nth(n).get_attribute("src") for n in range(2)}
        assert len(sources) == 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_axe_finds_nothing_to_object(browser, outcome, scheme, width):
    from axe_playwright_python.sync_playwright import Axe

    size = {"width": width, "height": 844}
    with window(browser, color_scheme=scheme, viewport=size) as opened:
        opened.open(outcome.written["html"])
        opened.page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        found = Axe().run(opened.page).response["violations"]
        told = [(v["id"], [node["html"][:120] for node in v["nodes"]][:3]) for v in found]
        assert told == []
        shown = opened.page.locator("#attribution img")
        assert shown.count() == 2 * len(outcome.report.attribution) == 4
        assert shown.first.evaluate("image => image.decode().then(() => image.naturalWidth)") > 0
        assert opened.page.evaluate("document.documentElement.scrollWidth") <= width


def test_on_a_phone_a_row_is_a_card_with_every_cell_in_sight(browser, outcome):
    with window(browser, viewport={"width": 390, "height": 844}) as opened:
        opened.open(outcome.written["html"])
        figure = outcome.comparison.benchmarks[0].figures[0]
        card = opened.page.locator("#figures tbody tr").first
        assert f"{figure.before:.1f}" in card.inner_text()
        cells = card.locator("th, td")
        for at in range(cells.count()):
            box = cells.nth(at).bounding_box()
            assert box is None or 0 <= box["x"] < box["x"] + box["width"] <= 390
        heads = card.locator("td[data-head]").evaluate_all("all => all.map(td => td.dataset.head)")
        assert heads[:3] == ["before", "after", "difference"]


def test_pointing_at_a_curve_tells_the_step(page):
    hit = page.page.locator("#training .at rect").nth(1)
    hit.hover()
    told = page.page.locator("#training .at:hover text")
    assert told.is_visible()
    assert re.match(r"step \d+: ", told.text_content())


def test_the_theme_can_be_chosen(browser, outcome):
    paper = "getComputedStyle(document.body).backgroundColor"
    with window(browser, color_scheme="light") as opened:
        opened.open(outcome.written["html"])
        light = opened.page.evaluate(paper)
        opened.page.click("#theme")
        assert opened.page.evaluate(paper) == light
        opened.page.click("#theme")
        assert opened.page.inner_text("#theme") == "Theme: dark"
        assert opened.page.evaluate(paper) != light


def test_paper_gets_everything_but_the_controls(page):
    page.page.set_viewport_size({"width": 688, "height": 1017})  # A4 within its margins
    page.page.emulate_media(media="print")
    page.page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert not page.page.is_visible("#list")
    assert not page.page.is_visible("#search")
    for section in ("results-title", "categories-title", "pairs-title", "training-title"):
        assert page.page.is_visible(f"#{section}")
    assert page.page.evaluate("[...document.querySelectorAll('details')].every(d => d.open)")
    assert page.page.is_visible("#sample img")
    columns = "e => getComputedStyle(e).gridTemplateColumns.split(' ').length"
    for beside in ("dl.facts", ".pair .halves", ".sample .ask"):  # not below each other
        assert page.page.locator(f"main {beside}").first.evaluate(columns) == 2
    assert page.page.evaluate(
        "[...document.querySelectorAll('main img[src]')].every(i => i.complete)"
    )
    assert page.page.pdf()[:5] == b"%PDF-"


@pytest.mark.parametrize("texts", [XSS[at:] + XSS[:at] for at in range(16)], ids=range(16))
def test_hostile_text_does_nothing(browser, tmp_path, texts):
    given = report(texts, name=texts[0])
    rows = {
        arm: {
            name: tuple(
                dataclasses.replace(
                    sample, id=f"{sample.id}{at}", verdict=text, judge=text, answer=text + str(arm)
                )
                for at, (sample, text) in enumerate(zip(samples, texts, strict=True))
            )
            for name, samples in side.items()
        }
        for arm, side in enumerate((given.before, given.after))
    }
    given = dataclasses.replace(given, before=rows[0], after=rows[1], doctor=doctor_of(texts[0]))
    with window(browser) as opened:
        opened.page.add_init_script("window.alert = (what) => { window.owned = what; };")
        opened.open(html.write(given, tmp_path))
        opened.page.click("[data-status=all]")
        opened.page.focus("#list")
        opened.page.keyboard.press("Home")
        for _ in texts:
            assert opened.page.evaluate("window.owned") is None
            opened.page.keyboard.press("j")
        opened.page.mouse.move(300, 400)
        assert opened.page.evaluate("window.owned") is None
        assert opened.page.locator("script").count() == 3
        assert opened.page.locator("iframe, form, base, link, object, embed").count() == 0
        assert opened.page.evaluate(
            "[...document.querySelectorAll('*')].every(e => e.getAttributeNames().every("
            "n => !n.startsWith('on')))"
        )
        assert opened.page.evaluate(
            "[...document.querySelectorAll('a')].every(a => a.getAttribute('href')[0] === '#')"
        )
        assert opened.count() == len(texts)
        assert opened.quiet


def many(folder, count, images):
    """Return a report of so many samples, one in ten changed, with noisy pictures."""
    drawn = random.Random(0)
    before, after = [], []
    for at in range(count):
        said = " ".join(drawn.choice(["there", "is", "a", "red", "cat"]) for _ in range(30))
        sample = Sample(
            id=f"row {at}",
            content=str(at),
            cluster=f"c{at % images}",
            prompt=f"Is there a cat in picture {at}? Please answer in a whole sentence.",
            target="yes",
            answer=said,
            tokens=30,
            finish="stop",
            scores={"score": float(at % 2)},
            groups={"category": f"kind {at % 7}"},
        )
        before.append(sample)
        changed = {"scores": {"score": float((at + 1) % 2)}, "answer": said[::-1]}
        after.append(dataclasses.replace(sample, **changed) if at % 10 == 0 else sample)
    arms = {"big": tuple(before)}, {"big": tuple(after)}
    result = compare(*arms, {"big": [mean_of("score")]}, draws=200)
    for number in range(images):
        noise = PIL.Image.frombytes("RGB", (96, 96), drawn.randbytes(96 * 96 * 3))
        save_thumbnail(folder, f"c{number}", [noise])
    example = PairExample("p", folder, "q", "a", ("b",), {}, {"clean": "c0"})
    return dataclasses.replace(
        report(["plain"] * 6),
        comparison=result,
        before=arms[0],
        after=arms[1],
        examples=examples_of(result, *arms),
        doctor=dataclasses.replace(doctor_of("x"), examples=(example,)),
        images=folder / "images",
        gate=(),
    )


@pytest.mark.parametrize(
    ("count", "images", "beside"), [(20_000, 200, False), (50_000, 1000, True)]
)
def test_many_samples_open_and_stay_smooth(browser, tmp_path, count, images, beside):
    """Prints what was measured; asserts that little is drawn, and no time."""
    file = html.write(many(tmp_path, count, images), tmp_path)
    assert (tmp_path / "report_files").is_dir() == beside
    assert beside or file.stat().st_size <= html.LARGEST
    with window(browser) as opened:
        began = time.monotonic()
        opened.open(file)
        told = {
            "samples": count,
            "images": images,
            "megabytes": round(file.stat().st_size / 1e6, 1),
        }
        told["open"] = round(time.monotonic() - began, 2)
        opened.page.click("[data-status=all]")
        began = time.monotonic()
        opened.page.fill("#search", f"picture {count - 1}?")
        opened.wait("#count", f"1 of {count:,}")
        told["search"] = round(time.monotonic() - began, 2)
        assert opened.page.inner_text("#sample h3") == f"big / row {count - 1}"
        image = opened.page.locator("#sample img")
        assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 96
        opened.page.fill("#search", "")
        opened.wait("#count", f"{count:,} of {count:,}")
        frames = opened.page.evaluate(
            """async () => {
                const list = document.getElementById('list'), times = [];
                let last = performance.now();
                for (let at = 0; at < 120; at += 1) {
                    list.scrollTop = at * 9000;
                    await new Promise(requestAnimationFrame);
                    times.push(performance.now() - last);
                    last = performance.now();
                }
                return times.sort((a, b) => a - b);
            }"""
        )
        told["frame_ms_median"], told["frame_ms_worst"] = round(frames[60]), round(frames[-1])
        print(json.dumps(told))  # noqa: T201
        assert opened.page.locator("#rows .row").count() < 60
        opened.page.click("[data-status=fixed]")
        assert opened.count() == count // 10
        assert opened.quiet


def test_the_page_of_one_model_shows_one_arm(browser, tmp_path):
    """No "before", nothing fixed or broken; what has no answer is found by its filter."""
    from tests.reports.test_alone import alone

    file = html.write(alone(), tmp_path)
    with window(browser) as opened:
        opened.open(file)
        assert opened.count() == 5
        assert opened.page.locator("#sample .arm").count() == 1
        assert "no answer" in opened.shown(), "what is missing is shown first"
        chips = opened.page.locator("[data-status]").all_inner_texts()
        assert [chip.split()[0] for chip in chips] == ["All", "Answered", "Missing"]
        opened.page.click("[data-status=missing]")
        assert opened.count() == 1
        opened.page.click("[data-status=answered]")
        assert opened.count() == 4
        assert "Before" not in opened.shown()
        assert opened.quiet
