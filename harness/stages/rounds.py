"""Pairs and training, once or in rounds: each round with the model that the one before made.

A round lies in ``RUN/rounds/N`` and looks like a run folder: its pairs, its checkpoint and, where
it was evaluated, its answers. The stages find their finished work there as they do in a run, so a
run that was killed in any round continues from there. Between rounds the updates are added in
float32: the adapters are joined into one on the base (``RUN/rounds/N/checkpoint/joined``), and the
next round trains on base and joined adapter merged, which lies there only as long as it is trained
on.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from harness import dpo, progress
from harness.context import Context, Plan
from harness.engine import checkpoint_digest, is_unchanged
from harness.errors import HarnessError, UsageError
from harness.pairs import PairReport, PairSet, make_pairs, pair_diagnostics
from harness.records import Pair, fingerprint, seed_of
from harness.settings import BASE, FRESH, RoundSettings
from harness.stages.training import TRAINING, Checkpoint, is_kept, train
from harness.storage import Memo, files_digest, write_json

JOINED, MERGED = "joined", "merged"
_MERGED_ON = 16
_SEEDS = 2**31
_LAST = ("pairs.jsonl", "dropped.jsonl", "pair_report.json")
_TRAINED = ("curves.jsonl", "effect.json")
"""Files of the last round that stand for the run."""


@dataclass(frozen=True)
class RoundFigure:
    """One headline column after one round, against the model before the first.

    The difference is after minus before; its interval is paired and uncorrected.
    """

    benchmark: str
    column: str
    unit: str
    digits: int
    higher_is_better: bool | None
    before: float | None
    after: float | None
    difference: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True)
class Round:
    """What one round was made of, and what it came to.

    Attributes:
        number: from 1 on.
        prompts: how many were asked.
        pairs: how many they gave.
        replayed: pairs of earlier rounds that were trained on too.
        dropped: prompts without a pair, by reason.
        training: what the training did; ``None`` for a method that trains in its own way.
        figures: headline figures of its model; empty where it was not evaluated.
    """

    number: int
    prompts: int
    pairs: int
    replayed: int
    dropped: Mapping[str, int]
    training: dpo.TrainingEffect | None = None
    figures: tuple[RoundFigure, ...] = ()


@dataclass(frozen=True)
class Rounds:
    """All rounds of a run, in their order, and how they were asked for."""

    asked: RoundSettings
    each: tuple[Round, ...]

    @property
    def evaluated(self) -> tuple[int, ...]:
        """Numbers of the rounds before the last that have answers of their own."""
        return tuple(each.number for each in self.each if each.figures)[:-1]

    @property
    def note(self) -> str:
        """One sentence for a reader."""
        asked = self.asked
        base = "the model before the first round"
        whom = base if asked.reference == BASE else "the model of the round before"
        which = "prompts of its own" if asked.prompts == FRESH else "all prompts"
        text = (
            f"Trained in {asked.count} rounds, each on pairs that the model of the round before "
            f"made of {which}; the reference of the training is {whom}. Pairs and training figures "
            f"are those of the last round; before is {base}."
        )
        if asked.replay:
            text += f" Later rounds also train on {asked.replay:.0%} of the pairs of earlier ones."
        if any(each.figures for each in self.each):
            text += (
                " Figures of single rounds are uncorrected: the best of several rounds looks "
                "better than it is."
            )
        return text


@dataclass(frozen=True)
class Trained:
    """What pairs and training came to.

    Pairs, and what they would teach, are those of the last round. The checkpoint is an adapter for
    the model before, or a model. ``models`` are the checkpoints of every round but the last, as
    ``with_adapter`` takes them; ``calls`` counts requests that reached the models of later rounds.
    """

    pairs: PairSet
    doctor: PairReport
    checkpoint: Checkpoint
    rounds: Rounds | None = None
    models: Mapping[int, Path] = field(default_factory=dict)
    calls: int = 0


def round_folder(folder: Path, number: int) -> Path:
    """Return where a round of a run lies."""
    return folder / "rounds" / str(number)


def check_rounds(plan: Plan) -> None:
    """Refuse rounds that could not be made.

    Raises:
        UsageError: says which option to change.
    """
    asked = plan.settings.rounds
    if asked is None:
        if plan.settings.eval_rounds:
            raise UsageError("--eval-rounds evaluates single rounds; give --rounds N with it.")
        return
    if asked.prompts == FRESH and len(plan.prompts) < asked.count:
        raise UsageError(
            f"--round-prompts fresh parts {len(plan.prompts)} prompts among {asked.count} rounds, "
            "which leaves one without any. Give more prompts, or --round-prompts same."
        )
    if asked.reference == BASE and dpo.training_of(plan.method, plan.options) is None:
        raise UsageError(
            f"--round-reference base changes the reference of dpo.train, and the method "
            f"'{plan.method.name}' trains in its own way. Leave the option out."
        )


def align(context: Context[Plan], model: Any) -> Trained:
    """Make pairs and train on them, as often as was asked.

    Raises:
        HarnessError: if a round makes no pairs or cannot be trained; it says which. Everything
            finished stays on disk.
    """
    if context.plan.settings.rounds is None:
        pairs = make_pairs(context, model)
        return Trained(pairs, pair_diagnostics(context), train(context, pairs.pairs, model))
    return _Rounds(context, model, context.plan.settings.rounds).run()


@dataclass(frozen=True)
class _Rounds:
    """The rounds of one run; ``base`` is the model before the first."""

    context: Context[Plan]
    base: Any
    asked: RoundSettings

    def run(self) -> Trained:
        rounds: list[Round] = []
        earlier: list[Pair] = []
        trained: list[Checkpoint] = []
        models: dict[int, Path] = {}
        current, calls = self.base, 0
        for number in range(1, self.asked.count + 1):
            own = self._context(number)
            progress.say(f"Round {number} of {self.asked.count}.")
            try:
                pairs = make_pairs(own, current)
                doctor = pair_diagnostics(own)
                again = _drawn(earlier, self.asked.replay, own.plan.seed)
                start = partial(self._start, number - 1, trained, pairs.pairs)
                checkpoint = train(own, (*pairs.pairs, *again), current, start=start)
                self._refuse_same(checkpoint, trained)
            except HarnessError as error:
                raise type(error)(f"Round {number} of {self.asked.count}: {error}") from error
            shutil.rmtree(self._place(number - 1) / MERGED, ignore_errors=True)
            calls += current.calls if current is not self.base else 0
            trained.append(checkpoint)
            earlier += pairs.pairs
            models[number] = self._model(number, trained)
            current = self.base.with_adapter(models[number])
            counts = (pairs.prompts, len(pairs.pairs), len(again), pairs.dropped)
            rounds.append(Round(number, *counts, dpo.read_effect(own.folder)))
        last = self._published(own.folder, models.pop(self.asked.count), trained)
        reused = pairs.reused and all(each.reused for each in trained)
        return Trained(
            replace(pairs, reused=reused),
            doctor,
            last,
            Rounds(self.asked, tuple(rounds)),
            models,
            calls,
        )

    def _context(self, number: int) -> Context[Plan]:
        """Return what a round works on; the first has the run's own seed."""
        plan, asked = self.context.plan, self.asked
        prompts = plan.prompts
        if asked.prompts == FRESH:
            prompts = prompts[number - 1 :: asked.count]
        seed = plan.seed if number == 1 else seed_of(plan.seed, "round", number) % _SEEDS
        own = replace(
            plan,
            prompts=prompts,
            dropped=plan.dropped if number == 1 else (),
            seed=seed,
            settings=replace(plan.settings, seed=seed),
            part=("round", number, asked.prompts, len(prompts), asked.reference),
        )
        folder = round_folder(self.context.folder, number)
        return Context(own, folder, self.context.store)

    def _place(self, number: int) -> Path:
        return round_folder(self.context.folder, number) / "checkpoint"

    def _start(self, number: int, trained: Sequence[Checkpoint], pairs: Sequence[Pair]) -> Any:
        """Return the model that training begins with, after a number of rounds.

        Training sees no adapter but its own, so those before are merged, unless the reference is
        the base: then the adapter itself is trained on.
        """
        if not number:
            return self.base
        model = self.base.with_adapter(self._model(number, trained))
        if model.adapter is None or self.asked.reference == BASE:
            return model
        self.base.release()  # what is trained on takes the memory
        out = self._place(number) / MERGED
        memo = Memo(out.with_name(f"{MERGED}.json"))
        stamp = fingerprint([each.digest for each in trained])
        if not is_kept(memo, stamp, out):
            part = out.with_name(f"{MERGED}.part")
            for old in (part, out):
                shutil.rmtree(old, ignore_errors=True)
            some, protocol = pairs[:_MERGED_ON], self.base.protocol
            dpo.merge(
                self.base.path, model.adapter, part, dtype="float32", pairs=some, protocol=protocol
            )
            part.rename(out)
            memo.write(stamp, files=checkpoint_digest(out))
        return self.base.with_adapter(out)

    def _model(self, number: int, trained: Sequence[Checkpoint]) -> Path:
        """Return the checkpoint after a number of rounds, as the base takes it."""
        last = trained[number - 1]
        since = [each.path for each in trained[:number]]
        if not last.adapter or self.asked.reference == BASE or number == 1:
            return last.path
        if not all(each.adapter for each in trained[:number]):
            raise HarnessError(
                f"The method '{self.context.plan.method.name}' left a model in one round and an "
                "adapter in another, which cannot be put together. It must leave the same kind."
            )
        out = self._place(number) / JOINED
        memo = Memo(out.with_name(f"{JOINED}.json"))
        stamp = fingerprint([each.digest for each in trained[:number]])
        if not is_kept(memo, stamp, out):
            shutil.rmtree(out, ignore_errors=True)
            if not dpo.join(since, out):
                raise HarnessError(
                    f"The adapters of the method '{self.context.plan.method.name}' are no plain "
                    "LoRA (one rank, no DoRA, no bias), so those of several rounds cannot be put "
                    "together. Train without these, or without --rounds."
                )
            memo.write(stamp, files=checkpoint_digest(out))
        return out

    def _refuse_same(self, checkpoint: Checkpoint, trained: Sequence[Checkpoint]) -> None:
        """Refuse a round that continues an adapter and does not change it."""
        if self.asked.reference == BASE and trained and checkpoint.adapter:
            prints = [
                files_digest(each.path, sorted(each.path.glob("*.safetensors")))
                for each in (checkpoint, trained[-1])
            ]
            if prints[0] == prints[1]:
                raise HarnessError(
                    "The training changed no weight of the round before. Raise learning_rate or "
                    "epochs, or make fewer rounds."
                )

    def _published(self, own: Path, path: Path, trained: Sequence[Checkpoint]) -> Checkpoint:
        """Put the last round's files where those of a run without rounds lie."""
        folder, last = self.context.folder, trained[-1]
        for name in _LAST:
            if (own / name).is_file():
                _copied(own / name, folder / name)
        for picture in (own / "images").glob("*.webp"):
            _copied(picture, folder / "images" / picture.name)
        place = folder / "checkpoint"
        for name in _TRAINED:
            if (own / "checkpoint" / name).is_file():
                _copied(own / "checkpoint" / name, place / name)
        out = place / ("adapter" if last.adapter else "model")
        digest = checkpoint_digest(path)
        if not is_unchanged(out, digest):
            part = out.with_name(f"{out.name}.part")
            for old in (part, out):
                shutil.rmtree(old, ignore_errors=True)
            shutil.copytree(path, part)
            part.rename(out)
        kept: dict[str, Any] = {"files": digest, "path": out.relative_to(folder).as_posix()}
        stamp = fingerprint([each.digest for each in trained])
        write_json(folder / TRAINING, {"fingerprint": stamp, "adapter": last.adapter, **kept})
        return Checkpoint(out, digest, last.adapter, all(each.reused for each in trained))


def _copied(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    shutil.copyfile(source, part)
    part.replace(target)


def _drawn(pairs: Sequence[Pair], share: float, seed: int) -> tuple[Pair, ...]:
    """Draw a share of the pairs by seed, in their order."""
    keyed = sorted(
        range(len(pairs)), key=lambda at: seed_of(seed, "replay", at, pairs[at].prompt.id)
    )
    return tuple(pairs[at] for at in sorted(keyed[: round(share * len(pairs))]))
