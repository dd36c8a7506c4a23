"""The page over several runs as bytes, and as the command writes it."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from urllib.parse import unquote

import pytest
from click.testing import CliRunner
from harness_reports import many, markdown

from harness.analysis import Overview
from harness.cli import app
from harness.dpo import Curve, TrainingEffect
from harness.runs import open_run
from tests.reports.test_html import Page
from tests.support.finished import mmvet, pope, write_run
from tests.support.hostile import HOSTILE, name_of, report
from tests.support.many_runs import overview


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Three runs that started from one model; the first has a page of its own."""
    folder = tmp_path_factory.mktemp("runs")
    before = {"pope": pope(60), "mmvet": mmvet(30)}
    for name, right, seed in (("better", 1.0, 3), ("a b", 0.7, 4), ("worse", 0.1, 5)):
        after = {"pope": pope(60, right=right, seed=seed), "mmvet": mmvet(30, seed=seed)}
        write_run(folder / name, before, after, method=name)
    (folder / "a b" / "report.html").write_text("its page")
    runs = [str(folder / name) for name in ("better", "a b", "worse")]
    file = folder / "pages" / "runs.html"
    file.parent.mkdir()
    asked = ["compare", *runs, "--against", "before"]
    done = CliRunner().invoke(app, [*asked, "--html", str(file)])
    assert (done.exit_code, str(file) in done.stderr) == (0, True), done.output
    return file, json.loads(CliRunner().invoke(app, [*asked, "--json"]).stdout)


def test_the_page_says_what_the_leaderboard_says(written):
    file, board = written
    records = {
        (each["run"], each["benchmark"]): each for each in Page(file.read_text()).block("records")
    }
    assert len(records) == 4 * 2
    for ranking in board["rankings"]:
        for each in ranking["runs"]:
            record = records[each["run"], ranking["benchmark"]]
            low, high = each["interval"] or (None, None)
            told = [record[key] for key in ("figure", "difference", "low", "high", "verdict")]
            assert told == [each["figure"], each["difference"], low, high, each["verdict"]]
    gains = [key for key, each in records.items() if each["verdict"] == "gain"]
    assert ("better", "pope") in gains
    assert "Better on some figures and worse on none: better (1 of 2)" in file.read_text()


def test_any_two_runs_stand_against_each_other_and_the_mirrored_cell_is_its_negative(written):
    file, board = written
    (pair,) = [
        each
        for each in board["pairs"]
        if (each["first"], each["second"], each["benchmark"]) == ("better", "worse", "pope")
    ]
    text = re.sub(r"\s+", " ", file.read_text())
    table = text.split('aria-label="Every run against every other in pope accuracy"')[1]
    rows = {
        re.search(r'<th scope="row">(.*?)</th>', row)[1]: re.findall(r"<td.*?>(.*?)</td>", row)
        for row in table.split("</table>")[0].split("<tr>")[2:]
    }
    order = list(rows)
    low, high = pair["interval"]
    there = rows["worse"][order.index("better")]
    back = rows["better"][order.index("worse")]
    assert there == f"▼ {pair['difference']:+.1f} [{low:+.1f}, {high:+.1f}]"
    assert back == f"▲ {-pair['difference']:+.1f} [{-high:+.1f}, {-low:+.1f}]"
    assert [rows[name][order.index(name)] for name in order] == [""] * 4


def test_a_figure_links_to_its_runs_samples_where_the_run_has_a_page(written):
    file, _ = written
    links = {
        attributes["href"]
        for tag, attributes in Page(file.read_text()).tags
        if tag == "a" and not attributes["href"].startswith("#")
    }
    assert links == {f"../a%20b/report.html#show?bench={name}" for name in ("pope", "mmvet")}
    (place, *_) = [unquote(link.split("#")[0]) for link in links]
    assert (file.parent / place).read_text() == "its page"


def test_rows_on_which_runs_differ_stand_side_by_side_most_divided_first(written):
    """What became of each row is worked out here from the scores themselves."""
    shown = Page(written[0].read_text()).block("side-by-side")
    assert (shown["runs"][shown["baseline"]], len(shown["runs"])) == ("before", 4)
    runs = [open_run(written[0].parent.parent / name) for name in ("better", "a b", "worse")]
    metric = {"pope": "strict", "mmvet": "score"}
    by_id = {}
    for number, bench in enumerate(shown["benches"]):
        arms = [runs[0].before[bench], *(run.after[bench] for run in runs)]
        for rows in zip(*arms, strict=True):
            right = [row.scores[metric[bench]] >= 0.5 for row in rows]
            statuses = [int(one) - int(right[0]) for one in right]
            by_id[number, rows[0].id] = 4 - max(map(statuses.count, statuses))
    divided = sorted((key for key, count in by_id.items() if count), key=lambda key: key[0])
    assert sorted(divided) == sorted((row[0], row[1]) for row in shown["rows"])
    counts = [(row[0], -by_id[row[0], row[1]]) for row in shown["rows"]]
    assert counts == sorted(counts)
    for _, _, question, _, _, groups in shown["rows"]:
        assert question.startswith("Question ")
        assert sorted(run for together, _, _ in groups for run in together) == [0, 1, 2, 3]
        (own,) = [status for together, _, status in groups if shown["baseline"] in together]
        assert own == "unchanged"


def test_trainings_are_drawn_over_each_other_with_their_values_in_a_table():
    made = overview(["a", "b"], 1)
    one = (Curve("loss", ((1.0, 0.7), (2.0, 0.5))),)
    runs = {"a": replace(report(["x"] * 6), curves=one), "b": report(["x"] * 6)}
    text = many.render(Overview(made.board, runs, {}))
    assert sorted(re.findall(r">([ab]: [0-9.]+)</text>", text)) == ["a: 0.5", "b: 0.6"]
    table = text.split("Values of the curves")[1].split("</table>")[0]
    assert re.findall(r"<td[^>]*>(0.*?)</td>", table) == ["0.7 to 0.5", "0.7 to 0.6"]


@pytest.mark.parametrize("text", HOSTILE[::3], ids=range(len(HOSTILE[::3])))
def test_hostile_names_add_no_tag_and_no_attribute(text):
    shape = [tag for tag, _ in Page(many.render(overview(["plain", "other"], 2))).tags]
    page = Page(many.render(overview([name_of(text) + "x", "other"], 2)))
    assert sorted(tag for tag, _ in page.tags) == sorted(shape)
    for _, attributes in page.tags:
        assert not [name for name in attributes if name.startswith("on") or name == "style"]


def test_two_runs_get_one_page_in_which_both_are_named(written, tmp_path):
    runs = written[0].parent.parent
    file = tmp_path / "a.html"
    asked = ["compare", *(str(runs / name) for name in ("better", "worse")), "--html", str(file)]
    done = CliRunner().invoke(app, asked)
    assert (done.exit_code, str(file) in done.stderr) == (0, True), done.output
    assert "worse is worse than better on pope accuracy" in re.sub(r"\s+", " ", done.stdout)
    text = file.read_text()
    page = Page(text)
    assert page.block("samples")["arms"] == ["better", "worse"]
    assert "<h1><code>better</code> vs <code>worse</code> on" in text
    assert '<th scope="col" class="n">better</th><th scope="col" class="n">worse</th>' in text
    report = replace(open_run(runs / "better").report, arms=("one", "two"))
    shown = markdown.render(report)
    assert shown.startswith("# `one` vs `two` on `")
    assert "| figure | verdict | `one` | `two` |" in shown


def test_what_was_set_otherwise_stands_side_by_side():
    made = overview(["a", "b"], 1)
    runs = {name: replace(report(["x"] * 6), options={"beta": name, "rank": "8"}) for name in "ab"}
    text = re.sub(r">\s+<", "><", many.render(Overview(made.board, runs, {})))
    assert '<tr><th scope="row">option beta</th><td>a</td><td>b</td></tr>' in text
    assert "option rank" not in text, "what all have alike says nothing"


def test_runs_with_other_trainings_are_drawn_by_what_they_cost():
    def trained(steps):
        effect = TrainingEffect(1, steps, steps, (1e-4, 1e-4, 0.0), 1.0, 1.0, 0.0, 0, 1, None, None)
        return replace(report(["a"] * 6), training=effect, pairs=10 * steps)

    made = overview(["a", "b"], 2)
    for_two = Overview(made.board, {"a": trained(20), "b": trained(40)}, {})
    assert "Cost against gain" in many.render(for_two)
    alike = Overview(made.board, {"a": trained(20), "b": trained(20)}, {})
    assert "Cost against gain" not in many.render(alike), "one cost, so nothing to see"
