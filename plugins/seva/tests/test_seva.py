from __future__ import annotations

import pytest
import torch
from harness_seva import PRESETS, Options
from harness_seva.noise import Noise, signal_and_noise


@pytest.mark.parametrize(
    ("step", "signal", "noise"),
    # Computed from the published schedule, independently of this code.
    [(500, 0.863017, 0.505175), (800, 0.467014, 0.884250), (999, 0.285042, 0.958515)],
)
def test_the_schedule_is_the_published_one(step, signal, noise):
    assert signal_and_noise(step) == pytest.approx((signal, noise), abs=1e-6)


def test_noise_depends_on_its_seed_alone_and_has_the_stated_strength():
    pixels = torch.linspace(-2, 2, 3 * 64 * 64).reshape(1, 3, 64, 64)
    torch.manual_seed(1)
    first = Noise(500, 7)(pixels)
    torch.manual_seed(2)
    assert torch.equal(first, Noise(500, 7)(pixels))
    assert not torch.equal(first, Noise(500, 8)(pixels))
    drawn = (first - 0.863017 * pixels) / 0.505175
    assert drawn.mean().abs() < 0.03
    assert drawn.std() == pytest.approx(1, abs=0.03)
    assert first.abs().max() > 2.5  # nothing is clipped


def test_a_noise_names_itself_completely():
    assert repr(Noise(500, 7)) == "Noise(step=500, seed=7)"


def test_the_paper_preset_is_the_paper():
    paper = PRESETS["paper"]
    assert (paper.noise_step, paper.beta, paper.learning_rate) == (500, 0.1, 2e-6)
    assert (paper.lora_rank, paper.lora_alpha, paper.epochs) == (1024, 2048, 2.0)
    with pytest.raises(ValueError, match="noise_step"):
        Options(noise_step=1000)
