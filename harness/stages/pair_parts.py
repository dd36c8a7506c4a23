"""The pair stage of one run, answered by several jobs beforehand.

A part lets the method ask about every ``count``-th prompt. All that counts of it is the answers, in
the store that all runs of a folder share: the stage itself then asks for the same, finds the
answers, and makes the pairs that it would have made alone. What no part has asked for, because it
was not run or because the method compares prompts with each other, the stage asks for.

What a part would make of the answers lies in ``RUN/.parts/K-of-N``, with a lock of its own, so that
a part that was killed goes on where it was. It is no record of the run, and in no bundle.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from harness import progress
from harness.context import Context, Plan
from harness.errors import UsageError
from harness.model import Model
from harness.pairs import PairSet, answer_prompts, make_pairs
from harness.storage import PARTS


@dataclass(frozen=True)
class PairPart:
    """The prompts of a run from the ``number``-th on, counted from 1, every ``count``-th."""

    number: int
    count: int

    @classmethod
    def read(cls, text: str) -> PairPart:
        """Read ``K/N``.

        Raises:
            UsageError: if it names no part.
        """
        found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text.strip())
        number, count = map(int, found.groups()) if found else (0, 0)
        if not 1 <= number <= count:
            raise UsageError(
                f"--part {text} names no part. Write K/N, the K-th of N parts, as in --part 1/4 "
                "to --part 4/4."
            )
        return cls(number, count)

    @classmethod
    def all_of(cls, count: int) -> tuple[PairPart, ...]:
        """Return all parts where there are so many; none where the stage is one job."""
        return tuple(cls(number + 1, count) for number in range(count)) if count > 1 else ()

    def __str__(self) -> str:
        """As it is typed."""
        return f"{self.number}/{self.count}"

    @property
    def name(self) -> str:
        """Of its folder and, after ``pairs-``, of its job."""
        return f"{self.number}-of-{self.count}"

    def check(self, plan: Plan) -> None:
        """Refuse a part that a run cannot have.

        Raises:
            UsageError: says what to change.
        """
        if plan.settings.rounds is not None:
            raise UsageError(
                "In rounds, pairs are made with the model that the round before trained, so they "
                "have no parts that could be answered beforehand. Leave --part out (in a recipe: "
                "parts of the resources), or --rounds."
            )
        if self.count > len(plan.prompts):
            raise UsageError(
                f"{len(plan.prompts)} prompts cannot be divided into {self.count} parts. Make "
                f"{len(plan.prompts)} parts or fewer."
            )

    def of(self, plan: Plan) -> Plan:
        """Return the plan with its prompts alone."""
        return replace(
            plan,
            prompts=plan.prompts[self.number - 1 :: self.count],
            dropped=(),
            part=(*plan.part, "pairs", self.number, self.count),
        )

    def folder(self, run: Path) -> Path:
        """Return where it lies in a run folder."""
        return run / PARTS / self.name


def parts_in(run: Path) -> tuple[PairPart, ...]:
    """Return the parts that were begun in a run folder."""
    names = (path.name.split("-of-") for path in (run / PARTS).glob("*-of-*"))
    found = (PairPart(int(n[0]), int(n[1])) for n in names if all(map(str.isdecimal, n)))
    return tuple(sorted(found, key=lambda part: (part.count, part.number)))


def answer_part(context: Context[Plan], model: Model, part: PairPart) -> None:
    """Let the method ask about the prompts of a part of a run, as far as that is not done.

    Raises:
        HarnessError: as :func:`harness.pairs.make_pairs`.
    """
    own = Context(part.of(context.plan), part.folder(context.folder), context.store)
    answer_prompts(own, model)


def pairs_after_parts(context: Context[Plan], model: Model) -> PairSet:
    """Make the pairs of a run, and say what its parts have left to be asked.

    Raises:
        HarnessError: as :func:`harness.pairs.make_pairs`.
    """
    asked = model.calls
    made = make_pairs(context, model)
    if parts_in(context.folder) and not made.reused:
        left = f"{model.calls - asked:,} requests had no answer from a part and were asked now"
        progress.say(f"pairs: {left if model.calls > asked else 'the store had every answer'}")
    return made


def part_folders(runs: Iterable[Path]) -> tuple[Path, ...]:
    """Return the folders in which parts of runs are at work, or were."""
    return tuple(part.folder(run) for run in runs for part in parts_in(run))
