"""Whether pairs and loss fit each other, before a training begins."""

from __future__ import annotations

from collections.abc import Sequence

from harness import progress
from harness.dpo.config import Training
from harness.dpo.loss_open import combined
from harness.dpo.loss_terms import BY_IMAGE, WITHOUT_SCORES, is_sft, terms_of
from harness.dpo.pair import check, kinds_of, name_of, scores_of
from harness.errors import UsageError
from harness.records import Pair


def checked(pairs: Sequence[Pair], training: Training) -> list[Pair]:
    """Return the pairs with duplicates among the rejected answers removed.

    Raises:
        UsageError: if there are none, or the loss takes one rejected answer and a pair has more.
        HarnessError: see :func:`harness.dpo.pair.check`.
    """
    if not pairs:
        raise UsageError("There are no pairs to train on; see dropped.jsonl for the reasons.")
    needs, only_chosen = combined(training.loss).needs, is_sft(training.loss)
    clean = []
    for pair in (check(pair, only_chosen=only_chosen) for pair in pairs):
        kinds = kinds_of(pair) if pair.sides and not only_chosen else ()
        if BY_IMAGE in kinds and not needs.images:
            kept = [at for at, kind in enumerate(kinds) if kind != BY_IMAGE]
            if len(kept) == 1:
                raise UsageError(
                    f"loss={training.loss} prefers texts, and the answers of {name_of(pair)} "
                    "differ by their image alone. Choose conditional, or a sum with it such as "
                    "dpo+conditional+anchor."
                )
            pair = pair.arranged(kept)
        if needs.one_rejected and len(pair.rejected) - kinds.count(BY_IMAGE) > 1:
            raise UsageError(
                f"loss={training.loss} takes one rejected answer, but {name_of(pair)} "
                f"has {len(pair.rejected)}. Choose multi_softmax (S-DPO) or multi_mean."
            )
        clean.append(pair)
    return clean


def refuse_unused(pairs: Sequence[Pair], training: Training) -> None:
    """Refuse a loss that asks for what no pair has; say what pairs have that no loss asks for.

    The pairs are those before :func:`checked` took out what the loss does not look at.

    Raises:
        UsageError: names what is missing.
    """
    needs = combined(training.loss).needs
    images = sum(BY_IMAGE in kinds_of(pair) for pair in pairs if pair.sides)
    weights = sum(any(side.weights for side in pair.sides) for pair in pairs)
    if needs.images and not images:
        raise UsageError(
            f"loss={training.loss} compares the chosen answer under two images, and no pair has "
            "its chosen answer under another one. Leave conditional out, or take a method or a "
            "file that gives such pairs (docs/pairs.md, rejected_image)."
        )
    if needs.weights and not weights:
        raise UsageError(
            f"loss={training.loss} weighs segments of the answers, and no pair has weights. Choose "
            "dpo_norm, which is the same without them, or a method that gives weights."
        )
    if images and not needs.images and not is_sft(training.loss):
        progress.say(
            f"{images} pairs have their chosen answer under another image too, which "
            f"loss={training.loss} leaves out; loss={training.loss}+conditional uses it."
        )
    _say_scores(pairs, training)
    if weights and not needs.weights:
        progress.say(
            f"{weights} pairs have weights by segment, which loss={training.loss} does not use; "
            "loss=ddpo does."
        )


def _say_scores(pairs: Sequence[Pair], training: Training) -> None:
    """Say what a loss that looks at scores is without them.

    Raises:
        UsageError: if some pairs have scores and others have none.
    """
    looks = [term.name for term in terms_of(training.loss) if term.name in WITHOUT_SCORES]
    if not looks:
        return
    scored = sum(scores_of(pair) is not None for pair in pairs)
    if not scored:
        told = ", ".join(f"{name} equals {WITHOUT_SCORES[name]}" for name in looks)
        progress.say(f"No pair has scores of its answers: {told}.")
    elif scored < len(pairs):
        raise UsageError(
            f"loss={training.loss} uses scores of the answers, and {scored} of {len(pairs)} "
            "pairs have them. Give every answer of every pair a score, or none."
        )
