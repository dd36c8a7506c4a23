"""A plan as text."""

from __future__ import annotations

from collections.abc import Sequence

from harness.analysis import CAUTIOUS, TYPICAL, Cost, Detectable, Estimate
from harness.cli.tables import DASH, text_table, time_of
from harness.stats import CURVE, half_up

_MDD = ("column", "rows", "images", "MDD", "corrected", "cautious")
_FOR = ("2 %: rows", "2 %: images", "2 %: seeds")
_CURVE = ("power after correction", *(f"{percent:g} %" for percent in CURVE))
_NEVER = "none"
_TAKES = ("benchmark", "answers", "time", "judge questions", "judge tokens in")


def power_text(found: Estimate) -> str:
    """Return two tables and what they rest on."""
    costs = {cost.benchmark: cost for cost in found.costs}
    reached = [_reach(reach, costs[reach.benchmark]) for reach in found.detectable]
    mdd = _table(reached, (*_MDD, *_FOR))
    known = [reach for reach in found.detectable if reach.power]
    curve = _table([_power(reach) for reach in known], _CURVE) if known else []
    take = _table([_cost(cost) for cost in found.costs], _TAKES)
    parts = [
        "Minimum detectable difference (MDD): the true difference that is detected with 80 % power",
        *mdd,
        "",
        *curve,
        *([""] if curve else []),
        *_basis(found),
        "",
    ]
    parts += ["What both evaluations take", *take, "", *_terms(found)]
    return "\n".join(parts) + "\n"


def _reach(reach: Detectable, cost: Cost) -> tuple[str, ...]:
    mark = " (rough)" if reach.source == "rough" else ""
    known = bool(reach.power)
    return (
        f"{reach.benchmark} {reach.column}{mark}",
        _count(cost.rows),
        _count(cost.images),
        _number(reach.mdd, reach, known),
        _number(reach.mdd_corrected, reach, known),
        _number(reach.mdd_conservative, reach, known and cost.images and reach.source != "run"),
        _count(reach.rows_needed),
        _count(reach.images_needed),
        _count(reach.seeds_needed),
    )


def _power(reach: Detectable) -> tuple[str, ...]:
    return (f"{reach.benchmark} {reach.column}", *(f"{100 * p:.0f} %" for _, p in reach.power))


def _cost(cost: Cost) -> tuple[str, ...]:
    answers = 2 * cost.rows if cost.rows is not None else None
    return (
        cost.benchmark,
        _count(answers),
        time_of(cost.seconds),
        _count(cost.questions) if cost.judged else "none",
        _count(cost.tokens) if cost.judged else "none",
    )


def _basis(found: Estimate) -> list[str]:
    lines = []
    if any(reach.source == "run" for reach in found.detectable):
        lines.append(
            f"From {found.source}: how far single images moved, in either direction, simulated for "
            "the planned number of images."
        )
    if any(reach.source == "assumed" for reach in found.detectable):
        lines.append(
            f"Assumed: {100 * TYPICAL:g} % of the rows change sides, each for itself; cautious: "
            f"{100 * CAUTIOUS:g} % do, and rows of one image move together. A run named with "
            "--from replaces both."
        )
    if any(reach.source == "rough" for reach in found.detectable):
        lines.append(
            f"Rough: the figure is no mean of rows; {100 * TYPICAL:g} % of the images (of the "
            "rows, where images were not counted) are taken to change by the whole scale."
        )
    lines.append(
        f"Corrected: at its most severe over the {found.family} headline columns of the plan."
    )
    lines.append(
        "2 %: what it takes to detect two hundredths of the scale after correction. The power is "
        "that of a true difference of so many hundredths of the scale. "
        f"'{_NEVER}': no difference of any size is detectable; a dash: not known, or no number "
        "does it."
    )
    if not found.seed_spread_known:
        lines.append(
            "Seeds: how much trainings with other seeds differ is not known here; name a run of "
            "several seeds with --from. Until then the differences above hold for one training."
        )
    elif found.seeds == 1:
        lines.append(
            "One seed is planned: a comparison of one training says nothing of other seeds. Plan "
            "more with --seeds."
        )
    counted: dict[str, list[str]] = {}
    for cost in found.costs:
        counted.setdefault(cost.counted, []).append(cost.benchmark)
    return lines + [f"Rows of {', '.join(names)}: {how}." for how, names in counted.items()]


def _terms(found: Estimate) -> list[str]:
    lines = []
    if found.seconds is not None:
        lines.append(
            f"Together at most {time_of(found.seconds)} at the throughput of {found.source}; rows "
            "that repeat a question on an image are answered once."
        )
    elif found.source is not None:
        slow = ", ".join(cost.benchmark for cost in found.costs if cost.seconds is None)
        lines.append(
            f"{found.source} recorded no throughput of {slow}: it asked no model about it."
        )
    else:
        lines.append(
            "Time is estimated from the throughput of an earlier run: name one with --from."
        )
    lines.append("Making pairs and training are not in it.")
    if any(cost.judged for cost in found.costs):
        lines.append(
            "Judge questions are asked only with --judge; tokens at four letters each, without "
            "the judge's instructions and replies."
        )
    return lines


def _table(rows: Sequence[Sequence[str]], head: Sequence[str]) -> list[str]:
    return text_table(rows, head=head, right=range(1, len(head)))


def _count(value: int | None) -> str:
    return DASH if value is None else str(value)


def _number(value: float | None, reach: Detectable, known: object) -> str:
    if value is None:
        return _NEVER if known else DASH
    return str(half_up(value, reach.digits))
