"""Let the method train, and know for certain whether a checkpoint is the one asked for.

``training.json`` beside the checkpoint names the inputs it was (or is being) trained from and, once
done, the hash of what a loader reads. Another fingerprint clears the folder; the same one lets the
method's trainer continue where it was killed. What may follow a training (the image ablation, a
merged checkpoint) is kept with the checkpoint's hash, so a finished run does neither again.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import dpo, progress
from harness.context import Context, Plan
from harness.engine import checkpoint_digest, is_unchanged
from harness.errors import HarnessError
from harness.model import Model
from harness.plugins import Method
from harness.records import Pair, fingerprint
from harness.storage import Memo

TRAINING = "training.json"
IMAGE_ABLATION, MERGED = "image_ablation.json", "merged"
_NAME_BEFORE = "canary.json"  # of the version before
_PAIRS, _MERGED_ON = 64, 16


@dataclass(frozen=True)
class Checkpoint:
    """A trained checkpoint: its folder, and a hash over what a loader reads in it.

    It is a LoRA adapter for the base model, or a model of its own; ``reused`` if an earlier call
    had trained it.
    """

    path: Path
    digest: str
    adapter: bool
    reused: bool


@dataclass(frozen=True)
class Ablation:
    """What blanking the images of the pairs does to their answers, before and after training.

    Attributes:
        before: figures of the model before; names as in :class:`harness.dpo.ImageAblation`.
        after: the same with the trained adapter.
    """

    before: Mapping[str, float]
    after: Mapping[str, float]

    @property
    def note(self) -> str:
        """One to two sentences for a reader."""
        before, after = self.before, self.after
        falls = [each["chosen"] - each["chosen_blank"] for each in (before, after)]
        told = (
            f"Image ablation: blanking the images of {after['pairs']:.0f} pairs lowers the "
            f"log-probability of the chosen answers by {falls[1]:.2f} nats on average "
            f"({falls[0]:.2f} before training), and does so for {after['drops']:.0%} of them "
            f"({before['drops']:.0%} before)."
        )
        if falls[1] <= 0 or after["drops"] <= 0.5:
            return f"{told} The trained model does not need the image to give these answers."
        if falls[1] < falls[0] / 2:
            return f"{told} It depends on the image less than half as much as before training."
        return told


def train(
    context: Context[Plan],
    pairs: Sequence[Pair],
    model: Model,
    *,
    start: Callable[[], Model] | None = None,
) -> Checkpoint:
    """Return the run's checkpoint, trained now unless the same one is there, whole.

    ``start`` makes the same model as a training takes it, if ``model`` itself is not that.

    Raises:
        HarnessError: if the method fails or leaves no checkpoint that could be loaded.
    """
    plan, folder = context.plan, context.folder
    texts = [(pair.prompt.id, pair.chosen, pair.rejected, *pair.beyond) for pair in pairs]
    stamp = fingerprint(model.fingerprint, texts, *plan.determined)
    out, memo = folder / "checkpoint", Memo(folder / TRAINING)
    state = memo.read(stamp)
    if state is None:
        shutil.rmtree(out, ignore_errors=True)
    elif state.get("files") is not None:
        made = _existing(folder, state)
        if made is not None:
            return made
        progress.say("The checkpoint's files were changed since it was trained; training again.")
        shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    memo.write(stamp, files=None)
    begun = model if start is None else start()
    path = plan.method.train(pairs, begun, plan.options, out, plan.seed)
    adapter = _check(plan.method, path, out)
    _refuse_idle(plan.method, path, begun, dpo.read_effect(folder))
    if start is not None and begun.base is not model.base:
        begun.release()
    digest = checkpoint_digest(path)
    memo.write(stamp, files=digest, path=path.relative_to(folder).as_posix(), adapter=adapter)
    return Checkpoint(path, digest, adapter, reused=False)


def _refuse_idle(
    method: Method, path: Path, model: Model, effect: dpo.TrainingEffect | None
) -> None:
    """Refuse a training that moved nothing, unless the method says that it trains nothing."""
    if not getattr(method.module, "TRAINS", True):
        return
    moved = effect.moved if effect is not None else dpo.checkpoint_moved(path, model.path)
    if moved:
        return
    seen = "its weights equal those before"
    if effect is not None:
        seen = (
            f"{effect.moving_steps} of {effect.steps} steps had a learning rate above zero, and "
            f"the update norm is {effect.update_norm:g}"
        )
    raise HarnessError(
        f"The training of '{method.name}' changed no weight: {seen}. Comparing before and after "
        "would only show that nothing happened. Raise learning_rate or epochs, or look at "
        f"{path.parent / 'curves.jsonl'}; a method that is meant to train nothing says TRAINS = "
        "False in its module (docs/write-a-method.md)."
    )


def ablation(
    checkpoint: Checkpoint, pairs: Sequence[Pair], model: Model, folder: Path
) -> Ablation | None:
    """Blank the images of some pairs, before and after training, and see what that does.

    The figures are kept in the run folder; ``None`` where no pair has an image.
    """
    chosen = tuple(pair for pair in pairs if pair.prompt.images)[:_PAIRS]
    if not chosen:
        progress.say("No pair has an image, so there is no image ablation.")
        return None
    stamp = fingerprint(
        checkpoint.digest, [(p.prompt.id, p.chosen, p.rejected, *p.beyond) for p in chosen]
    )
    found = _ablation(folder, stamp)
    if found is None:
        with progress.bar("image ablation", total=2, unit="passes") as bar:
            before = dpo.image_ablation(chosen, model, limit=_PAIRS)
            bar.advance(1, "the trained model")
            if before is None:
                progress.say("No pair has answers to compare, so there is no image ablation.")
                return None
            if checkpoint.adapter:
                after = dpo.image_ablation(chosen, model, checkpoint.path, limit=_PAIRS)
            else:
                after = dpo.image_ablation(
                    chosen, model.with_adapter(checkpoint.path), limit=_PAIRS
                )
            bar.advance(1)
        assert after is not None  # the same pairs
        found = Ablation(dataclasses.asdict(before), dataclasses.asdict(after))
        memo = Memo(folder / IMAGE_ABLATION)
        memo.write(stamp, before=found.before, after=found.after)
    return found


def kept_ablation(folder: Path) -> Ablation | None:
    """Return what :func:`ablation` kept in a run folder, or ``None``."""
    return _ablation(folder)


def _ablation(folder: Path, stamp: str | None = None) -> Ablation | None:
    for name in (IMAGE_ABLATION, _NAME_BEFORE):
        content = Memo(folder / name).read(stamp) or {}
        before, after = content.get("before"), content.get("after")
        if isinstance(before, dict) and isinstance(after, dict):
            return Ablation(before, after)
    return None


def merged(
    checkpoint: Checkpoint,
    model: Model,
    folder: Path,
    pairs: Sequence[Pair] = (),
    dtype: str = "auto",
) -> Path:
    """Write base and adapter as one checkpoint into ``merged``, unless it is there.

    The margin gain of some of the pairs has to be kept; ``dtype`` as in :func:`harness.dpo.merge`.

    Returns:
        Its folder; the checkpoint itself where the method trains a full model.
    """
    if not checkpoint.adapter:
        return checkpoint.path
    out, memo = folder / MERGED, Memo(folder / f"{MERGED}.json", key="adapter")
    stamp = checkpoint.digest + (f" {dtype}" if dtype != "auto" else "")
    if is_kept(memo, stamp, out):
        return out
    part = out.with_name(f".{MERGED}.{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(out, ignore_errors=True)
    some = pairs[:_MERGED_ON]
    dpo.merge(model.path, checkpoint.path, part, dtype=dtype, pairs=some, protocol=model.protocol)
    part.rename(out)
    memo.write(stamp, files=checkpoint_digest(out))
    return out


def is_kept(memo: Memo, stamp: str, folder: Path) -> bool:
    """Tell whether a folder is there, made from these inputs, and as it was left.

    Notes of earlier versions do not say how it was left, and are believed.
    """
    found = memo.read(stamp)
    if found is None or found.get("files") is None:
        return found is not None and folder.is_dir()
    return is_unchanged(folder, found["files"])


def _existing(folder: Path, state: Mapping[str, Any]) -> Checkpoint | None:
    path = folder / str(state.get("path"))
    if not is_unchanged(path, state["files"]):
        return None
    return Checkpoint(path, state["files"], bool(state.get("adapter")), reused=True)


def _check(method: Method, path: Path, out: Path) -> bool:
    who = f"The method '{method.name}' ({method.owner})"
    if not path.resolve().is_relative_to(out.resolve()):
        raise HarnessError(
            f"{who} wrote its checkpoint to {path}, outside of the folder it was given ({out}). "
            "A checkpoint must lie in the run folder, or later runs could not trust it."
        )
    adapter = (path / "adapter_config.json").is_file()
    if not list(path.glob("*.safetensors")) or not (adapter or (path / "config.json").is_file()):
        raise HarnessError(
            f"{who} left no checkpoint in {path}: expected *.safetensors with adapter_config.json "
            f"(LoRA) or config.json (a model). Test it with: harness check --method {method.name}"
        )
    return adapter
