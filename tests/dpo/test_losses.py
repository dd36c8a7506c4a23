"""Losses against hand-computed values, limits, symmetries and the sign of their gradients."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.dpo import losses
from harness.dpo.losses import Knobs, Scores, competitors

LOSSES = {
    name: getattr(losses, name)
    for name in (
        *("dpo", "dpo_norm", "infonca", "ipo", "mpo", "multi_mean", "multi_softmax", "nca"),
        *("plackett_luce", "sft", "sima_released"),
    )
}

BETA = 0.5
KNOBS = Knobs(beta=BETA)
PAIRWISE = ["dpo", "dpo_norm", "ipo"]
RELATIVE = ["dpo", "dpo_norm", "multi_mean", "multi_softmax", "plackett_luce", "infonca"]
SYMMETRIC = [name for name in LOSSES if name != "plackett_luce"]

QUICK = settings(deadline=None, max_examples=40)
numbers = st.floats(-20, 20, allow_nan=False, width=32)
rows = st.lists(st.lists(numbers, min_size=2, max_size=5), min_size=1, max_size=4)


def scores(ratios, *, lengths=None, width=None, targets=None):
    """Rows of log-ratios as scores, with reference log-probability -7 and junk in the padding."""
    width = width or max(map(len, ratios))
    policy = torch.full((len(ratios), width), 99.0, dtype=torch.float64)
    mask = torch.zeros(len(ratios), width, dtype=torch.bool)
    count = torch.ones(len(ratios), width, dtype=torch.float64)
    for at, row in enumerate(ratios):
        policy[at, : len(row)] = torch.tensor(row, dtype=torch.float64) - 7.0
        mask[at, : len(row)] = True
        if lengths is not None:
            count[at, : len(row)] = torch.tensor(lengths[at], dtype=torch.float64)
    reference = torch.full_like(policy, -7.0)
    return Scores(policy.requires_grad_(), reference, count, mask, targets)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        # log-ratios 2, -1, 0.5 and beta 0.5: rewards 1, -0.5, 0.25; lengths 4, 2, 1
        ("multi_mean", (math.log1p(math.exp(-1.5)) + math.log1p(math.exp(-0.75))) / 2),
        ("multi_softmax", math.log(1 + math.exp(-1.5) + math.exp(-0.75))),
        ("infonca", math.log(1 + math.exp(-1.5) + math.exp(-0.75))),
        (
            "plackett_luce",
            math.log(1 + math.exp(-1.5) + math.exp(-0.75)) + math.log1p(math.exp(0.75)),
        ),
        # per token 0.5, -0.5, 0.5; margins 1 and 0; 1 / (2 beta) = 1
        ("ipo", (0.0 + 1.0) / 2),
        ("dpo_norm", (math.log1p(math.exp(-0.5)) + math.log(2)) / 2),
        (
            "nca",
            math.log1p(math.exp(-1.0))
            + (math.log1p(math.exp(1)) + math.log1p(math.exp(-0.5)) + math.log1p(math.exp(0.25)))
            / 3,
        ),
        # the chosen answer's log-probability is -5 over 4 tokens
        ("sft", 1.25),
        (
            "mpo",
            0.8 * (math.log1p(math.exp(-1.5)) + math.log1p(math.exp(-0.75))) / 2
            + 0.2
            * (
                math.log1p(math.exp(-1.0))
                + (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(0.25))) / 2
            )
            + 1.25,
        ),
        ("sima_released", (math.log1p(math.exp(-1.5)) + math.log1p(math.exp(-0.75))) / 2),
        ("dpo", (math.log1p(math.exp(-1.5)) + math.log1p(math.exp(-0.75))) / 2),
    ],
)
def test_a_value_computed_by_hand(name, expected):
    given_ = scores([[2.0, -1.0, 0.5]], lengths=[[4, 2, 1]], width=5)
    assert LOSSES[name](given_, KNOBS).tolist() == pytest.approx([expected], rel=1e-12)


def test_infonca_and_nca_follow_the_scores_of_the_answers():
    targets = torch.tensor([[1.0, 0.0, 5.0]], dtype=torch.float64)  # the last column is padding
    two = scores([[2.0, -1.0]], width=3, targets=targets)
    knobs = Knobs(beta=BETA, temperature=0.5)
    first, second = 1 / (1 + math.exp(-2)), 1 / (1 + math.exp(2))
    total = math.log(math.exp(1.0) + math.exp(-0.5))
    expected = first * (total - 1.0) + second * (total + 0.5)
    assert LOSSES["infonca"](two, knobs).item() == pytest.approx(expected, rel=1e-12)
    toward = first * math.log1p(math.exp(-1)) + second * math.log1p(math.exp(0.5))
    away = (math.log1p(math.exp(1)) + math.log1p(math.exp(-0.5))) / 2
    assert LOSSES["nca"](two, knobs).item() == pytest.approx(toward + away, rel=1e-12)


@pytest.mark.parametrize("answers", [2, 3, 5])
def test_where_training_starts(answers):
    start = scores([[0.0] * answers])
    for name in ("dpo", "dpo_norm", "multi_mean"):
        assert LOSSES[name](start, KNOBS).item() == pytest.approx(math.log(2))
    for name in ("multi_softmax", "infonca"):
        assert LOSSES[name](start, KNOBS).item() == pytest.approx(math.log(answers))
    order = math.log(math.factorial(answers))
    assert LOSSES["plackett_luce"](start, KNOBS).item() == pytest.approx(order)


@QUICK
@given(rows)
def test_with_one_negative_all_relative_losses_are_dpo(ratios):
    two = scores([row[:2] for row in ratios])
    expected = LOSSES["dpo"](two, KNOBS)
    for name in ("multi_mean", "multi_softmax", "plackett_luce", "infonca", "sima_released"):
        torch.testing.assert_close(LOSSES[name](two, KNOBS), expected)


@QUICK
@given(rows, st.sampled_from(sorted(LOSSES)))
def test_padding_neither_counts_nor_gets_a_gradient(ratios, name):
    narrow, wide = scores(ratios), scores(ratios, width=8)
    small, large = (LOSSES[name](one, KNOBS) for one in (narrow, wide))
    torch.testing.assert_close(small, large)
    large.sum().backward()
    gradient = wide.policy.grad
    assert torch.isfinite(gradient).all()
    assert (gradient[~wide.mask] == 0).all()


@QUICK
@given(st.lists(numbers, min_size=3, max_size=5), st.randoms(), st.sampled_from(SYMMETRIC))
def test_the_order_of_the_rejected_does_not_matter(row, random, name):
    shuffled = row[1:]
    random.shuffle(shuffled)
    one, other = (LOSSES[name](scores([r]), KNOBS) for r in (row, [row[0], *shuffled]))
    torch.testing.assert_close(one, other)


@QUICK
@given(st.lists(numbers, min_size=3, max_size=5, unique=True))
def test_plackett_luce_likes_the_true_order_best(row):
    best, *others = sorted(row, reverse=True)
    right = LOSSES["plackett_luce"](scores([[best, *others]]), KNOBS)
    wrong = LOSSES["plackett_luce"](scores([[best, *reversed(others)]]), KNOBS)
    assert right.item() <= wrong.item() + 1e-9


@QUICK
@given(rows, st.floats(-5, 5), st.sampled_from(RELATIVE))
def test_relative_losses_ignore_a_common_shift(ratios, shift, name):
    moved = [[value + shift for value in row] for row in ratios]
    one, other = (LOSSES[name](scores(r), KNOBS) for r in (ratios, moved))
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


@QUICK
@given(rows, st.sampled_from([name for name in LOSSES if name not in ("ipo", "sft")]))
def test_the_gradient_raises_the_chosen_and_lowers_the_last_rejected(ratios, name):
    """``nca`` alone may hold a chosen answer back: its second term punishes any high reward."""
    batch = scores(ratios)
    LOSSES[name](batch, Knobs(beta=0.01)).sum().backward()
    gradient = batch.policy.grad
    assert (gradient[:, 0] < 0).all()
    last = batch.mask.sum(1) - 1
    assert (gradient.gather(1, last[:, None]) > 0).all()


@pytest.mark.parametrize("name", sorted(set(LOSSES) - {"sft", "ipo", "nca", "mpo"}))
def test_the_limits(name):
    good, bad = (LOSSES[name](scores([[s * 1e4, 0.0]]), KNOBS).item() for s in (1, -1))
    assert good == pytest.approx(0.0, abs=1e-12)
    assert bad == pytest.approx(BETA * 1e4)


def test_ipo_has_its_minimum_at_the_margin():
    at = scores([[1 / (2 * BETA), 0.0]])
    loss = LOSSES["ipo"](at, KNOBS)
    loss.sum().backward()
    assert loss.item() == 0
    assert at.policy.grad.abs().sum() == 0


def test_a_copy_of_a_negative_changes_the_softmax_but_not_the_mean():
    """Why duplicates are removed before training."""
    once, twice = scores([[1.0, -1.0]]), scores([[1.0, -1.0, -1.0]])
    assert LOSSES["multi_softmax"](once, KNOBS) < LOSSES["multi_softmax"](twice, KNOBS)
    torch.testing.assert_close(
        LOSSES["multi_mean"](once, KNOBS), LOSSES["multi_mean"](twice, KNOBS)
    )


def test_hard_negatives_get_their_softmax_share_of_the_gradient():
    batch = scores([[0.0, 2.0, -2.0]])
    LOSSES["multi_softmax"](batch, KNOBS).sum().backward()
    share = torch.softmax(torch.tensor([0.0, 1.0, -1.0], dtype=torch.float64), 0)
    torch.testing.assert_close(batch.policy.grad[0, 1:], BETA * share[1:])


def test_the_competitor_is_the_best_other_token():
    logits = torch.tensor([[0.0, 3.0, 2.0], [5.0, 1.0, 2.0], [1.0, 2.0, 9.0]])
    assert competitors(logits, torch.tensor([1, 1, 0])).tolist() == [2, 0, 2]
