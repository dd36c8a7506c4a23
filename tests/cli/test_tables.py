"""Tables of the commands: aligned where they fit, row by row where not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.cli.tables import text_table

HEAD = ("run", "figure")
ROWS = [("seva", "70.1"), ("図形", "9.0")]


def test_columns_are_aligned_as_a_terminal_shows_them():
    assert text_table(ROWS, head=HEAD, right=(1,), width=80) == [
        "run   figure",
        "seva    70.1",
        "図形     9.0",  # two characters that take four columns
    ]


def test_a_narrow_terminal_gets_each_cell_on_its_own_line():
    assert text_table(ROWS, head=HEAD, width=11) == [
        *("seva", "  figure: 70.1"),
        *("図形", "  figure: 9.0"),
    ]
    assert text_table(ROWS, width=5) == ["seva", "  70.1", "図形", "  9.0"]


def test_nothing_has_to_fit_where_nobody_looks(monkeypatch: pytest.MonkeyPatch):
    wide = [("x" * 300, "y" * 300)]
    monkeypatch.delenv("COLUMNS", raising=False)
    assert text_table(wide) == [f"{'x' * 300}  {'y' * 300}"]
    monkeypatch.setenv("COLUMNS", "80")
    assert text_table(wide) == ["x" * 300, f"  {'y' * 300}"]
    assert text_table([]) == []


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1), st.integers(1, 50))
def test_foreign_text_stays_harmless_and_whole(rows, width):
    from harness.errors import plain

    lines = text_table(rows, width=width)
    assert all(line.isprintable() for line in lines)
    words = [word for line in lines for word in line.split()]
    assert words == [word for row in rows for cell in row for word in plain(cell).split()]


def test_a_long_list_is_broken_between_its_words():
    lines = text_table([("losses", "ok", ", ".join(["plackett_luce", "sppo_hard"] * 9))], width=40)
    assert lines[:3] == ["losses", "  ok", "  plackett_luce, sppo_hard,"]
    assert all(len(line) <= 40 and not line.endswith("_") for line in lines)
    assert " ".join(lines[2:]).split() == ["plackett_luce,", "sppo_hard,"] * 8 + [
        *("plackett_luce,", "sppo_hard"),
    ]
