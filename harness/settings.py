"""Everything the user can ask of a run, in one frozen record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from harness.errors import UsageError
from harness.records import LATER, Bounds

EMBEDDED = "tinyworld"
OWN = "own"
BUILTIN = "builtin"
SAME, FRESH = "same", "fresh"
PREVIOUS, BASE = "previous", "base"


@dataclass(frozen=True)
class JudgeSettings:
    """Who judges open answers, and what that may take.

    Attributes:
        judge: ``"builtin"``, ``openai:MODEL[@URL]`` or ``hf:PATH_OR_ID``.
        judgings: verdicts per answer, of which the mean counts.
        rpm: most requests per minute to a server.
        price: of a million tokens in and out.
        cap: money after which nothing more is asked.
        accept_drift: go on with a judge that has changed, and judge everything anew.
        accept_judge: the judge, named once more: its verdicts count although its anchors fail.
        thinking: tokens that a judge behind a server may think before it replies.
        prompts: ``BENCH=FILE`` texts: prompts in the place of this project's own.
    """

    judge: str = BUILTIN
    judgings: Annotated[int, Bounds(least=1)] = 1
    rpm: Annotated[int | None, Bounds(least=1)] = None
    price: tuple[float, float] | None = None
    cap: Annotated[float | None, Bounds(least=0)] = None
    accept_drift: bool = False
    accept_judge: str | None = None
    thinking: Annotated[int, Bounds(least=0)] = 4096
    prompts: tuple[str, ...] = ()

    @property
    def local(self) -> bool:
        """Whether the judge is a model in this process."""
        return self.judge.startswith("hf:")


@dataclass(frozen=True)
class RoundSettings:
    """How often pairs are made and trained on, each time with the model of the round before.

    Attributes:
        count: how many rounds, two or more.
        prompts: ``"same"`` asks all prompts in every round; ``"fresh"`` parts them, so that no
            round asks a prompt of another.
        replay: share of the pairs of earlier rounds that a round trains on too.
        reference: of DPO: ``"previous"`` is the model of the round before, as in SIMA and CSR;
            ``"base"`` the model before the first round.
    """

    count: Annotated[int, Bounds(least=1)]
    prompts: str = SAME
    replay: Annotated[float, Bounds(least=0, most=1)] = 0.0
    reference: str = PREVIOUS


def round_settings(count: int, **given: Any) -> RoundSettings | None:
    """Return the settings of rounds; ``None`` for a single one.

    Args:
        count: how many.
        given: the other fields of :class:`RoundSettings`.

    Raises:
        UsageError: if something is asked of rounds, and there is only one.
    """
    asked = RoundSettings(count, **given)
    if count > 1:
        return asked
    if asked != RoundSettings(count):
        raise UsageError(
            "--round-prompts, --replay and --round-reference say what later rounds do, and there "
            "is one round. Give --rounds 2 or more with them."
        )
    return None


@dataclass(frozen=True)
class Settings:
    """What the user asked for.

    Attributes:
        method: name of the method.
        benches: names of the benchmarks, in the order of the report.
        model: a built-in demo's name, a folder, or a hub id.
        data: a built-in demo's name, a folder with copies of the data sets, or ``"hub"``.
        prompts: a built-in demo's name, a file, or the folder of a data set.
        pairs: a file or folder with pairs that exist, in the place of prompts.
        images: where image paths in prompts or pairs begin.
        allow_urls: fetch images of prompts or pairs that are addresses.
        preset: which of the method's presets to start from; ``None`` lets the demo decide.
        options: ``--set`` texts, sorted by key.
        seed: seed of pair-making, training and intervals.
        limit: only the first rows of each benchmark.
        max_new_tokens: where answers are cut, in the place of each task's own limit.
        max_prompts: only the first prompts.
        reports: names of the reports to write.
        device: ``"auto"``, ``"cpu"`` or ``"cuda"``.
        dtype: ``"auto"``, ``"float32"`` or ``"bfloat16"``.
        out: where run folders and the store lie.
        judging: who judges open answers.
        pair_timeout: minutes that a method may take from one pair to the next.
        image_ablation: ask after training whether the pairs' answers still need their images.
        merge: write base and adapter as one checkpoint too.
        merge_dtype: its number format: ``"auto"`` is that of the base checkpoint; ``"float32"``.
        baseline: bundle or run folder whose answers before are taken where they are the same ones.
        margin: what "no worse" allows for, in percent of a metric's scale.
        alpha: level of tests and intervals.
        accept_missing: benchmarks whose missing rows shall not stand against a gain.
        margins: benchmarks with a margin of their own.
        protocol: how images and conversations reach the model; ``None`` lets the preset decide.
        rounds: make pairs and train several times; ``None`` does so once.
        eval_rounds: evaluate the model of every round, not of the last alone.
        attribution: number of rows for which image regions are attributed.
        engine: what answers, before, in pairs and after.
        engine_options: ``--engine-set`` texts, sorted by key.
    """

    method: str
    benches: tuple[str, ...]
    model: str = EMBEDDED
    data: str = EMBEDDED
    prompts: str = EMBEDDED
    pairs: str | None = None
    images: Path | None = None
    allow_urls: bool = False
    preset: str | None = None
    options: tuple[tuple[str, str], ...] = ()
    seed: Annotated[int, Bounds(least=0)] = 0
    limit: Annotated[int | None, Bounds(least=1)] = None
    max_new_tokens: Annotated[int | None, Bounds(least=1)] = None
    max_prompts: Annotated[int | None, Bounds(least=1)] = None
    reports: tuple[str, ...] = ("json", "markdown")
    device: str = "auto"
    dtype: str = "auto"
    out: Path = Path("runs")
    judging: JudgeSettings = JudgeSettings()
    pair_timeout: Annotated[float, Bounds(above=0)] = 60.0
    image_ablation: bool = False
    merge: bool = False
    merge_dtype: str = "auto"
    baseline: Path | None = None
    margin: float = 1.0
    alpha: float = 0.05
    accept_missing: tuple[str, ...] = ()
    margins: Mapping[str, float] = field(default_factory=dict)
    protocol: str | None = None
    rounds: RoundSettings | None = None
    eval_rounds: bool = False
    attribution: Annotated[int, Bounds(least=0)] = 0
    engine: str = field(default=OWN, metadata=LATER)
    engine_options: tuple[tuple[str, str], ...] = field(default=(), metadata=LATER)


@dataclass(frozen=True)
class EvalSettings:
    """What is to be measured; fields as in :class:`Settings`.

    The model may also be ``openai:MODEL[@URL]``; ``adapter`` is a PEFT adapter to put on it;
    without a protocol it is ``hf``.
    """

    benches: tuple[str, ...]
    model: str = EMBEDDED
    adapter: Path | None = None
    data: str = EMBEDDED
    limit: Annotated[int | None, Bounds(least=1)] = None
    max_new_tokens: Annotated[int | None, Bounds(least=1)] = None
    device: str = "auto"
    dtype: str = "auto"
    out: Path = Path("runs")
    judging: JudgeSettings = Settings.judging
    protocol: str | None = None
    engine: str = field(default=OWN, metadata=LATER)
    engine_options: tuple[tuple[str, str], ...] = field(default=(), metadata=LATER)
