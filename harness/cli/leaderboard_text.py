"""A leaderboard as a table for the terminal, and as Markdown: runs by figures, then each figure."""

from __future__ import annotations

import html
from collections.abc import Sequence

from harness.analysis import Leaderboard, RankedRun, Ranking, Standing, conclusion, standings
from harness.cli.tables import BETTER, DASH, columns_that_fit, text_table
from harness.errors import as_markdown
from harness.stats import half_up

_HEAD = ("rank", "run", "figure", "difference", "p (Holm)", "verdict", "missing")
_SIGNS = {"gain": " ▲", "loss": " ▼"}


def leaderboard_text(found: Leaderboard, *, every: bool = False, width: int | None = None) -> str:
    """Return plain text: who is better, a matrix of runs and figures, and what to know of it.

    With ``every`` also a table for each figure, with differences and p values.
    """
    parts = [conclusion(found), *("\n".join(lines) for lines in _matrix(found, width))]
    for board in found.rankings if every else ():
        rows = [_cells(standing, board, found) for standing in board.runs]
        parts.append("\n".join([_title(board), *text_table(rows, head=_HEAD, width=width)]))
    remarks = _remarks(found) if every else [*_remarks(found), _MORE]
    return "\n\n".join([*filter(None, parts), "\n".join(remarks)]) + "\n"


def leaderboard_markdown(found: Leaderboard) -> str:
    """Return GitHub-flavoured Markdown; names of runs stand in code, where they do no harm."""
    parts = [_escaped(conclusion(found))] if len(found.rankings) else []
    parts += [_markdown_matrix(found)]
    for board in found.rankings:
        title = f"<details>\n<summary>{html.escape(_visible(_title(board)))}</summary>"
        lines = [_line(_HEAD), _line(["---"] * len(_HEAD))]
        for standing in board.runs:
            rank, run, *rest = _cells(standing, board, found)
            lines.append(_line([rank, _code(run), *map(_escaped, rest)]))
        parts += [title, "\n".join(lines), "</details>"]
    return (
        "\n\n".join([*parts, "\n".join(f"- {_escaped(note)}" for note in _remarks(found))]) + "\n"
    )


_MORE = "Differences, intervals and p values of each figure: the same command with --all."


def _matrix(found: Leaderboard, width: int | None) -> list[list[str]]:
    """Return the matrix in as many blocks as the terminal's width asks for."""
    stands = standings(found)
    columns = [
        _counts(stands, found),
        *(_column(n, stands, found) for n in range(len(found.rankings))),
    ]
    first = ["", "run", *(_named(each.run, found) for each in stands)]
    blocks = []
    for chosen in columns_that_fit(first, columns, width):
        head, *rows = zip(first, *chosen, strict=True)
        blocks.append(text_table(rows, head=head, width=width))
    return blocks


def _counts(stands: Sequence[Standing], found: Leaderboard) -> list[str]:
    told = [DASH if each.run == found.baseline else _balance(each) for each in stands]
    return ["better/", "worse", *told]


def _balance(each: Standing) -> str:
    return f"{each.gains}/{each.losses}"


def _column(number: int, stands: Sequence[Standing], found: Leaderboard) -> list[str]:
    board = found.rankings[number]
    lower = " ↓" if board.higher_is_better is False else ""
    cells = [_figure(each.cells[number], board) for each in stands]
    return [board.benchmark, board.column + lower, *cells]


def _figure(standing: RankedRun, board: Ranking) -> str:
    """Return a figure with its sign against the baseline and its rank."""
    sign = _SIGNS.get(standing.verdict, "")
    return f"{_number(standing.figure, board.digits)}{sign} ({_rank(standing, board)})"


def _markdown_matrix(found: Leaderboard) -> str:
    stands = standings(found)
    boards = found.rankings
    names = [
        f"{_escaped(f'{each.benchmark} {each.column}')}"
        + (" ↓" if each.higher_is_better is False else "")
        for each in boards
    ]
    lines = [_line(["run", "better / worse", *names]), _line(["---"] * (2 + len(names)))]
    for each in stands:
        count = DASH if each.run == found.baseline else _balance(each)
        cells = [_figure(cell, board) for cell, board in zip(each.cells, boards, strict=True)]
        lines.append(_line([_code(_named(each.run, found)), count, *map(_escaped, cells)]))
    return "\n".join(lines)


def _named(run: str, found: Leaderboard) -> str:
    return run + (" (baseline)" if run == found.baseline else "")


def _title(board: Ranking) -> str:
    return (
        f"{board.benchmark} {board.column} ({board.samples} rows, {board.clusters} images; "
        f"{BETTER[board.higher_is_better]})"
    )


def _cells(standing: RankedRun, board: Ranking, found: Leaderboard) -> list[str]:
    return [
        _rank(standing, board),
        _named(standing.run, found),
        _number(standing.figure, board.digits),
        _difference(standing, board.digits),
        _p(standing.p_holm),
        standing.verdict or DASH,
        str(standing.missing),
    ]


def _rank(standing: RankedRun, board: Ranking) -> str:
    if board.higher_is_better is None:
        return DASH
    if standing.best == standing.worst:
        return str(standing.best)
    return f"{standing.best}{DASH}{standing.worst}"


def _difference(standing: RankedRun, digits: int) -> str:
    if standing.difference is None:
        return DASH
    text = f"{half_up(standing.difference, digits):+}"
    if standing.interval is not None:
        low, high = (half_up(end, digits) for end in standing.interval)
        text += f" [{low:+}, {high:+}]"
    return text


def _number(value: float | None, digits: int) -> str:
    return DASH if value is None else str(half_up(value, digits))


def _p(value: float | None) -> str:
    if value is None:
        return DASH
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _remarks(found: Leaderboard) -> list[str]:
    coverage = f"{100 * (1 - found.alpha):g}"
    lines = [
        f"Differences are to {found.baseline}, paired, with {coverage} % intervals; verdicts, p "
        f"and ranks are corrected together over the {found.family} differences between any two "
        "runs (Holm).",
        f"Ranks stand in brackets; one such as 1{DASH}3 is a tie: these runs do not differ "
        "significantly. ▲ is better than the baseline and ▼ worse; ↓: lower is better.",
    ]
    lines += [told for board in found.rankings if (told := _best(board))]
    if found.left_out:
        lines.append(f"Not measured by every run, left out: {', '.join(found.left_out)}.")
    return lines + list(found.notes)


def _best(board: Ranking) -> str:
    """Say what is known of the best run once it is allowed for that it was picked."""
    rivals = [each for each in board.runs if each.difference is not None]
    if len(rivals) < 2 or board.higher_is_better is None or rivals[0].interval_corrected is None:
        return ""
    best, digits = rivals[0], board.digits
    low, high = (half_up(end, digits) for end in rivals[0].interval_corrected)
    text = (
        f"{board.benchmark} {board.column}: {best.run} has the best figure of {len(rivals)}; "
        f"allowing for that choice, its difference lies in [{low:+}, {high:+}] {board.unit}"
    )
    if best.pooled is not None and best.pooled_error is not None:
        reach = 1.96 * best.pooled_error
        value, low, high = (half_up(best.pooled + add, digits) for add in (0.0, -reach, reach))
        text += f"; partially pooled with the others it is {value:+} [{low:+}, {high:+}]"
    return f"{text}."


def _code(text: str) -> str:
    """Return foreign text as inline code in a table, where nothing can be escaped."""
    line = _visible(text).replace("`", "'").replace("|", "¦")
    return f"`{line}`"


def _escaped(text: str) -> str:
    return as_markdown(_visible(text))


def _visible(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
