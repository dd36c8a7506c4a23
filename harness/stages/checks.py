"""What can be known in the first seconds, before anything is paid for.

The knobs, the trackers and the sharing among processes need no model. Then the method makes pairs
of its first prompts with short answers, so that template, image and corruptions meet this family,
and one pair goes through a whole training step on a copy.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from harness import progress
from harness.context import Context, Plan
from harness.dpo import Training, Unfit, pair_encoder, refuse_tracker, shared, training_of, try_step
from harness.errors import HarnessError, UsageError, pip, plain
from harness.model import Model, processes
from harness.pairs import Sieve, time_limit
from harness.plugins import Method
from harness.records import (
    IMAGE_FORMATS,
    Drop,
    Pair,
    Prompt,
    Request,
    distinct,
    fingerprint,
    image_problem,
)
from harness.storage import Memo

TRIED, SHORT = 2, 8
"""Prompts that pairs are made of, and the longest answers to them, in tokens."""
_MEMO = "preflight.json"
_SHOWN = ("adapter", "weights", "memory", "engine")


def check_knobs(method: Method | None, options: Any) -> Training | None:
    """Refuse what needs no model to be seen, and return how the method trains.

    Raises:
        UsageError: if a tracker or a library cannot be used, or the processes cannot share a step.
    """
    training = training_of(method, options) if method is not None else Training()
    if training is not None:
        together = training.batch_size * training.accumulation
        shared(training.batch_size, together, processes())
        for tracker in training.report_to:
            refuse_tracker(tracker)
        if training.quantize and not importlib.util.find_spec("bitsandbytes"):
            raise UsageError(
                f"quantize={training.quantize}: the package bitsandbytes is not installed. Install "
                f"it with {pip('install')} 'vlm-harness[qlora]', or leave quantize out."
            )
    return training


def preflight_once(context: Context[Plan], model: Model) -> None:
    """Do the preflight of a run, unless it was done or its training is finished.

    Raises:
        UsageError: if a knob does not fit the model or the pairs.
        HarnessError: if the run could not train.
    """
    plan, memo = context.plan, Memo(context.folder / _MEMO)
    stamp = fingerprint(model.fingerprint, *plan.determined)
    trained = (Memo(context.folder / "training.json").read() or {}).get("files") is not None
    if trained or memo.read(stamp) is not None:
        return
    began = time.monotonic()
    limit = 60 * plan.settings.pair_timeout
    found = preflight(plan.prompts, model, plan.method, plan.options, plan.seed, limit)
    told = dict(found)
    seconds = time.monotonic() - began
    progress.say(
        f"Preflight in {seconds:.1f} s: {len(plan.prompts)} prompts, "
        + "; ".join(told[name] for name in _SHOWN if name in told)
        + "."
    )
    memo.write(stamp, facts=told)


def preflight(
    prompts: Sequence[Prompt],
    model: Model,
    method: Method | None = None,
    options: Any = None,
    seed: int = 0,
    seconds: float = 600.0,
) -> tuple[tuple[str, str], ...]:
    """Try everything that a training will meet, small.

    Args:
        prompts: of the training; the header of each image is read.
        model: to be trained; it is left as it was, and nothing it says is kept.
        method: whose pairs are tried; without one, an invented pair is.
        options: of the method.
        seed: of the run.
        seconds: how long the method may take for its first pairs.

    Returns:
        What was found out, as names and values in words.

    Raises:
        UsageError: if a knob does not fit the model or the pairs.
        HarnessError: if the run could not train.
    """
    training = check_knobs(method, options)
    facts = [("images", _images(prompts))]
    alone = Model(model.source, model.base)
    usable = Sieve(alone, training)
    first = list(islice(usable.prompts(prompts), TRIED))
    if not first:
        problem = next(usable.dropped())
        raise HarnessError(
            f"None of the {len(prompts)} prompts can be used; the first: {problem.reason}: "
            f"{problem.meta.get('error')}"
        )
    pair = None
    if method is not None:
        with time_limit(
            seconds, f"The method '{method.name}' gave no pair for {seconds / 60:g} minutes."
        ):
            pair = _made(first, alone, method, options, seed)
        trained_on = getattr(method.module, "rows", None)
        if pair is not None and trained_on is not None:
            pair = trained_on([pair], options, seed)[0]
        facts.append(("pairs", "the method's first prompts were answered"))
    if training is not None:
        facts += _trained(first[0], pair, model, training, options)
    if model.answered_by:
        fitting = usable.prompts([each for each in prompts if each.plain])
        facts.append(("engine", _agreement(list(islice(fitting, TRIED)), model, alone)))
    return tuple(facts)


def _agreement(prompts: Sequence[Prompt], model: Model, alone: Model) -> str:
    """Ask another engine and ``own`` the same; the engine is left ready for what comes next."""
    if not prompts:
        return (
            f"the engine {model.answered_by} was not compared: no prompt is one image and question"
        )
    asked = [Request(each.question, (each.open_image(),), SHORT) for each in prompts]
    ours = [answer.text or "" for answer in alone.answer(asked)]
    alone.release()  # an engine on the same GPU needs the memory
    theirs = list(model.answer(asked))
    if lost := next((answer.error for answer in theirs if answer.text is None), None):
        raise HarnessError(f"The engine {model.answered_by} gave no answer: {lost}.")
    texts = [answer.text or "" for answer in theirs]
    begun = [a.split()[:1] == b.split()[:1] for a, b in zip(ours, texts, strict=True)]
    if not any(begun):
        raise HarnessError(
            f"The engine {model.answered_by} answers '{plain(texts[0])[:80]}' where the weights "
            f"here answer '{plain(ours[0])[:80]}', and none of {len(asked)} answers begins alike. "
            f"It must have the weights and the chat template of {model.source}; a vLLM server may "
            "need --engine-set add_special_tokens=yes. Nothing was evaluated yet."
        )
    equal = sum(a == b for a, b in zip(ours, texts, strict=True))
    return f"the engine {model.answered_by} gives {equal} of {len(asked)} short answers as own does"


def _images(prompts: Sequence[Prompt]) -> str:
    """Read the header of every image."""
    broken = list(_unreadable(prompts))
    count = len({image for prompt in prompts for image in prompt.images})
    if not count:
        return "no prompt has one"
    if not broken:
        return f"{count} can be read, by their headers"
    told = f"{len(broken)} of {count} cannot be read; the first is {broken[0]}"
    if len(broken) == count:
        raise HarnessError(f"No image of the training prompts can be read: {told}.")
    progress.say(f"Of the images of the training prompts, {told}. Their prompts are dropped.")
    return told


def _unreadable(prompts: Sequence[Prompt]) -> Iterator[str]:
    import PIL.Image

    for path in distinct(image for prompt in prompts for image in prompt.images):
        try:
            with PIL.Image.open(path, formats=IMAGE_FORMATS) as image:
                problem = image_problem(image)
        except Exception as error:  # Pillow's readers raise many kinds
            problem = str(error)
        if problem:
            yield f"{path} ({problem})"


def _made(
    prompts: Sequence[Prompt], model: Model, method: Method, options: Any, seed: int
) -> Pair | None:
    """Let the method make pairs with short answers."""
    pair = None
    for item in method.make_pairs(prompts, model, _short(options), seed):
        if isinstance(item, Drop) and item.reason == "missing":
            reason = str(item.meta.get("error")).rstrip(".")
            raise HarnessError(
                f"The method '{method.name}' got no answer to its first prompt "
                f"'{item.prompt.id}': {reason}. Nothing was evaluated yet; choose "
                "options of the method that fit this model with --set, or another model."
            )
        if isinstance(item, Pair):
            pair = pair or item
    return pair


def _short(options: Any) -> Any:
    """Return the options with every limit of tokens lowered."""
    if options is None:
        return None
    limits = {
        field.name: SHORT
        for field in dataclasses.fields(options)
        if field.name.endswith("_tokens") and isinstance(getattr(options, field.name), int)
    }
    return dataclasses.replace(options, **limits)


def _trained(
    prompt: Prompt, pair: Pair | None, model: Model, training: Training, options: Any
) -> list[tuple[str, str]]:
    """Take one pair through a training step."""
    kept = dataclasses.replace(training, cut="keep")
    encoder = pair_encoder(model, kept)
    invented = Pair(prompt, "yes, there is", ("no",))
    try:
        chosen = encoder.fit(pair or invented)
    except Unfit:
        chosen = encoder.fit(invented)
    try:
        seen = try_step(chosen, model, training)
    except (HarnessError, MemoryError):
        raise
    except Exception as error:
        raise HarnessError(
            f"One training step on one pair failed: {type(error).__name__}: {error}. Nothing was "
            "evaluated yet. Check the options of the training (--set) against this model."
        ) from error
    length = getattr(options, "max_new_tokens", 256)
    answers = 1 + len(chosen.rejected)
    need = seen.memory(training.batch_size, answers, length)
    return [
        ("adapter" if seen.targets else "weights", _told(training, seen.targets, seen.trained)),
        (
            "memory",
            f"about {need / 1e9:.1f} GB for {training.batch_size} pairs of {answers} "
            f"answers of {length} tokens in one pass",
        ),
        (
            "generation",
            f"log-probabilities in training and generation differ by {seen.difference:.1e} of "
            "their size",
        ),
    ]


def _told(training: Training, targets: Sequence[str], trained: int) -> str:
    """Say what is trained."""
    millions = f"{trained / 1e6:.2f} M weights"
    if not targets:
        return f"full training of {', '.join(training.parts)}: {millions}"
    ends = ", ".join(distinct(name.rpartition(".")[2] for name in targets))
    return f"adapter of rank {training.lora_rank} on {len(targets)} layers ({ends}), {millions}"
