"""TRL's ``DPOTrainer`` with another batch and another loss; everything else stays TRL's.

Kept from TRL and ``transformers``: the loop, LoRA, accelerate, gradient accumulation and
checkpointing, logging. Replaced by overriding: collator, loss, and how a checkpoint's state is
stored (``harness/dpo/resume.py``, without pickle).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR
from trl.trainer.dpo_trainer import DPOTrainer

from harness.dpo.forward import FeatureCache, collate, image_features, packed_logits, plain_logits
from harness.dpo.loss_open import Combined
from harness.dpo.loss_terms import BY_TEXT, Needs
from harness.dpo.losses import Knobs, Scores, Tokens, competitors, dpo
from harness.dpo.packing import Layout, token_log_probs
from harness.dpo.parts import base_of
from harness.dpo.resume import (
    References,
    load_random,
    load_state,
    load_weights,
    save_random,
    save_state,
    save_weights,
    seal,
)
from harness.dpo.rows import EncodedPair, prefixes_of
from harness.errors import HarnessError


class PackedTrainer(DPOTrainer):
    """See the module. ``loss``, ``knobs`` and ``references`` are set right after making it.

    ``sees`` says whether projector or vision tower are trained. Where weights themselves are
    trained, ``ref_model`` is the model before; else its adapter is switched off for that.
    ``started`` holds the weights of an adapter that is trained on.
    """

    loss = Combined(
        "dpo", ((1.0, dpo),), Needs(), only_chosen=False, competitors=False, images=(False,)
    )
    knobs = Knobs()
    references: References | None = None
    packed = True
    sees = False
    features: FeatureCache | None = None
    started: Mapping[str, Tensor] = MappingProxyType({})
    held_out = 0

    def _send_telemetry(self) -> None:
        """Send nothing."""

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Write no card: the run folder's report says more."""

    def _prepare_input(self, data: Any) -> Any:
        """Move a layout too; transformers moves tensors only, and leaves it on the CPU."""
        if isinstance(data, Layout):
            return data.to(self.args.device)
        return super()._prepare_input(data)

    def create_scheduler(self, num_training_steps: int, optimizer: Any = None) -> Any:
        """Let step n of N train at the schedule's rate n of N + 1: the first is above zero.

        ``transformers`` gives step n the rate n - 1, so that the first step of a warm-up, and with
        it the only step of a short training, changes nothing.
        """
        made = self.lr_scheduler is None
        schedule: Any = super().create_scheduler(num_training_steps + 1, optimizer)
        if made:
            later = [_one_later(rate) for rate in schedule.lr_lambdas]
            self.lr_scheduler = LambdaLR(schedule.optimizer, later)
        return self.lr_scheduler

    @contextmanager
    def before(self, network: Any) -> Iterator[Any]:
        """Lend the reference: the model as it was before this training."""
        if self.ref_model is not None:
            yield self.ref_model
        else:
            with network.disable_adapter():
                yield network

    def policy_and_reference(
        self, model: Any, network: Any, inputs: dict[str, Any]
    ) -> tuple[Tensor, Tensor]:
        """``(N,)`` log-probabilities of a batch's own answers, after and before."""
        wanted = not self.loss.only_chosen
        policy, reference = self._both(model, network, inputs, wanted=wanted, competing=False)
        if self.loss.needs.tokens:
            policy, reference = summed(policy, inputs), summed(reference, inputs)
        return policy, reference

    def _both(
        self,
        model: Any,
        network: Any,
        inputs: dict[str, Any],
        *,
        wanted: bool,
        competing: bool = False,
    ) -> tuple[Tensor, Tensor]:
        """Policy and reference, ``(N,)`` or by token; zeros where no reference is wanted.

        ``competing`` scores the competitors of rejected answers, where the loss asks for them.
        """
        base = base_of(network)
        features: Sequence[Tensor] = []
        if self.features is not None:
            features = self.features.of(base, inputs["vision"], inputs["keys"])
        elif self.packed:
            features = image_features(base, inputs["vision"], grad=self.sees)
        if wanted:
            reference = self._reference(network, inputs, features, competing)
        policy = self._answers(model, base, inputs, features, competing)
        return policy, reference if wanted else torch.zeros_like(policy)

    def _compute_loss(self, model: Any, inputs: dict[str, Any], return_outputs: bool) -> Any:
        network = self.accelerator.unwrap_model(self.model)
        needs = self.loss.needs
        wanted, competing = needs.reference, self.loss.competitors
        policy, reference = self._both(model, network, inputs, wanted=wanted, competing=competing)
        tokens = None
        if needs.tokens:
            tokens = arrange_tokens(policy, reference, inputs)
            policy, reference = summed(policy, inputs), summed(reference, inputs)
        collator: Any = self.data_collator
        metas = tuple(collator.pairs[row.index].meta for row in inputs["rows"])
        scores = replace(arrange(policy, reference, inputs), tokens=tokens, meta=metas)
        losses = self.loss(scores, self.knobs)
        _refuse_broken(losses, scores, inputs["rows"])
        self._note(scores)
        loss = losses.mean()
        return (loss, {"losses": losses.detach()}) if return_outputs else loss

    def _answers(
        self,
        model: Any,
        base: Any,
        inputs: dict[str, Any],
        features: Sequence[Tensor],
        competing: bool = False,
    ) -> Tensor:
        """``(N,)`` summed log-probabilities of all answers; of each token where that is needed."""
        if self.packed:
            logits = packed_logits(model, base, inputs, features)
        else:
            logits = plain_logits(model, base, inputs)
        labels, owner = inputs["labels"], inputs["owner"]
        if competing:
            first = inputs["counts"].cumsum(0) - inputs["counts"]
            chosen = torch.isin(owner, first)
            labels = torch.where(chosen, labels, competitors(logits, labels))
        tokens = token_log_probs(logits, labels)
        return tokens if self.loss.needs.tokens else summed(tokens, inputs)

    def _reference(
        self,
        network: Any,
        inputs: dict[str, Any],
        features: Sequence[Tensor],
        competing: bool = False,
    ) -> Tensor:
        """The same of the model before: looked up, or computed and kept."""
        kept = self.references if competing == self.loss.competitors else None
        rows = [row.index for row in inputs["rows"]]
        new = [at for at, row in enumerate(rows) if kept is None or row not in kept]
        batch = inputs
        places = prefixes_of(inputs["rows"], new)
        if self.packed and 0 < len(new) < len(rows):
            some = [inputs["rows"][at] for at in new]
            batch = self._prepare_inputs(collate(some, packed=True))
            batch["vision"] = [inputs["vision"][at] for at in places]
            features = [features[at] for at in places]
        if new:
            with torch.no_grad(), self.before(network) as old:
                base = base_of(old)
                if self.sees and self.packed:
                    pixels = image_features(base, inputs["vision"], grad=False)
                    features = pixels if batch is inputs else [pixels[at] for at in places]
                values = self._answers(old, base, batch, features, competing)
            if kept is None:
                return values
            # Counted from the rows: reading the tensor would make the host wait for a GPU.
            counts = [
                sum(map(len, row.answers)) if self.loss.needs.tokens else len(row.answers)
                for row in batch["rows"]
            ]
            kept.put([row.index for row in batch["rows"]], counts, values)
        assert kept is not None
        return kept.get(rows).to(inputs["lengths"].device)

    def _note(self, scores: Scores) -> None:
        """Add this batch to the averages that the next log line shows."""
        network: Any = self.model
        mode = "train" if network.training else "eval"
        values = self.accelerator.reduce(summary(scores, self.knobs.beta), reduction="mean")
        for name, value in zip(SUMMARY, values.tolist(), strict=True):
            if name != "kl" or self.loss.needs.reference:  # against nothing it is no divergence
                self._metrics[mode][name].append(value)

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Save what is trained alone: base, processor and arguments are known from the run."""
        if not self.args.should_save:
            return
        folder = output_dir or self.args.output_dir or "."
        network = self.accelerator.unwrap_model(self.model)
        if self.ref_model is not None:
            save_weights(Path(folder), network)
            return
        network.save_pretrained(
            folder, state_dict=state_dict, safe_serialization=True, save_embedding_layers=False
        )

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: Any = None) -> None:
        if self.ref_model is None:
            super()._load_from_checkpoint(resume_from_checkpoint, model)
        else:
            load_weights(Path(resume_from_checkpoint), model or self.model)

    def _load_best_model(self) -> None:
        if self.ref_model is None:
            super()._load_best_model()
        else:
            best = Path(self.state.best_model_checkpoint or "")
            load_weights(best, self.accelerator.unwrap_model(self.model))

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        if self.args.should_save:
            save_state(Path(output_dir), self.optimizer, self.lr_scheduler)
        collator: Any = self.data_collator
        collator.save(Path(output_dir), self.args.process_index)
        if self.references is not None:
            self.references.save(Path(output_dir), self.args.process_index)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        load_state(Path(checkpoint), self.optimizer, self.lr_scheduler)
        collator: Any = self.data_collator
        collator.load(Path(checkpoint), self.args.process_index)
        if self.references is not None:
            self.references.load(Path(checkpoint), self.args.process_index)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        base: Any = super()
        base._save_checkpoint(model, trial)
        if self.args.should_save:
            seal(Path(self.args.output_dir or ".") / f"checkpoint-{self.state.global_step}")

    def _save_rng_state(self, output_dir: str) -> None:
        save_random(Path(output_dir), self.args.process_index)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is not None:
            load_random(Path(checkpoint), self.args.process_index)


def _one_later(rate: Callable[[int], float]) -> Callable[[int], float]:
    return lambda step: rate(step + 1)


SUMMARY = (
    "rewards/chosen",
    "rewards/rejected",
    "rewards/margins",
    "rewards/accuracies",
    "logps/chosen",
    "logps/rejected",
    "kl",
    "length/chosen",
    "length/rejected",
    "tokens",
)
"""What :func:`summary` returns, in order; the first eight as in TRL where TRL has them."""


def summary(scores: Scores, beta: float) -> Tensor:
    """Return ``(len(SUMMARY),)`` means over a batch.

    Rejected values are means over a row's rejected answers, accuracy is the share of them with a
    smaller reward than the chosen one. ``kl`` is the mean of ``-log(pi/ref)`` per token: an
    estimate of KL(ref || pi) in nats per token, unbiased where the answers were sampled from the
    reference (self-generated pairs), and a drift signal elsewhere.
    """
    with torch.no_grad():
        rewards, mask = beta * scores.ratios, scores.mask
        rejected = mask[:, 1:]
        count = rejected.sum(1).clamp(min=1)

        def mean_rejected(values: Tensor) -> Tensor:
            return (values[:, 1:] * rejected).sum(1) / count

        wins = (rewards[:, :1] > rewards) * mask
        lengths = scores.lengths * mask
        rows = [
            rewards[:, 0],
            mean_rejected(rewards),
            rewards[:, 0] - mean_rejected(rewards),
            mean_rejected(wins),
            scores.policy[:, 0],
            mean_rejected(scores.policy),
            -(scores.per_token * mask).sum(1) / mask.sum(1),
            lengths[:, 0],
            mean_rejected(lengths),
            lengths.sum(1),
        ]
        return torch.stack([row.to(scores.policy.dtype).mean() for row in rows])


def summed(tokens: Tensor, inputs: Mapping[str, Any]) -> Tensor:
    """Add the tokens of each answer: from flat tokens to ``(N,)``."""
    return tokens.new_zeros(len(inputs["lengths"])).index_add(0, inputs["owner"], tokens)


def arrange_tokens(policy: Tensor, reference: Tensor, inputs: Mapping[str, Any]) -> Tokens:
    """Put flat per-token values into rows, columns and positions."""
    counts, lengths = inputs["counts"], inputs["lengths"]
    rows: Sequence[EncodedPair] = inputs["rows"]
    width = max(len(row.answers) for row in rows)
    longest = max(len(answer) for row in rows for answer in row.answers)
    places = torch.arange(width, device=counts.device)[None, :] < counts[:, None]
    long = lengths.new_zeros(places.shape).masked_scatter(places, lengths)
    mask = torch.arange(longest, device=counts.device) < long[..., None]

    def place(values: Tensor) -> Tensor:
        return values.new_zeros(mask.shape).masked_scatter(mask, values)

    weights = None
    if any(row.weights for row in rows):
        flat = [
            weight
            for row in rows
            for its in row.weights or [(1.0,) * len(answer) for answer in row.answers]
            for weight in its
        ]
        weights = place(torch.tensor(flat, dtype=policy.dtype, device=policy.device))
    return Tokens(place(policy), place(reference.to(policy.dtype)), mask, weights)


def arrange(policy: Tensor, reference: Tensor, inputs: Mapping[str, Any]) -> Scores:
    """Put flat per-answer values into rows and columns."""
    counts: Tensor = inputs["counts"]
    rows: Sequence[EncodedPair] = inputs["rows"]
    width = max(len(row.answers) for row in rows)
    mask = torch.arange(width, device=counts.device)[None, :] < counts[:, None]

    def place(values: Tensor) -> Tensor:
        return values.new_zeros(mask.shape).masked_scatter(mask, values)

    targets = None
    if all(row.targets is not None for row in rows):
        flat = [score for row in rows for score in row.targets or ()]
        targets = place(torch.tensor(flat, dtype=policy.dtype, device=policy.device))
    sides = None
    if any(row.kinds for row in rows):
        kinds = [
            kind for row in rows for kind in row.kinds or (0, *[BY_TEXT] * (len(row.answers) - 1))
        ]
        sides = place(torch.tensor(kinds, device=policy.device))
    lengths = place(inputs["lengths"]).clamp(min=1)
    return Scores(
        place(policy), place(reference.to(policy.dtype)), lengths, mask, targets, sides=sides
    )


def _refuse_broken(losses: Tensor, scores: Scores, rows: Sequence[EncodedPair]) -> None:
    finite = torch.isfinite(losses) & torch.isfinite(scores.policy).all(1)
    if bool(finite.all()):
        return
    worst = rows[int((~finite).nonzero()[0, 0])]
    raise HarnessError(
        f"The loss of {worst.name} is {losses[~finite][0].item()}; training stopped before it "
        "could spoil the weights. Look at that pair; if it is sound, lower "
        "learning_rate. The last checkpoint is kept."
    )
