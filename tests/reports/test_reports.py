"""The reports: what they show, how they round, and that hostile text stays text."""

from __future__ import annotations

import dataclasses
import io
import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from harness_reports import drawing, html, markdown, numbers, plots, table, terminal, words
from harness_reports import json as json_report
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from harness.benchmark import mean_of
from harness.compare import Comparison, compare
from harness.dpo import Curve
from harness.records import from_json
from tests.support.hostile import HOSTILE, NOTICE, arm, name_of, report

HEADINGS = ["Pairs", "Answer length", "Flips", "Examples of flips", "How it was made"]


def rendered(text):
    parser = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    return parser.parse(text)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_text_stays_text_in_markdown(text):
    source = markdown.render(report([text] * 6, name=name_of(text)))
    source.encode()
    assert "\r" not in source
    own = re.compile(
        r"(</?details>|<summary>[^<>]*(<code>[^<>]*</code>)?[^<>]*</summary>|\s)*", re.ASCII
    )
    tokens = rendered(source)
    for token in tokens:
        if token.type == "html_block":
            assert own.fullmatch(token.content), token.content
        for child in token.children or []:
            assert child.type not in ("html_inline", "link_open", "image"), child
            if child.type == "text":
                assert not re.search(r"@\w", child.content), child.content
                assert not re.search(r"https?://\w|www\.\w", child.content), child.content
    headings = [after for token, after in pairwise(tokens) if token.type == "heading_open"]
    assert [h.content for h in headings[1:]] == HEADINGS
    words_outside_code = [c.content for h in headings for c in h.children if c.type == "text"]
    assert "owned" not in " ".join(words_outside_code)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_tables_keep_their_columns_and_fences_hold(text):
    source = markdown.render(report([text] * 6, name=name_of(text)))
    width, widths = 0, []
    for token in rendered(source):
        if token.type == "tr_open":
            width = 0
        elif token.type in ("td_open", "th_open"):
            width += 1
        elif token.type == "tr_close":
            widths.append(width)
    assert set(widths) <= {9, 7, 5, 4, 2}
    fences = [token.content for token in rendered(source) if token.type == "fence"]
    shown = words.visible(text)[:1200]
    assert len(fences) == 1 + 6 * 4
    assert "← worse" in fences[0]
    assert all(content.startswith(shown) for content in fences[1:])


def test_markdown_answers_the_question_first():
    source = markdown.render(report(["plain"] * 6))
    lines = [line for line in source.splitlines() if line]
    assert lines[0] == "# Did `plain` make `plain` better?"
    assert lines[1].startswith("**Cannot tell:")
    assert lines[2] == f"> {NOTICE}"
    assert "30 pairs were trained on; 2 prompts gave none (`plain`: 2)." in source
    assert "<summary>fixed (true change): <code>mmvet 00 plain</code></summary>" in source


def test_json_is_complete_deterministic_and_reads_back(tmp_path):
    given = report(["plain", "\ud800 <b>", "x"] * 4)
    first = json_report.write(given, tmp_path / "one").read_bytes()
    second = json_report.write(given, tmp_path / "two").read_bytes()
    assert first == second
    assert first.isascii()
    content = json.loads(first)
    assert sorted(content) == ["clock", "comparison", "levels", "run"]
    assert from_json(Comparison, content["comparison"]) == given.comparison
    later = dataclasses.replace(given, clock={"finished": "later"})
    third = json.loads(json_report.write(later, tmp_path / "three").read_bytes())
    assert {**third, "clock": None} == {**content, "clock": None}
    assert [path.name for path in (tmp_path / "one").iterdir()] == ["comparison.json"]


LINE = r"mmvet score plain\s+cannot tell\s+50\.0\s+50\.0\s+0\.0 \[.*\]\s+\d\.\d{3}\s+3 / 3\s+0 / 0"


def test_terminal_shows_the_table_and_where_things_lie(tmp_path, capsys):
    given = report(["plain"] * 6)
    markdown.write(given, tmp_path)
    assert terminal.write(given, tmp_path) == tmp_path
    shown = capsys.readouterr().out
    assert shown.startswith(NOTICE)
    assert shown.count(NOTICE) == 1
    assert re.search(LINE, shown)
    assert "Cannot tell" in shown
    assert str(tmp_path / "report.md") in shown
    assert "comparison.json" not in shown
    assert "checkpoint" not in shown  # as in a bundle, which holds no weights
    (tmp_path / "checkpoint").mkdir()
    terminal.write(given, tmp_path)
    assert str(tmp_path / "checkpoint") in capsys.readouterr().out


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_terminal_passes_no_control_characters_or_markup(text, tmp_path):
    stream = io.StringIO()
    terminal.show(report([text] * 6, name=name_of(text)), tmp_path, stream)
    shown = stream.getvalue()
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u2066\u200b]", shown)
    if "[red]" in text:
        assert "[red]markup[/red]" in shown


def test_training_seeds_are_named_one_by_one():
    given = report(["plain"] * 6)
    (benchmark,) = given.comparison.benchmarks
    figure = dataclasses.replace(benchmark.figures[0], seeds=(1.0, None, -0.25), seed_error=0.5)
    benchmark = dataclasses.replace(benchmark, figures=(figure,))
    comparison = dataclasses.replace(given.comparison, benchmarks=(benchmark,))
    (told,) = words.trainings(comparison)
    assert told == (
        "mmvet score plain by training seed: +1.0, –, -0.3 points; the choice of seed adds 0.50 to "
        "the standard error."
    )
    assert markdown.plain(told) in markdown.render(
        dataclasses.replace(given, comparison=comparison)
    )
    assert words.trainings(given.comparison) == []


@pytest.mark.parametrize(
    ("value", "digits", "expected"),
    [
        (0.0, 1, "0.0"),
        (2.25, 1, "+2.3"),
        (-2.25, 1, "-2.3"),
        (0.04, 1, "+0.04"),
        (-0.0004, 1, "-0.0004"),
        (0.00001, 1, "<+0.0001"),
        (-0.00001, 1, ">-0.0001"),
        (None, 1, "–"),
        (0.15, 1, "+0.2"),
        (12.0, 0, "+12"),
    ],
)
def test_signed_numbers_never_round_to_zero(value, digits, expected):
    assert numbers.signed(value, digits) == expected


def test_other_numbers():
    assert numbers.figure(66.65, 1) == "66.7"
    assert numbers.figure(None, 1) == "–"
    assert numbers.p_value(0.0004) == "<0.001"
    assert numbers.p_value(1.0) == "1.000"
    assert numbers.difference(1.0, (-0.5, 2.5), 1) == "+1.0 [-0.5, +2.5]"
    assert numbers.difference(None, None, 1) == "–"


@pytest.mark.parametrize(
    ("scores", "begin"),
    [
        (([0] * 40, [1] * 40), "Yes: better on mmvet score (+100.0 points)."),
        (([1] * 40, [0] * 40), "No: worse on mmvet score (-100.0 points), better on none."),
        (([1] * 40, [1] * 40), "No change:"),
        (([1] * 9, [1] * 8 + [0]), "Cannot tell:"),
    ],
)
def test_headlines(scores, begin):
    def scored(own):
        rows = zip(arm(0, ["x"] * len(own)), own, strict=True)
        return {"mmvet": [dataclasses.replace(row, scores={"score": v}) for row, v in rows]}

    before, after = map(scored, scores)
    result = compare(before, after, {"mmvet": [mean_of("score")]}, draws=200)
    assert words.headline(result).startswith(begin)


def read_by_a_person(source):
    """The text that a reader of rendered Markdown sees, block by block."""
    blocks = []
    for token in rendered(source):
        if token.type == "inline":
            breaks = ("softbreak", "hardbreak")
            blocks.append(
                "".join(" " if c.type in breaks else c.content for c in token.children or [])
            )
    return [block.replace("\u200b", "") for block in blocks]


@pytest.mark.parametrize(
    "text",
    [
        "58.3%",
        "58.3 % of 12",
        "1. not a list",
        "12) not a list",
        "2024.",
        "-0.5 points",
        "+0.5 points",
        "- not a list",
        "# no heading",
        "a_b_c and *d* and ~~e~~",
        "5 < 6 & 7 > 3",
        "[a](b) ![c](d) | e",
        "\\ and \\*",
        "= not underlined",
        "---",
        "***",
        "===",
    ],
)
def test_a_reader_of_markdown_sees_the_text_itself(text):
    assert read_by_a_person(markdown.plain(text)) == [text]
    assert read_by_a_person(f"- {markdown.plain(text)}") == [text]
    assert read_by_a_person(f"> {markdown.plain(text)}") == [text]
    table = f"| a | b |\n| --- | --- |\n| {markdown.plain(text)} | x |"
    assert read_by_a_person(table) == ["a", "b", text, "x"]


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1))
def test_a_reader_of_markdown_sees_any_text_itself(text):
    line = words.one_line(text, 2000)
    assert read_by_a_person(markdown.plain(text)) == ([line] if line else [])


def test_no_stray_backslash_reaches_a_reader_of_the_report():
    seen = read_by_a_person(markdown.render(report(["plain"] * 6)))
    assert not [block for block in seen if "\\" in block]
    assert "10.0%" in seen  # equal answers, in the table of the pair diagnostics


@pytest.mark.parametrize(
    ("verdict", "p", "mark", "said"),
    [
        ("no worse", 0.3, "*", "is above 0.05"),
        ("cannot tell", 0.01, "†", "might reverse"),
        ("gain", 0.01, "", ""),
    ],
)
def test_a_verdict_that_its_interval_does_not_suggest_is_explained(verdict, p, mark, said):
    given = report(["plain"] * 6)
    (benchmark,) = given.comparison.benchmarks
    figure = dataclasses.replace(
        benchmark.figures[0], interval=(0.2, 3.0), verdict=verdict, p_holm=p, margin=1.0
    )
    benchmark = dataclasses.replace(benchmark, figures=(figure,))
    comparison = dataclasses.replace(given.comparison, benchmarks=(benchmark,))
    given = dataclasses.replace(given, comparison=comparison)
    (row,) = table.rows(comparison)
    assert row.mark == mark
    stream = io.StringIO()
    terminal.show(given, Path("/nowhere"), stream)
    for shown in (stream.getvalue(), markdown.render(given), html.render(given, {})):
        assert (said in re.sub(r"\s+", " ", shown)) if said else ("excludes zero" not in shown)


def test_a_difference_over_a_few_rows_alike_in_length_is_not_shown():
    (benchmark,) = report(["plain"] * 6).comparison.benchmarks
    length = dataclasses.replace(benchmark.length, matched=1, difference=-33.3, interval=None)
    assert table.alike(dataclasses.replace(benchmark, length=length)) == "too few rows"
    length = dataclasses.replace(length, matched=10, interval=(-40.0, 1.0))
    assert table.alike(dataclasses.replace(benchmark, length=length)) == "-33.3 [-40.0, +1.0]"


def test_the_forest_in_letters_draws_to_scale():
    """Of 41 places the middle one is zero: -5 to +10 of ±10 are places 10 to 40, 2.5 is 25."""
    drawn = drawing._drawn((-5.0, 10.0), 2.5, "▲", 10.0)
    assert drawn == " " * 10 + "─" * 10 + "┼" + "─" * 4 + "▲" + "─" * 15
    assert drawing._drawn((2.0, 4.0), 3.0, "●", 10.0).index("│") == 20


def test_a_long_curve_is_smoothed_by_the_mean_around_each_step():
    line = [(float(step), float(step % 2)) for step in range(48)]
    smooth = plots.smoothed(line)
    assert smooth[0] == (0.0, pytest.approx(1 / 3)), "0, 1, 0"
    assert smooth[24] == (24.0, pytest.approx(2 / 5)), "0, 1, 0, 1, 0 of steps 22 to 26"
    assert plots.smoothed(line[:47]) == line[:47]


def test_the_curves_can_be_read_as_a_table():
    curve = Curve("loss", tuple((float(step), 1 / step) for step in range(1, 101)))
    head, first, *_, last = plots.values([curve, Curve("kl", ((1.0, 0.0),))])
    assert (head, first, last) == (["step", "loss", "kl"], ["1", "1", "0"], ["100", "0.01", "–"])
    three = Curve("reward_chosen", ((1.0, -3.5), (2.0, 0.0), (3.0, 3.5)))
    drawn = drawing.curves([three, Curve("kl", ((1.0, 0.2), (2.0, 0.2)))])
    assert drawn == [["reward chosen", "▁▅█", "-3.5 to 3.5"], ["kl", "▁▁", "0.2 to 0.2"]]
    assert len(plots.values([curve])) == 1 + 12
    assert plots.values([]) == []
