"""The page as bytes: what it allows, what it escapes, where its pictures lie."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

import PIL.Image
import pytest
from harness_reports import html, html_samples, plots, words

from harness.benchmark import mean_of
from harness.compare import compare
from harness.dpo import Curve
from harness.storage import save_thumbnail
from tests.support.hostile import HOSTILE, arm, name_of, report

SVG = "{http://www.w3.org/2000/svg}"


class Page(HTMLParser):
    """Tags with their attributes, and the text of scripts and styles."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.raw, self.seen, self.open = [], [], [], None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in ("script", "style"):
            self.open = [tag, dict(attrs), ""]

    def handle_endtag(self, tag):
        if self.open and tag == self.open[0]:
            self.raw.append(tuple(self.open))
            self.open = None

    def handle_data(self, data):
        if self.open:
            self.open[2] += data
        else:
            self.seen.append(data)

    def content(self, tag, kind=None):
        (found,) = [text for name, attrs, text in self.raw if name == tag and attrs == (kind or {})]
        return found

    def block(self, name):
        return json.loads(self.content("script", {"type": "application/json", "id": name}))


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_adds_no_tag_and_no_attribute(text):
    source = html.render(report([text] * 6, name=name_of(text)), {})
    source.encode()
    plain = Page(html.render(report(["plain"] * 6), {}))
    page = Page(source)
    assert len(page.raw) == 4
    assert [tag for tag, _ in page.tags if tag in ("script", "style", "img", "iframe", "base")] == [
        tag for tag, _ in plain.tags if tag in ("script", "style", "img", "iframe", "base")
    ]
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert attributes.get("href", "#").startswith("#")
    rows = page.block("samples")["rows"]
    assert len(rows) == 6
    assert {row[4] for row in rows} == {words.visible(text)}
    shown = "".join(page.seen)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2066\u200b\ud800]", shown)
    if text.strip():
        assert words.visible(text).strip() in shown


def test_a_text_without_end_is_cut_and_says_so():
    long = "word " * 100_000
    page = Page(html.render(report([long] * 6), {}))
    (text,) = {row[4] for row in page.block("samples")["rows"]}
    assert text.startswith("word word")
    assert text.endswith("… (480,000 more characters, in the run folder)")
    assert len(text) < html_samples.LONGEST + 100


def test_figures_that_say_the_same_are_one_row():
    given = report(["plain"] * 6)
    (benchmark,) = given.comparison.benchmarks
    head = benchmark.figures[0]
    same = [dataclasses.replace(head, column=name, primary=False) for name in ("lenient", "logit")]
    other = dataclasses.replace(same[0], column="other", after=0.1)
    benchmark = dataclasses.replace(benchmark, figures=(same[0], head, other, same[1]))
    given = dataclasses.replace(
        given, comparison=dataclasses.replace(given.comparison, benchmarks=(benchmark,)), gate=()
    )
    table = html.render(given, {}).split('id="figures"')[1].split("</table>")[0]
    rows = [
        re.sub("<.*?>", "", text).split() for text in re.findall("<th scope=.row.*?</th>", table)
    ]
    assert [" ".join(row[1:]) for row in rows] == [head.column, "lenient, logit", "other"]


def test_the_policy_allows_exactly_what_the_page_holds():
    page = Page(html.render(report(["plain"] * 6), {}))
    (policy,) = [
        attributes["content"]
        for tag, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    ]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    for tag in ("script", "style"):
        digest = hashlib.sha256(page.content(tag).encode()).digest()
        assert rules[f"{tag}-src"] == f"'sha256-{base64.b64encode(digest).decode()}'"
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "connect-src" not in rules


def test_the_same_report_gives_the_same_bytes():
    given = report(["plain", "<b>", "x"] * 4)
    assert html.render(given, {}) == html.render(given, {})


def test_the_script_builds_no_markup_from_text():
    script = Page(html.render(report(["plain"] * 6), {})).content("script")
    for name in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
        assert name not in script


def test_rows_say_what_flipped_and_what_is_missing():
    before, after = arm(0, ["a"] * 6), arm(1, ["a"] * 6)
    gone = dataclasses.replace(
        after[5], answer=None, error="no answer", scores={"score": None}, verdict="unread"
    )
    before[4] = dataclasses.replace(before[4], scores={**before[4].scores, "odd": float("nan")})
    before[0] = dataclasses.replace(before[0], finish="length")
    after = [*after[:4], dataclasses.replace(after[4], scores=before[4].scores), gone]
    arms = {"mmvet": tuple(before)}, {"mmvet": tuple(after)}
    result = compare(*arms, {"mmvet": [mean_of("score")]}, draws=200)
    given = dataclasses.replace(
        report(["a"] * 6), comparison=result, before=arms[0], after=arms[1], gate=()
    )
    table = html_samples.table_of(given)
    rows = [dict(zip(table["fields"], row, strict=True)) for row in table["rows"]]
    # The scores before are 0, 1, 0, 1 ... and the other way round after.
    expected = ["fixed", "broken", "fixed", "broken", "unchanged", "missing"]
    assert [row["status"] for row in rows] == expected
    side = dict(zip(table["side"], rows[5]["after"], strict=True))
    assert (side["answer"], side["error"], side["scores"]) == (None, "no answer", (None, None))
    assert (side["verdict"], side["state"], side["thought"]) == ("unread", "thought only", "a")
    side = dict(zip(table["side"], rows[0]["before"], strict=True))
    assert (side["state"], side["thought"]) == ("cut", "a")
    assert (rows[4]["after"], rows[0]["after"][-1]) == (0, (1.0, None))
    same = dataclasses.replace(given, after=given.before)
    assert {row[7] for row in html_samples.table_of(same)["rows"]} == {0}


def pictured(tmp_path, texts=("plain",) * 6):
    """Return a report whose rows have pictures in a run folder."""
    given = report(list(texts))
    for number in range(len(texts)):
        colour = (40 * number, 80, 90)
        save_thumbnail(tmp_path, str(number), [PIL.Image.new("RGB", (64, 48), colour)])
    return dataclasses.replace(given, images=tmp_path / "images")


def test_pictures_lie_inside_one_file(tmp_path):
    given = pictured(tmp_path)
    assert html.write(given, tmp_path) == tmp_path / "report.html"
    found = Page((tmp_path / "report.html").read_text()).block("pictures")
    assert sorted(found) == list("012345")
    encoded = found["3"].removeprefix("data:image/webp;base64,")
    assert base64.b64decode(encoded) == (tmp_path / "images" / "3.webp").read_bytes()
    assert not (tmp_path / "report_files").exists()


def test_pictures_of_a_large_report_lie_beside_it(tmp_path, monkeypatch):
    given = pictured(tmp_path)
    monkeypatch.setattr(html, "LARGEST", 1000)
    page = Page(html.write(given, tmp_path).read_text())
    assert page.block("pictures")["3"] == "report_files/3.webp"
    beside = sorted(path.name for path in (tmp_path / "report_files").iterdir())
    assert beside == [f"{number}.webp" for number in range(6)]
    assert any("img-src data: 'self' file:" in str(tag) for tag in page.tags)
    monkeypatch.undo()
    (tmp_path / "report_files" / "mine.txt").write_text("kept")
    html.write_page(given, tmp_path / "report.html")  # as `harness compare --html report.html`
    assert (tmp_path / "report_files" / "mine.txt").is_file()
    html.write(given, tmp_path)
    assert not (tmp_path / "report_files").exists()  # else two reports would seem to lie there


@pytest.mark.parametrize("name", ["../secret", "a/b", "/etc/passwd", "..", "", "x" * 200, "a\nb"])
def test_a_picture_name_leads_nowhere_else(tmp_path, name):
    (tmp_path / "images").mkdir()
    (tmp_path / "secret.webp").write_bytes(b"private")
    given = dataclasses.replace(report(["plain"] * 6), images=tmp_path / "images")
    assert given.picture(name) is None


def test_a_report_without_samples_pairs_and_curves_is_a_report(tmp_path):
    given = dataclasses.replace(
        report(["plain"] * 6), before={}, after={}, doctor=None, curves=(), gate=()
    )
    page = Page(html.write(given, tmp_path).read_text())
    shown = "".join(page.seen)
    assert "This report holds no samples" in shown
    assert "30 pairs were trained on" in shown
    assert "Training" not in shown


def test_importing_the_reports_loads_nothing_heavy():
    code = (
        "import sys, harness_reports.html, harness_reports.junit, harness_reports.plots\n"
        "heavy = {'matplotlib', 'jinja2', 'numpy', 'PIL', 'pydantic', 'torch'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_forest_stands_where_the_numbers_are():
    result = report(["plain"] * 6).comparison
    (benchmark,) = result.benchmarks
    figure = dataclasses.replace(
        benchmark.figures[0], difference=-3.0, interval=(-4.0, 1.0), verdict="loss", margin=1.0
    )
    other = dataclasses.replace(figure, difference=8.0, interval=(6.0, 16.0), verdict="gain")
    benchmark = dataclasses.replace(benchmark, figures=(figure, other))
    root = ET.fromstring(plots.forest(dataclasses.replace(result, benchmarks=(benchmark,))))
    lines = {}
    for path in root.iter(f"{SVG}path"):
        points = re.findall(r"[ML] ([\d.]+) ([\d.]+)", path.get("d", ""))
        for role in ("gain", "loss"):
            if path.get("class") == f"stroke-{role}" and len(points) == 2:
                lines[role] = [float(x) for x, _ in points]
    # Two intervals on one axis: equal lengths of numbers are equal lengths on paper.
    loss, gain = lines["loss"], lines["gain"]
    unit = (loss[1] - loss[0]) / 5
    assert (gain[1] - gain[0]) / unit == pytest.approx(10, rel=0.01)
    assert (gain[0] - loss[1]) / unit == pytest.approx(5, rel=0.01)
    text = " ".join(root.itertext())
    assert "-3.0 [-4.0, +1.0]" in text
    assert text.index("+8.0") < text.index("-3.0"), "gains come first"
    assert root.get("role") == "img"
    assert "-3.0 [-4.0, +1.0] points, loss" in root.get("aria-label")


def test_a_gain_stands_to_the_right_also_where_lower_is_better():
    ends = {"interval": (-40.0, -10.0), "interval_corrected": (-50.0, 0.0)}
    figure = report(["plain"] * 6).comparison.benchmarks[0].figures[0]
    figure = dataclasses.replace(figure, difference=-30.0, verdict="gain", **ends)
    line = plots.whisker("CHAIR_s", figure, 2.0, better=False, percent=1.0, digits=1, unit="points")
    assert line is not None
    assert (line.difference, line.interval, line.corrected) == (15.0, (5.0, 20.0), (0.0, 25.0))
    assert line.told == "-30.0 [-40.0, -10.0] points"


def test_figures_carry_no_style_no_script_and_no_colour_of_their_own():
    made = plots.curves([Curve("loss", ((1.0, 0.7), (2.0, 0.6))), Curve("kl", ((1.0, 0.0),))])
    root = ET.fromstring(made)
    for element in root.iter():
        assert element.tag.startswith(SVG)
        assert element.tag not in (f"{SVG}style", f"{SVG}script", f"{SVG}metadata")
        assert "style" not in element.attrib
        assert not re.search(r"#[0-9a-fA-F]{6}", " ".join(element.attrib.values()))
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert all(name.startswith("curves-") for name in ids)
    told = [mark.find(f"{SVG}text").text for mark in root if mark.get("class") == "at"]
    assert told == ["step 1: 0.7", "step 2: 0.6", "step 1: 0"]
    assert plots.curves([]) == ""
