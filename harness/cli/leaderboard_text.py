"""A leaderboard as a table for the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import Leaderboard, RankedRun, Ranking
from harness.cli.tables import text_table
from harness.errors import as_markdown
from harness.stats import half_up

_DASH = "–"
_HEAD = ("rank", "run", "figure", "difference", "p (Holm)", "verdict", "missing")


def leaderboard_text(found: Leaderboard) -> str:
    """Return plain text, one table for each column."""
    parts = []
    for board in found.rankings:
        rows = [_cells(standing, board, found) for standing in board.runs]
        parts.append("\n".join([_title(board), *text_table(rows, head=_HEAD)]))
    return "\n\n".join([*parts, "\n".join(_remarks(found))]) + "\n"


def leaderboard_markdown(found: Leaderboard) -> str:
    """Return GitHub-flavoured Markdown; names of runs stand in code, where they do no harm."""
    parts = []
    for board in found.rankings:
        lines = [f"### {_escaped(_title(board))}", "", _line(_HEAD), _line(["---"] * len(_HEAD))]
        for standing in board.runs:
            rank, run, *rest = _cells(standing, board, found)
            lines.append(_line([rank, _code(run), *map(_escaped, rest)]))
        parts.append("\n".join(lines))
    return (
        "\n\n".join([*parts, "\n".join(f"- {_escaped(note)}" for note in _remarks(found))]) + "\n"
    )


def _title(board: Ranking) -> str:
    better = {True: "higher is better", False: "lower is better", None: "neither is better"}
    return (
        f"{board.benchmark} {board.column} ({board.samples} rows, {board.clusters} images; "
        f"{better[board.higher_is_better]})"
    )


def _cells(standing: RankedRun, board: Ranking, found: Leaderboard) -> list[str]:
    return [
        _rank(standing, board),
        standing.run + (" (baseline)" if standing.run == found.baseline else ""),
        _number(standing.figure, board.digits),
        _difference(standing, board.digits),
        _p(standing.p_holm),
        standing.verdict or _DASH,
        str(standing.missing),
    ]


def _rank(standing: RankedRun, board: Ranking) -> str:
    if board.higher_is_better is None:
        return _DASH
    if standing.best == standing.worst:
        return str(standing.best)
    return f"{standing.best}{_DASH}{standing.worst}"


def _difference(standing: RankedRun, digits: int) -> str:
    if standing.difference is None:
        return _DASH
    text = f"{half_up(standing.difference, digits):+}"
    if standing.interval is not None:
        low, high = (half_up(end, digits) for end in standing.interval)
        text += f" [{low:+}, {high:+}]"
    return text


def _number(value: float | None, digits: int) -> str:
    return _DASH if value is None else str(half_up(value, digits))


def _p(value: float | None) -> str:
    if value is None:
        return _DASH
    return "<0.001" if value < 0.001 else f"{value:.3f}"


def _remarks(found: Leaderboard) -> list[str]:
    coverage = f"{100 * (1 - found.alpha):g}"
    lines = [
        f"Differences are to {found.baseline}, paired, with {coverage} % intervals; verdicts, p "
        f"and ranks are corrected together over the {found.family} differences between any two "
        "runs (Holm).",
        f"A rank such as 1{_DASH}3 is a tie: these runs do not differ significantly.",
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
