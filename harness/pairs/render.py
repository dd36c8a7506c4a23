"""A pair report as text for a terminal, and its figures for every report."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.pairs.records import PairExample, PairReport


def pair_report_text(report: PairReport) -> str:
    """Return the report as plain lines, examples last."""
    lines = [f"{name}: {value}" for name, value in facts(report)]
    lines += [f"warning: {warning}" for warning in report.warnings]
    for example in report.examples:
        images = [str(image) for image in (example.image, *example.more_images) if image]
        lines += ["", f"[{example.id}] {', '.join(images) or 'no image'}"]
        for question, answer in example.history:
            lines += [f"  earlier question: {_line(question)}", f"  answer: {_line(answer)}"]
        lines += [f"  question: {_line(example.question)}"]
        lines += [f"  {name}: {_line(text)}" for name, text in _answers(example)]
    return "\n".join(lines) + "\n"


def facts(report: PairReport) -> list[tuple[str, str]]:
    """Return what is known of the pairs, as names and values in words."""
    dropped = ", ".join(f"{count} {reason}" for reason, count in sorted(report.dropped.items()))
    length = report.length
    found = [
        ("pairs", str(report.pairs)),
        *[(f"pairs with {name}", str(count)) for name, count in report.shapes],
        ("dropped", dropped or "none"),
        ("equal answers", f"{report.equal:.1%}"),
        ("nearly equal (at most a tenth of the words)", f"{report.near:.1%}"),
        ("words, chosen / rejected", f"{length.chosen:.1f} / {length.rejected:.1f}"),
    ]
    if length.longer is not None:
        found.append(("chosen is longer", f"{length.longer:.1%} (sign test p = {length.p:.2g})"))
    for guess in report.guesses:
        told = f"{guess.rate:.1%} of {guess.pairs}{_p(guess.p)}"
        found.append((f"ordered without the image, by {guess.name}", told))
    if report.reference is not None:
        rate, number = report.reference.rate, report.reference.pairs
        found.append(("chosen is closer to the reference", f"{rate:.1%} of {number}"))
    for change in report.changes:
        found.append(
            (
                f"changed by {change.name}",
                f"{change.distance:.1%} of the words, {change.equal:.1%} of {change.prompts} "
                f"answers unchanged, {change.near:.1%} nearly",
            )
        )
    return found + _critic_facts(report)


def _critic_facts(report: PairReport) -> list[tuple[str, str]]:
    judged = report.critic
    if judged is None:
        return []
    found = [
        ("verdicts", f"{judged.verdicts}, of which {judged.unparsable:.1%} unparsable"),
        ("ties (both answers equal)", f"{report.equal:.1%}"),
    ]
    if judged.first is not None:
        found.append(("critic prefers position 1", f"{judged.first:.1%}{_p(judged.first_p)}"))
    if judged.consistent is not None:
        found.append(("consistent in both orders", f"{judged.consistent:.1%} of {judged.both}"))
    return found


def _p(value: float | None) -> str:
    return "" if value is None else f" (p = {value:.2g})"


def _answers(example: PairExample) -> list[tuple[str, str]]:
    return [("chosen", example.chosen), *(("rejected", text) for text in example.rejected)]


def _line(text: str, width: int = 160) -> str:
    flat = " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
    return flat if len(flat) <= width else flat[: width - 1] + "…"
