"""Pair diagnostics: what would training on these pairs teach? Asked before, not after.

:func:`diagnose` is a pure function of pairs and drops. :func:`diagnose_run` reads a run folder, and
:func:`pair_report_text` shows the result. A method helps by writing two things into ``meta``:

- ``changes``: by corruption, the part of the words that changed (:func:`word_distance`);
- ``critic``: per verdict ``{"first": label, "verdict": 1 | 2 | null}``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.dpo import BY_IMAGE, kinds_of
from harness.errors import HarnessError
from harness.pairs.given import Given, read_given, shapes_of
from harness.pairs.measures import (
    Critic,
    Guess,
    LengthGap,
    PairExample,
    PairReport,
    changes,
    critic,
    guesses,
    length_gap,
    near_equal,
    reference_agreement,
)
from harness.pairs.tables import located
from harness.records import Drop, Pair, from_json, seed_of
from harness.storage import Journal, parse_json

if TYPE_CHECKING:
    from harness.pairs.measures import PairExample, PairReport


EXAMPLES = 10

SURE = 0.01
MOSTLY = 0.65
MANY_CUT = 0.05


def diagnose(
    pairs: Sequence[Pair],
    drops: Sequence[Drop] = (),
    *,
    seed: int = 0,
) -> PairReport:
    """Examine pairs before they are trained on.

    Args:
        pairs: as the pair stage gives them, equal answers taken out.
        drops: the prompts that gave no pair.
        seed: draws the examples.

    Raises:
        HarnessError: if there are no pairs.
    """
    if not pairs:
        raise HarnessError(
            "There are no pairs to examine. See dropped.jsonl in the run folder for the reasons."
        )
    reasons = Counter(drop.reason for drop in drops)
    pairs = [by_text(pair) for pair in pairs]
    metas = [*(pair.meta for pair in pairs), *(drop.meta for drop in drops)]
    found = tuple(guesses(pairs))
    equal = reasons["equal"] / (len(pairs) + len(drops))
    length, judged = length_gap(pairs), critic(metas)
    changed = changes(metas)
    return PairReport(
        pairs=len(pairs),
        dropped=dict(reasons),
        equal=equal,
        near=near_equal(pairs),
        length=length,
        guesses=found,
        reference=reference_agreement(pairs),
        changes=changed,
        critic=judged,
        warnings=(
            *_cut(reasons, len(pairs) + len(drops)),
            *_warnings(equal, length, found, judged),
        ),
        examples=_examples(pairs, seed),
        shapes=shapes_of([pair.prompt for pair in pairs]),
    )


def by_text(pair: Pair) -> Pair:
    """Return a pair without the answers that are rejected by their image, where it has others."""
    kept = [at for at, kind in enumerate(kinds_of(pair)) if kind != BY_IMAGE] if pair.sides else []
    return pair.arranged(kept) if len(kept) > 1 else pair


def diagnose_run(folder: Path, *, seed: int = 0) -> PairReport:
    """Examine the pairs of a run folder.

    Raises:
        HarnessError: if the folder has no finished ``pairs.jsonl``, or no pairs.
    """
    pairs, drops = read_pairs(folder)
    return diagnose(pairs, drops, seed=seed)


def open_pairs(source: str, images: Path | None, keep: Path, *, allow_urls: bool) -> Given:
    """Return the pairs of a run's folder, or those in a file or the folder of a data set.

    Args:
        source: which.
        images: where a file's image paths begin.
        keep: folder for images that lie in a table or behind an address.
        allow_urls: whether addresses are fetched.

    Raises:
        UsageError: if there is no such file or folder.
        HarnessError: if it holds no pairs.
    """
    path = located(source, "harness pairs")
    if path.name == "pairs.jsonl" and (path.parent / "settings.json").exists():
        path = path.parent
    if path.is_dir() and ((path / "pairs.jsonl").exists() or (path / "settings.json").exists()):
        pairs, drops = read_pairs(path)
        return Given(tuple(pair.prompt for pair in pairs), (*pairs, *drops))
    return read_given(path, images=images, keep=keep, allow_urls=allow_urls)


def pairs_fingerprint(folder: Path) -> str:
    """Return the fingerprint of everything that a run's pairs were made from.

    Raises:
        HarnessError: if the folder has no ``pairs.jsonl``.
    """
    try:
        with (Path(folder) / "pairs.jsonl").open("rb") as file:
            return str(parse_json(file.readline())["fingerprint"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise HarnessError(
            f"{folder} has no pairs.jsonl that can be read ({error}). Name the folder of a run, "
            "for example: harness pairs runs/seva-tinyworld-1a2b3c4d"
        ) from error


def read_pairs(folder: Path) -> tuple[list[Pair], list[Drop]]:
    """Return the pairs of a run and the prompts that gave none.

    Raises:
        HarnessError: if the folder has no finished ``pairs.jsonl``.
    """
    path = Path(folder) / "pairs.jsonl"
    journal: Journal[Pair | Drop] = Journal(path, pairs_fingerprint(folder), _record)
    if not journal.complete:
        raise HarnessError(
            f"{path} is unfinished after its record {len(journal.rows)}. Run the command that "
            "wrote it again; it goes on from there."
        )
    pairs = [row for row in journal.rows if isinstance(row, Pair)]
    return pairs, [row for row in journal.rows if isinstance(row, Drop)]


def _examples(pairs: Sequence[Pair], seed: int) -> tuple[PairExample, ...]:
    drawn = sorted(pairs, key=lambda pair: seed_of(seed, "example", pair.prompt.id))[:EXAMPLES]
    return tuple(
        PairExample(
            pair.prompt.id,
            pair.prompt.image,
            pair.prompt.question,
            pair.chosen,
            pair.rejected,
            dict(pair.meta.get("changes") or {}),
            more_images=pair.prompt.more_images,
            history=pair.prompt.history,
        )
        for pair in drawn
    )


def _cut(reasons: Counter[str], records: int) -> list[str]:
    share = reasons["cut"] / records
    if share < MANY_CUT:
        return []
    return [
        f"{share:.0%} of the prompts gave no pair, because an answer was cut by its limit of "
        "tokens: raise it with --set max_new_tokens=N, or train on them without an end token with "
        "--set cut=keep."
    ]


def _warnings(
    equal: float, length: LengthGap, found: Sequence[Guess], judged: Critic | None
) -> list[str]:
    told = []
    if length.longer is not None and length.p is not None and length.p < SURE:
        part = max(length.longer, 1 - length.longer)
        if part >= MOSTLY:
            word = "longer" if length.longer > 0.5 else "shorter"
            told.append(
                f"The chosen answer is {word} in {part:.0%} of the pairs (p = {length.p:.2g}): "
                "training on them would mostly teach length. Compare with --set loss=dpo_norm, "
                "and look at the answer lengths before and after."
            )
    for one in found:
        blind = one.name in ("words", "blank image", "question")
        if blind and one.p is not None and one.p < SURE and one.rate >= MOSTLY:
            told.append(
                f"A guess that never sees the image ('{one.name}') orders {one.rate:.0%} of the "
                "pairs correctly: much of what they teach is in the text alone."
            )
    if equal > 0.5:
        told.append(
            f"{equal:.0%} of the answers came out equal and gave no pair: the difference between "
            "the two ways of asking is too weak."
        )
    # Of a critic that always says the same the p value is so small that it is stored as zero.
    certain = judged is not None and judged.first_p is not None and judged.first_p < SURE
    if judged is not None and judged.first is not None and certain:
        part = max(judged.first, 1 - judged.first)
        if part >= MOSTLY:
            place = "first" if judged.first > 0.5 else "second"
            told.append(
                f"The critic prefers whatever is shown {place} ({part:.0%} of its verdicts). "
                "Judge both orders with --set order=both."
            )
    return told


def _record(row: dict[str, Any]) -> Pair | Drop:
    kind: type[Pair] | type[Drop] = Drop if "reason" in row else Pair
    return from_json(kind, row)


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
