"""What is known of the judge behind a comparison: frozen records with a JSON form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class JudgeError:
    """How much of a headline figure's uncertainty is the judge's own wavering.

    It is part of the figure's interval already, as the verdicts differ from row to row; here it
    stands by itself. More judgings make it smaller, more rows make the rest smaller.

    Attributes:
        benchmark: as in ``--bench``.
        column: a headline column of it.
        before: standard error that the judge gives the figure before, in the figure's unit.
        after: the same after.
        difference: the same of the difference; equal answers have equal verdicts and add nothing.
    """

    benchmark: str
    column: str
    before: float
    after: float
    difference: float


@dataclass(frozen=True)
class AnchorCheck:
    """How a judge scored the anchor answers of one benchmark.

    Attributes:
        benchmark: as in ``--bench``.
        anchors: how many there are.
        readable: of these, verdicts in the agreed form.
        expected: of these, scores within the range of a reliable judge.
        drift: mean change since the judge's first scores in this store, as a share of the scale;
            ``None`` where these are the first, or nothing had to be asked.
    """

    benchmark: str
    anchors: int
    readable: int
    expected: int
    drift: float | None


@dataclass(frozen=True)
class Judging:
    """What was judged, and by whom.

    Attributes:
        judge: as the user wrote it.
        models: what the judge called itself, or the hash of its weights.
        benchmarks: names of those that were judged.
        judgings: verdicts per answer.
        verdicts: answers with a verdict, both arms.
        missing: answers without one, both arms.
        reasons: why, the most frequent first, each with its number and one example.
        tokens_in: of the questions behind these verdicts, each counted once.
        tokens_out: of the replies.
        anchors: one check per benchmark.
        errors: the judge's part of the uncertainty; empty for a single judging.
        accepted: the judge failed anchors, and was accepted by name all the same.
        prompts: which prompts were not this project's own, one line each.
    """

    judge: str
    models: tuple[str, ...]
    benchmarks: tuple[str, ...]
    judgings: int
    verdicts: int
    missing: int
    tokens_in: int
    tokens_out: int
    reasons: tuple[str, ...] = ()
    anchors: tuple[AnchorCheck, ...] = ()
    errors: tuple[JudgeError, ...] = ()
    accepted: bool = False
    prompts: tuple[str, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether every anchor answer with a score was scored as expected."""
        return all(check.expected == check.readable for check in self.anchors)

    @property
    def agreement(self) -> str:
        """How many anchor answers were scored as expected, by benchmark, and the judge's drift."""
        return ", ".join(
            f"{check.benchmark} {check.expected} of {check.anchors}"
            + (f" (drift {check.drift:.1%})" if check.drift is not None else "")
            for check in self.anchors
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What every reader has to know of the judge, one line each."""
        named = f" ({', '.join(self.models)})" if self.models else ""
        lines = [f"Judged by {self.judge}{named}: {', '.join(self.benchmarks)}."]
        lines += self.prompts
        if self.missing:
            lines.append(
                f"{self.missing} of {self.verdicts + self.missing} verdicts are missing: "
                f"{'; '.join(self.reasons)}."
            )
        if self.anchors:
            lines.append(f"Anchor answers scored as expected: {self.agreement}.")
        if self.accepted:
            lines.append(
                "The judge fails anchor answers; its verdicts count because it was accepted by "
                "name (--accept-judge)."
            )
        if self.errors:
            parts = [f"{e.benchmark} {e.column} {e.difference:.2f}" for e in self.errors]
            lines.append(
                f"Standard error of the differences due to the judge itself, from "
                f"{self.judgings} judgings: {', '.join(parts)}."
            )
        return tuple(lines)
