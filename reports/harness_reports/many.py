"""One page over several runs: how they rank, figure by figure, and every run against every other.

The page is as closed as that of one run (:mod:`harness_reports.templates`); it links to the samples
of the runs' own pages, where these lie beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from harness.analysis import (
    Leaderboard,
    Overview,
    RankedRun,
    Ranking,
    RunPair,
    Standing,
    conclusion,
    standings,
)
from harness.records import distinct
from harness.storage import write_whole
from harness_reports import numbers, plots, rounds, side_by_side, table, templates, words

_MIRRORED = {"gain": "loss", "loss": "gain"}


@dataclass(frozen=True)
class Tally:
    """One run over all headline figures, and what its training took.

    Attributes:
        standing: of the run.
        seeds: how many trainings.
        pairs: that it was trained on; ``None`` where nothing is known of a training.
        steps: of the optimiser.
    """

    standing: Standing
    seeds: int
    pairs: int | None
    steps: int | None

    @property
    def run(self) -> str:
        """Name of the run."""
        return self.standing.run


@dataclass(frozen=True)
class Figure:
    """Everything about one ranking: its drawing, and a cell for each run against each other."""

    ranking: Ranking
    forest: str
    against: tuple[tuple[str, tuple[tuple[str, str], ...]], ...]


def write(overview: Overview, file: Path) -> Path:
    """Write the page.

    Raises:
        HarnessError: if it cannot be written.
    """
    return write_whole(file, render(overview))


def render(overview: Overview) -> str:
    """Return the page."""
    from markupsafe import Markup

    board = overview.board
    tallies = list(_tallies(overview))
    order = [each.run for each in tallies]
    beside = side_by_side.table_of(overview, order)
    curves = {name: overview.runs[name].curves for name in order if name in overview.runs}
    places = {name: number for number, name in enumerate(order, 1)}
    pictures = {
        name: templates.inside(picture)
        for name, picture in side_by_side.pictures_of(overview, beside["rows"]).items()
    }
    return templates.page(
        "many",
        pictures.values(),
        board=board,
        answer=conclusion(board),
        settings=_settings(overview),
        runs=list(overview.runs),
        notes=board.notes,
        coverage=f"{100 * (1 - board.alpha):g}",
        tallies=tallies,
        figures=list(_figures(board, order)),
        beside=Markup(templates.script_json(beside)),
        pictures=Markup(templates.script_json(pictures)),
        benches=[(n, beside["benches"][n]) for n in distinct(row[0] for row in beside["rows"])],
        count=len(beside["rows"]),
        curves=Markup(plots.overlaid(curves, places)),
        lasts=plots.lasts(curves),
        costs=Markup(plots.costs(_costs(overview, tallies, places))),
        rounds=[
            (name, rounds.head(run), rounds.rows(run), Markup(plots.rounds(rounds.lines(run), n)))
            for n, (name, run) in enumerate(overview.runs.items(), 1)
            if run.rounds is not None
        ],
        marks=table.SIGNS,
        rank=_rank,
        address=lambda run, bench: _address(overview.pages, run, bench),
        records=Markup(templates.script_json(list(_records(board, tallies)))),
    )


def _tallies(overview: Overview) -> Iterator[Tally]:
    for standing in standings(overview.board):
        run = overview.runs.get(standing.run)
        effect = run.training if run is not None else None
        yield Tally(
            standing,
            seeds=max(1, len(run.seeds)) if run is not None else 1,
            pairs=run.pairs if run is not None and run.comparison is not None else None,
            steps=effect.steps if effect is not None else None,
        )


def _settings(overview: Overview) -> list[tuple[str, list[str]]]:
    """Return what was set otherwise in one run than in another, a cell for each run."""
    told = [dict(words.settings(run)) for run in overview.runs.values()]
    names = distinct(name for each in told for name in each)
    rows = [(name, [each.get(name, numbers.DASH) for each in told]) for name in names]
    return [(name, cells) for name, cells in rows if len(set(cells)) > 1]


def _figures(board: Leaderboard, order: Sequence[str]) -> Iterator[Figure]:
    from markupsafe import Markup

    by_place: dict[tuple[str, str], dict[tuple[str, str], RunPair]] = {}
    for pair in board.pairs:
        by_place.setdefault((pair.benchmark, pair.column), {})[pair.first, pair.second] = pair
    for number, ranking in enumerate(board.rankings, 1):
        pairs = by_place.get((ranking.benchmark, ranking.column), {})
        yield Figure(
            ranking,
            Markup(_forest(board, ranking, number)),
            tuple(
                (one, tuple(_cell(one, two, pairs, ranking.digits) for two in order))
                for one in order
            ),
        )


def _cell(
    one: str, two: str, pairs: Mapping[tuple[str, str], RunPair], digits: int
) -> tuple[str, str]:
    """Return what the run of a row is against that of a column, and which way it was decided."""
    pair = pairs.get((two, one))
    if pair is not None:
        return numbers.difference(pair.difference, pair.interval, digits), pair.verdict
    pair = pairs.get((one, two))
    if pair is None or pair.difference is None:
        return (numbers.DASH if one != two else ""), ""
    ends = (-pair.interval[1], -pair.interval[0]) if pair.interval is not None else None
    verdict = _MIRRORED.get(pair.verdict, "" if pair.verdict == "no worse" else pair.verdict)
    return numbers.difference(0 - pair.difference, ends, digits), verdict


def _forest(board: Leaderboard, ranking: Ranking, number: int) -> str:
    found = [
        plots.whisker(
            each.run,
            each,
            ranking.margin,
            better=ranking.higher_is_better,
            percent=board.terms.margin_of(ranking.benchmark),
            digits=ranking.digits,
            unit=ranking.unit,
        )
        for each in ranking.runs
    ]
    return plots.forest_of([each for each in found if each is not None], f"forest{number}")


def _costs(
    overview: Overview, tallies: Sequence[Tally], places: Mapping[str, int]
) -> list[plots.Cost]:
    """Return gain by optimiser steps, figure by figure, of the runs that recorded a training."""
    steps = {each.run: each.steps for each in tallies if each.steps}
    if len(set(steps.values())) < 2:
        return []
    found = []
    for ranking in overview.board.rankings:
        percent = overview.board.terms.margin_of(ranking.benchmark)
        if not ranking.margin or ranking.higher_is_better is None:
            continue
        scale = percent / ranking.margin * (1 if ranking.higher_is_better else -1)
        points = tuple(
            (steps[each.run], scale * each.difference, each.verdict, str(places[each.run]))
            for each in ranking.runs
            if each.run in steps and each.difference is not None
        )
        if points:
            found.append(plots.Cost(f"{ranking.benchmark} {ranking.column}", points))
    return found


def _rank(each: RankedRun, ranking: Ranking) -> str:
    if ranking.higher_is_better is None:
        return numbers.DASH
    return f"{each.best}" if each.best == each.worst else f"{each.best}–{each.worst}"


def _address(pages: Mapping[str, str], run: str, bench: str) -> str:
    """Return where the samples of a run that changed sides in a benchmark are shown."""
    return f"{pages[run]}#show?bench={quote(words.visible(bench), safe='')}" if run in pages else ""


def _records(board: Leaderboard, tallies: Sequence[Tally]) -> Iterator[dict[str, Any]]:
    """Return what the page exports: a row for each run and figure."""
    for tally in tallies:
        for ranking, each in zip(board.rankings, tally.standing.cells, strict=True):
            low, high = each.interval or (None, None)
            yield {
                "run": words.visible(each.run),
                "benchmark": words.visible(ranking.benchmark),
                "column": words.visible(ranking.column),
                "unit": words.visible(ranking.unit),
                "figure": each.figure,
                "baseline": words.visible(board.baseline),
                "difference": each.difference,
                "low": low,
                "high": high,
                "p_holm": each.p_holm,
                "verdict": each.verdict,
                "rank_best": each.best,
                "rank_worst": each.worst,
                "rows": ranking.samples,
                "images": ranking.clusters,
                "missing": each.missing,
                "pairs": tally.pairs,
                "steps": tally.steps,
                "seeds": tally.seeds,
            }
