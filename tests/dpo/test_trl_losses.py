"""Further losses against TRL's own code on the same log-probabilities, and against hand values."""

from __future__ import annotations

import inspect
import math
import re
from collections import defaultdict
from dataclasses import replace
from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional
from trl.experimental.cpo.cpo_trainer import CPOTrainer
from trl.experimental.orpo.orpo_trainer import ORPOTrainer
from trl.trainer.dpo_trainer import DPOTrainer

from harness import dpo
from harness.dpo.loss_open import CHECKS, Case, case, check_loss, combined, open_loss
from harness.dpo.loss_terms import Needs, _knobs_in_source, terms_of
from harness.dpo.losses import Knobs, Scores, multi_mean
from harness.errors import HarnessError, UsageError
from harness.plugins import load

BETA = 0.3
KNOBS = Knobs(beta=BETA)
QUICK = settings(deadline=None, max_examples=40)


def drawn(seed, rows=5, longest=7):
    """Per-token log-probabilities of pairs: one chosen and one rejected answer a row."""
    source = torch.Generator().manual_seed(seed)
    shape = (rows, 2, longest)
    policy, reference = (-4 * torch.rand(shape, generator=source).double() for _ in range(2))
    lengths = torch.randint(1, longest + 1, shape[:2], generator=source)
    mask = torch.arange(longest) < lengths[..., None]
    return policy, reference, mask


class Given(torch.nn.Module):
    """A network that gives these log-probabilities, so that TRL's own loss code runs on them."""

    is_gradient_checkpointing = False

    def __init__(self, values, mask):
        super().__init__()
        flat = lambda t: t.transpose(0, 1).reshape(-1, t.shape[-1])  # noqa: E731
        shown = flat(values * mask)
        top = torch.zeros_like(shown, dtype=torch.bool)
        self.out = SimpleNamespace(log_probs=shown, entropy=shown, mean_logits=shown, is_top1=top)

    def forward(self, **inputs):
        return self.out


def trls(loss, policy, reference, mask, **knobs):
    """TRL's value: ``DPOTrainer._compute_loss`` itself, with the network replaced."""
    whole = mask.transpose(0, 1).reshape(-1, mask.shape[-1]).long()
    first = torch.zeros(len(whole), 1, dtype=torch.long)
    completion = torch.cat([first, whole], 1)  # position 0 is the prompt
    config = {"beta": BETA, "label_smoothing": 0.0, "ld_alpha": None, **knobs}
    trainer = SimpleNamespace(
        model=Given(policy, mask),
        ref_model=Given(reference, mask),
        accelerator=SimpleNamespace(
            device="cpu", gather=lambda value: value, gather_for_metrics=lambda value: value
        ),
        args=SimpleNamespace(discopop_tau=0.05, gradient_checkpointing_kwargs=None),
        loss_types=[loss],
        loss_weights=[1.0],
        aux_loss_enabled=False,
        use_weighting=False,
        precompute_ref_logps=False,
        f_divergence_type="reverse_kl",
        _total_train_tokens=0,
        _tp_size=1,
        _metrics={"train": defaultdict(list)},
        **config,
    )
    batch = {
        "input_ids": torch.zeros_like(completion),
        "attention_mask": torch.ones_like(completion),
        "completion_mask": completion,
    }
    return DPOTrainer._compute_loss(trainer, trainer.model, batch, False)


def ours(text, policy, reference, mask):
    return combined(text)(Case(policy, reference, mask).scores(), KNOBS).mean()


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("text", "loss", "knobs"),
    [
        ("dpo", "sigmoid", {}),
        ("hinge", "hinge", {}),
        ("robust:label_smoothing=0.2", "robust", {"label_smoothing": 0.2}),
        ("exo_pair:label_smoothing=0.01", "exo_pair", {"label_smoothing": 0.01}),
        ("bco_pair", "bco_pair", {}),
        ("sppo_hard", "sppo_hard", {}),
        ("aot:label_smoothing=0.1", "aot", {"label_smoothing": 0.1}),
        ("aot_unpaired:label_smoothing=0.1", "aot_unpaired", {"label_smoothing": 0.1}),
        ("apo_zero", "apo_zero", {}),
        ("apo_down", "apo_down", {}),
        ("discopop", "discopop", {}),
        ("ld_dpo:alpha=0.3", "sigmoid", {"ld_alpha": 0.3}),
        ("ipo", "ipo", {}),
        ("nca", "nca_pair", {}),
        ("dpo_norm", "sigmoid_norm", {}),
        ("sft", "sft", {}),
    ],
)
def test_the_value_is_trls_in_float64(text, loss, knobs, seed):
    given_ = drawn(seed)
    expected = trls(loss, *given_, **knobs)
    assert expected.dtype == torch.float64
    close = 1e-6 if loss == "exo_pair" else 1e-12  # TRL keeps its label smoothing in float32
    assert ours(text, *given_).item() == pytest.approx(expected.item(), rel=close)


def test_cdpo_is_trls_aot_of_one_pair():
    given_ = drawn(4, rows=1)
    expected = trls("aot", *given_, label_smoothing=0.2)
    value = ours("cdpo:label_smoothing=0.2", *given_)
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)


def test_simpo_and_orpo_are_trls():
    policy, reference, mask = drawn(5)
    means = (policy * mask).sum(2) / mask.sum(2)
    accelerator = SimpleNamespace(device="cpu")
    theirs = SimpleNamespace(
        beta=BETA, alpha=0.0, loss_type="simpo", simpo_gamma=0.4, label_smoothing=0.1,
        accelerator=accelerator,
    )  # fmt: skip
    expected = CPOTrainer.cpo_loss(theirs, means[:, 0], means[:, 1])[0].mean()
    value = ours("simpo:gamma=0.4,label_smoothing=0.1", policy, reference, mask)
    assert value.item() == pytest.approx(expected.item(), rel=1e-12)
    odds = ORPOTrainer.odds_ratio_loss(theirs, means[:, 0], means[:, 1])[0]  # float32 inside
    expected = ours("sft", policy, reference, mask) - odds.mean()
    value = ours("orpo", policy, reference, mask)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5)


def row(ratios, lengths=(4, 2, 1)):
    """One row of log-ratios over a reference of -7."""
    policy = torch.tensor([ratios], dtype=torch.float64) - 7.0
    reference = torch.full_like(policy, -7.0)
    counts = torch.tensor([lengths[: len(ratios)]], dtype=torch.float64)
    return Scores(policy, reference, counts, torch.ones_like(policy, dtype=torch.bool))


def sig(x):
    return 1 / (1 + math.exp(-x))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # log-ratios 2, -1, 0.5 and beta 0.5: rewards 1, -0.5, 0.25, margins 1.5 and 0.75
        ("hinge", (0.0 + 0.25) / 2),
        (
            "robust:label_smoothing=0.2",
            sum(-0.8 * math.log(sig(m)) + 0.2 * math.log(sig(-m)) for m in (1.5, 0.75)) / 1.2,
        ),
        (
            "cdpo:label_smoothing=0.2",
            sum(-0.8 * math.log(sig(m)) - 0.2 * math.log(sig(-m)) for m in (1.5, 0.75)) / 2,
        ),
        ("bco_pair", -math.log(sig(1)) - (math.log(sig(0.5)) + math.log(sig(-0.25))) / 2),
        # 1 / (2 beta) is 1
        ("sppo_hard", 1.0 + (0.0 + 2.25) / 2),
        ("apo_zero", 1 - sig(1) + (sig(-0.5) + sig(0.25)) / 2),
        ("apo_down", sig(1) + 1 - (sig(1.5) + sig(0.75)) / 2),
        # log-probabilities -5, -8, -6.5 over 4, 2, 1 tokens: -1.25, -4, -6.5 a token
        (
            "simpo:gamma=0.25",
            -(math.log(sig(0.5 * 2.75 - 0.25)) + math.log(sig(0.5 * 5.25 - 0.25))) / 2,
        ),
        ("anchor:delta=0.25", -math.log(sig(0.75))),
        # z of the chosen answer is 0, since the mean of -1 and 0.5 is below it; the others' is 2
        ("kto", (1 - sig(1) + (1 - sig(1.5) + 1 - sig(0.75)) / 2) / 2),
        ("conditional", 0.0),
        ("mm_dpo", -(math.log(sig(1.5)) + math.log(sig(0.75))) / 2),
    ],
)
def test_a_value_computed_by_hand(name, expected):
    value = combined(name)(row([2.0, -1.0, 0.5]), Knobs(beta=0.5))
    assert value.tolist() == pytest.approx([expected], rel=1e-12)


def test_losses_see_the_answers_that_they_are_about():
    """Log-ratios 2 | -1 by its text, 0.5 by its image, beta 0.5: margins 1.5 and 0.75."""
    made, knobs = row([2.0, -1.0, 0.5]), Knobs(beta=0.5)
    made = replace(made, sides=torch.tensor([[0, dpo.BY_TEXT, dpo.BY_IMAGE]]))
    text, image, anchored = -math.log(sig(1.5)), -math.log(sig(0.75)), -math.log(sig(1.0))
    for name, expected in {
        "dpo": text,
        "aot": text,
        "conditional": image,
        "dpo+conditional+anchor": text + image + anchored,
        "dpo+0.5*conditional": text + image / 2,
        "multi_softmax": text,
    }.items():
        assert combined(name)(made, knobs).tolist() == pytest.approx([expected], rel=1e-12), name
    alone = replace(made, sides=torch.tensor([[0, dpo.BY_IMAGE, dpo.BY_IMAGE]]))
    for name in ("dpo", "aot", "aot_unpaired"):
        assert combined(name)(alone, knobs).tolist() == [0.0]
    both = replace(made, sides=torch.tensor([[0, dpo.BY_BOTH, dpo.BY_IMAGE]]))
    assert combined("dpo")(both, knobs).tolist() == pytest.approx([text], rel=1e-12)


def test_a_gap_of_scores_scales_beta():
    """Scores 3 | 1, 3: gaps 2 and 0."""
    made = replace(row([2.0, -1.0, 0.5]), targets=torch.tensor([[3.0, 1.0, 3.0]]).double())
    beta = 0.5 * (1 + 0.5 * (1 - math.exp(-1.0)))
    expected = -(math.log(sig(beta * 3.0)) + math.log(sig(0.75))) / 2
    value = combined("mm_dpo")(made, Knobs(beta=0.5))
    assert value.tolist() == pytest.approx([expected], rel=1e-12)


def test_ld_dpo_by_hand():
    """Log-ratios 1, 1, 1 | -1: one shared token; beyond it tokens weigh one half."""
    reference = torch.zeros(1, 2, 3, dtype=torch.float64)
    policy = torch.tensor([[[1.0, 1.0, 1.0], [-1.0, 9.0, 9.0]]], dtype=torch.float64)
    mask = torch.tensor([[[True, True, True], [True, False, False]]])
    value = ours("ld_dpo", policy, reference, mask)
    assert value.item() == pytest.approx(-math.log(sig(BETA * (2.0 + 1.0))), rel=1e-12)
    assert ours("ld_dpo:alpha=1", policy, reference, mask).item() == pytest.approx(
        -math.log(sig(BETA * 4.0)), rel=1e-12
    )


def test_a_sum_is_weighted():
    given_ = drawn(6)
    parts = [ours(name, *given_) for name in ("dpo", "sft", "hinge")]
    value = ours("dpo+0.2*sft+1e-1*hinge", *given_)
    assert value.item() == pytest.approx((parts[0] + 0.2 * parts[1] + 0.1 * parts[2]).item())


def test_what_a_sum_needs_is_what_its_parts_need():
    assert combined("simpo+orpo").needs == Needs(reference=False)
    assert combined("simpo+dpo").needs == Needs(one_rejected=True)
    assert combined("ld_dpo+sft").needs == Needs(tokens=True)
    assert combined("sft+0.5*sft").only_chosen


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("dop", "no loss 'dop'.*Did you mean 'dpo'.*harness list losses"),
        ("dpo+", "'' cannot be read"),
        ("dpo+-1*sft", "cannot be read"),
        ("0*dpo", "cannot be read"),
        ("robust:label_smoothing", "cannot be read"),
        ("robust:label_smoothing=nan", "cannot be read"),
        ("robust:smooth=0.1", "no knob 'smooth'.*label_smoothing"),
        ("robust:label_smoothing=0.5", "below 0.5"),
        ("sima_released+sft", "cannot be part of a sum"),
        ("__import__('os')", "cannot be read"),
    ],
)
def test_what_is_no_loss_is_refused_by_name(text, told):
    with pytest.raises(UsageError, match=f"(?s){told}"):
        open_loss(text)
    with pytest.raises(UsageError, match=f"(?s){told}"):
        dpo.Training(loss=text)


def test_the_knobs_in_the_source_of_a_loss_are_those_of_the_function():
    for name in dpo.LOSSES:
        kinds = inspect.signature(load("losses", name)).parameters.values()
        known = [each.name for each in kinds if each.kind is each.KEYWORD_ONLY]
        assert _knobs_in_source(name) == known


@pytest.mark.parametrize(
    ("more", "known"),
    [
        ("", ["margin"]),
        ("mine = with_margin(mine)", None),
        ("@with_more\ndef mine(scores, knobs): ...", None),
        ("if True:\n    def mine(scores, knobs): ...", None),
        ("from other import mine", None),
    ],
)
def test_the_source_is_not_believed_where_the_name_is_bound_twice(
    tmp_path, monkeypatch, more, known
):
    (tmp_path / "my_losses.py").write_text(f"def mine(scores, knobs, *, margin=0): ...\n{more}\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = EntryPoint("mine", "my_losses:mine", "harness.losses")
    monkeypatch.setattr("harness.dpo.loss_terms.find", lambda kind, name: point)
    assert _knobs_in_source("mine") == known


@pytest.mark.parametrize("name", dpo.LOSSES)
def test_every_loss_that_ships_keeps_all_promises(name):
    assert not any(check_loss(name).values())


def test_the_names_are_those_of_the_functions_and_of_the_entry_points():
    from importlib.metadata import entry_points

    shipped = {
        point.name: point.load() for point in entry_points(group="harness.losses")
        if point.value.startswith("harness.dpo.")
    }  # fmt: skip
    assert sorted(shipped) == list(dpo.LOSSES) == sorted(dpo.LOSSES)
    assert all(loss.__name__ == name for name, loss in shipped.items())
    assert set(dpo.ONE_NEGATIVE) == {
        name for name in shipped if combined(name).needs.one_rejected
    }  # fmt: skip


def nan(scores, knobs):
    return scores.policy[:, 0] * float("nan")


def ignores_the_mask(scores, knobs):
    return -(scores.policy - scores.reference).mean(1)


def wrong_sign(scores, knobs):
    return -multi_mean(scores, knobs)


def one_number(scores, knobs):
    return multi_mean(scores, knobs).mean()


def detached(scores, knobs):
    return multi_mean(scores, knobs).detach()


def sums_the_batch(scores, knobs):
    return multi_mean(scores, knobs) * len(scores.policy)


def explodes(scores, knobs):
    return torch.exp(scores.ratios[:, 1] - scores.ratios[:, 0])


def raises(scores, knobs):
    raise KeyError("x")


BROKEN = {
    nan: ("one finite value a row", "nan"),
    one_number: ("one finite value a row", r"\(\) for 3 rows"),
    raises: ("one finite value a row", "KeyError"),
    ignores_the_mask: ("padding does not count", "padding"),
    detached: ("the gradient is right", "no gradient|finite differences"),
    wrong_sign: ("a wrong order is corrected", "sign"),
    sums_the_batch: ("the scale is the batch's", "mean changes"),
    explodes: ("extremes are finite", "finite|inf"),
}


@pytest.mark.parametrize("loss", BROKEN, ids=lambda loss: loss.__name__)
def test_a_broken_loss_is_caught_by_name(monkeypatch, loss):
    promise, told = BROKEN[loss]
    monkeypatch.setattr("harness.dpo.loss_open.load", lambda kind, name: loss)
    found = check_loss("dpo")
    assert list(found) == list(CHECKS)
    message = found[promise]
    assert message.startswith("The loss 'dpo' cannot be trained with: ")
    assert re.search(told, message)
    if promise in ("one finite value a row", "padding does not count"):
        with pytest.raises(HarnessError, match="harness check --loss 'dpo'"):
            open_loss("dpo")


@QUICK
@given(st.sampled_from(dpo.LOSSES), st.floats(-30, 30), st.booleans())
def test_values_and_gradients_are_finite_for_any_gap(name, gap, single):
    loss = combined(name)
    made = case(loss.needs, gap=gap, dtype=torch.float32 if single else torch.float64)
    total = loss(made.scores(), KNOBS).sum()
    total.backward()
    assert torch.isfinite(total)
    assert torch.isfinite(made.policy.grad).all()
    assert (made.policy.grad[~made.mask] == 0).all()


def test_terms_are_read():
    (first, second) = terms_of(" dpo + 0.5*ld_dpo:alpha=0.2 ")
    assert (first.weight, first.name, dict(first.values)) == (1.0, "dpo", {})
    assert (second.weight, second.name, dict(second.values)) == (0.5, "ld_dpo", {"alpha": 0.2})


def test_losses_of_others_over_several_images_are_a_few_lines(monkeypatch):
    """SymMPO's two images with two answers, and LPOI's list of images, as losses of a plugin."""

    def rewards(scores, knobs, kind):
        return (knobs.beta * scores.ratios).masked_fill(~(scores.sides == kind), -torch.inf)

    @dpo.needs(images=True)
    def symmetric(scores, knobs):
        own, text, both, image = (
            rewards(scores, knobs, kind).amax(1)
            for kind in (0, dpo.BY_TEXT, dpo.BY_BOTH, dpo.BY_IMAGE)
        )
        return -functional.logsigmoid(own - text) - functional.logsigmoid(both - image)

    @dpo.needs(images=True)
    def listwise(scores, knobs):
        images = (scores.sides == 0) | (scores.sides == dpo.BY_IMAGE)
        return -torch.log_softmax((knobs.beta * scores.ratios).masked_fill(~images, -torch.inf), 1)[
            :, 0
        ]

    made, knobs = row([2.0, -1.0, 0.5, 1.0], lengths=(4, 2, 1, 1)), Knobs(beta=0.5)
    kinds = [0, dpo.BY_TEXT, dpo.BY_BOTH, dpo.BY_IMAGE]
    monkeypatch.setattr("harness.dpo.loss_open.load", lambda kind, name: symmetric)
    found = combined("dpo")(replace(made, sides=torch.tensor([kinds])), knobs)
    assert found.tolist() == pytest.approx([-math.log(sig(1.5)) - math.log(sig(-0.25))], rel=1e-12)
    monkeypatch.setattr("harness.dpo.loss_open.load", lambda kind, name: listwise)
    kinds = [0, dpo.BY_IMAGE, dpo.BY_IMAGE, dpo.BY_TEXT]
    found = combined("dpo")(replace(made, sides=torch.tensor([kinds])), knobs)
    expected = math.log(1 + math.exp(-1.5) + math.exp(-0.75))
    assert found.tolist() == pytest.approx([expected], rel=1e-12)
