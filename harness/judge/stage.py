"""The judge: a stage of its own over stored answers, after both arms were evaluated.

It asks nothing of the model. Verdicts live in the run's store, so that an answer is judged once;
the judged samples lie in ``RUN/judged/<arm>/<bench>.jsonl`` beside those of the built-in grader.
A failed verdict is missing, never a number. docs/judging.md explains all of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from harness import progress
from harness.benchmark import Benchmark, Task
from harness.context import Context, EvalPlan
from harness.judge.items import ARMS, JudgeItem, items_of, marked
from harness.judge.local import LocalJudge
from harness.judge.prompts import read_prompts, with_prompts
from harness.judge.protocol import LOCAL, SERVER, Judge, check
from harness.judge.records import JudgeError, Judging
from harness.judge.server import ServerJudge
from harness.judge.session import Replies, collect
from harness.judge.uncertainty import Judged, errors_of
from harness.model import server_name
from harness.records import Sample, Samples, fingerprint, to_json
from harness.settings import BUILTIN, JudgeSettings
from harness.storage import Memo, journal_of, read_journal, reopen, seal_of

JUDGED = "judged"
"""Folder of a run with its judged samples."""
_REASONS = 3
READING = 2
"""Version of how replies are read. Verdicts in a run folder that an earlier one read are read
again, from the replies in the store; nobody is asked for those."""


@dataclass(frozen=True)
class Verdicts:
    """Both arms with the scores that count, by benchmark.

    ``judging`` is ``None`` where the built-in grader's scores stand; ``reused`` if nothing had to
    be done; ``calls`` counts the questions that reached the judge in this call.
    """

    before: Samples
    after: Samples
    judging: Judging | None = None
    reused: bool = True
    calls: int = 0


def judge(context: Context[EvalPlan], before: Samples, after: Samples) -> Verdicts:
    """Let a judge score the answers of every benchmark that has a rubric.

    Raises:
        UsageError: if there is no such judge, or two judges' verdicts would be mixed.
        HarnessError: if the judge or the data has changed since the first verdicts.
    """
    plan, folder = context.plan, context.folder
    settings = plan.settings.judging
    check(settings)
    if settings.judge == BUILTIN:
        return Verdicts(before, after)
    own = read_prompts(settings.prompts)
    chosen = [benchmark for benchmark in plan.benchmarks if benchmark.rubric is not None]
    chosen = with_prompts(chosen, own)
    if not chosen:
        progress.say("judge: rules score every answer of these benchmarks; no judge is called")
        return Verdicts(before, after)
    arms = {"before": before, "after": after}
    whom = open_judge(settings, device=plan.settings.device, dtype=plan.settings.dtype)
    name = fingerprint(
        [(b.name, b.rubric.version if b.rubric else "") for b in chosen],
        [
            [(s.id, s.content, s.answer) for s in arm[b.name]]
            for b in chosen
            for arm in arms.values()
        ],
        [whom.name, settings.judgings, READING],
    )
    done = finished(folder, name, chosen)
    accepted = settings.accept_judge is not None
    believed = done is not None and (accepted or (done.sound and not done.accepted))
    if done is not None and believed and not done.missing and not settings.accept_drift:
        return _verdicts(arms, judged_samples(folder, done), done)
    items = _items(chosen, arms, plan.data)
    with closing(whom):
        heard = collect(whom, items, context.store, settings, plan.seed)
    samples, judging = _mark(chosen, arms, items, heard, settings)
    judging = dataclasses.replace(judging, prompts=tuple(each.note for each in own.values()))
    write(folder, name, samples, judging)
    progress.say(
        f"judge: {judging.verdicts} verdicts, {judging.missing} missing; {heard.calls} questions "
        f"asked in this call{whom.spent}; anchors scored as expected: "
        f"{judging.agreement or 'none asked'}"
    )
    return _verdicts(arms, samples, judging, reused=False, calls=heard.calls)


def _items(
    chosen: Sequence[Benchmark], arms: Mapping[str, Samples], data: str | Path
) -> list[JudgeItem]:
    items: list[JudgeItem] = []
    with progress.bar("judge: reading", len(chosen), "benchmarks") as bar:
        for benchmark in chosen:
            answers = {arm: samples[benchmark.name] for arm, samples in arms.items()}
            items += items_of(benchmark, Task(benchmark.task, data), answers, data)
            bar.advance(1)
    return items


def _mark(
    chosen: Sequence[Benchmark],
    arms: Mapping[str, Samples],
    items: Sequence[JudgeItem],
    heard: Replies,
    settings: JudgeSettings,
) -> tuple[dict[tuple[str, str], tuple[Sample, ...]], Judging]:
    by_rule = {b.name for b in chosen} - {item.benchmark for item in items if not item.ruled}
    judges = {
        b.name: heard.models.get(b.name) or ("rule" if b.name in by_rule else settings.judge)
        for b in chosen
    }
    judged: dict[tuple[str, str, str], Judged] = {}
    for item in items:
        replies = heard.replies[item.benchmark, item.ask] if item.ask is not None else ()
        sample, verdicts = marked(item, replies, judges[item.benchmark])
        question = item.ask.prompt if item.ask is not None else f"{item.arm} {sample.id}"
        judged[item.arm, item.benchmark, sample.id] = Judged(sample, verdicts, question)
    samples: dict[tuple[str, str], tuple[Sample, ...]] = {}
    for benchmark in chosen:
        for arm, every in arms.items():
            samples[arm, benchmark.name] = tuple(
                judged[key].sample
                if (key := (arm, benchmark.name, sample.id)) in judged
                else dataclasses.replace(sample, judge=judges[benchmark.name])  # nothing to judge
                for sample in every[benchmark.name]
            )
    answered = [s for rows in samples.values() for s in rows if s.answer is not None]
    missing = sum(sample.error is not None for sample in answered)
    used = [reply for replies in heard.replies.values() for reply in replies if reply.text]
    judging = Judging(
        judge=settings.judge,
        models=tuple(sorted({model for model in heard.models.values() if model})),
        benchmarks=tuple(benchmark.name for benchmark in chosen),
        judgings=settings.judgings,
        verdicts=len(answered) - missing,
        missing=missing,
        reasons=_reasons([sample.error for sample in answered if sample.error is not None]),
        tokens_in=sum(reply.tokens_in for reply in used),
        tokens_out=sum(reply.tokens_out for reply in used),
        anchors=heard.checks,
        errors=_errors(chosen, judged) if settings.judgings > 1 else (),
        accepted=settings.accept_judge is not None
        and any(check.expected < check.anchors for check in heard.checks),
    )
    return samples, judging


def _reasons(errors: Sequence[str]) -> tuple[str, ...]:
    """Count errors that begin alike, up to their second colon, and show one of each kind."""
    kinds: dict[str, list[str]] = {}
    for error in errors:
        kinds.setdefault(":".join(error.split(":")[:2]), []).append(error)
    ranked = sorted(kinds.values(), key=len, reverse=True)[:_REASONS]
    return tuple(f"{len(alike)} times {alike[0]}" for alike in ranked)


def _errors(
    chosen: Sequence[Benchmark], judged: Mapping[tuple[str, str, str], Judged]
) -> tuple[JudgeError, ...]:
    found: list[JudgeError] = []
    for benchmark in chosen:
        before, after = (
            [one for (a, bench, _), one in judged.items() if (a, bench) == (arm, benchmark.name)]
            for arm in ARMS
        )
        found += errors_of(benchmark, before, after)
    return tuple(found)


def _verdicts(
    arms: Mapping[str, Samples],
    samples: Mapping[tuple[str, str], tuple[Sample, ...]],
    judging: Judging,
    *,
    reused: bool = True,
    calls: int = 0,
) -> Verdicts:
    before, after = (
        {name: samples.get((arm, name), rows) for name, rows in arms[arm].items()} for arm in ARMS
    )
    return Verdicts(before, after, judging, reused, calls)


def open_judge(settings: JudgeSettings, *, device: str = "auto", dtype: str = "auto") -> Judge:
    """Return the judge that settings name; nothing is sent or loaded yet."""
    check(settings)
    if settings.judge.startswith(SERVER):
        return ServerJudge(server_name(settings.judge, "--judge"), settings)
    source = settings.judge.removeprefix(LOCAL)
    return LocalJudge(source, settings.judgings, device=device, dtype=dtype)


def write(
    folder: Path, name: str, samples: Mapping[tuple[str, str], Sequence[Sample]], judging: Judging
) -> None:
    """Write the judged samples, by arm and benchmark, and the summary.

    ``name`` is the fingerprint of everything that determines the verdicts.
    """
    reopen(folder)
    for (arm, bench), rows in samples.items():
        journal = journal_of(place(folder, arm, bench), name, Sample)
        journal.forget(0)
        journal.append(*rows)
        raw = folder / arm / f"{bench}.jsonl"
        journal.finish(source=seal_of(raw).digest if raw.is_file() else "")
    _summary(folder).write(name, judging=to_json(judging))


def judged_samples(folder: Path, judging: Judging) -> dict[tuple[str, str], tuple[Sample, ...]]:
    """Read a run's judged samples, by arm and benchmark."""
    return {
        (arm, bench): read_journal(place(folder, arm, bench), Sample)
        for arm in ARMS
        for bench in judging.benchmarks
    }


def last_judging(folder: Path) -> tuple[str, Judging] | None:
    """Return fingerprint and summary of the last judging of a run, if there is one."""
    memo = _summary(folder)
    judging, content = memo.record("judging", Judging), memo.read()
    return None if judging is None or content is None else (content[memo.key], judging)


def _summary(folder: Path) -> Memo:
    return Memo(folder / JUDGED / "judging.json")


def place(folder: Path, arm: str, bench: str) -> Path:
    """Name the journal of one arm and benchmark."""
    return folder / JUDGED / arm / f"{bench}.jsonl"


def finished(folder: Path, name: str, chosen: Sequence[Benchmark]) -> Judging | None:
    """Return the summary of a judging that was made from these very inputs and is whole."""
    last = last_judging(folder)
    if last is None or last[0] != name:
        return None
    paths = [place(folder, arm, bench.name) for arm in ARMS for bench in chosen]
    whole = all(journal_of(path, name, Sample).complete for path in paths)
    return last[1] if whole else None
