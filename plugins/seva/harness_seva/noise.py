"""SeVa's image corruption: the forward process of a diffusion model on the normalised pixels.

    x_t = sqrt(abar_t) * x_0 + sqrt(1 - abar_t) * eps,   abar_t = prod_{s<=t} (1 - beta_s)
    beta = sigmoid(linspace(-6, 6, 1000)) * (0.005 - 1e-5) + 1e-5

The schedule is that of SeVa's published ``generate_with_aug.py`` (arXiv 2404.10501), which has it
from VCD (arXiv 2311.16922). As there, ``t`` indexes the table directly, the noise is added to the
CLIP-normalised tensor after padding and resizing, and nothing is clipped. Unlike there, it is
seeded: the same prompt always gets the same noise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

STEPS = 1000


def signal_and_noise(step: int) -> tuple[float, float]:
    """Return ``sqrt(abar_t)`` and ``sqrt(1 - abar_t)`` for ``0 <= step < 1000``."""
    import torch

    ramp = torch.linspace(-6, 6, STEPS, dtype=torch.float64)
    beta = torch.sigmoid(ramp) * (0.005 - 1e-5) + 1e-5
    kept = torch.cumprod(1 - beta, dim=0)[step].item()
    return kept**0.5, (1 - kept) ** 0.5


@dataclass(frozen=True)
class Noise:
    """A view that adds diffusion noise of strength ``step``, drawn from ``seed`` alone."""

    step: int
    seed: int

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Return the noised tensor: float32, CLIP-normalised, any shape, the same out as in."""
        import torch

        signal, noise = signal_and_noise(self.step)
        stream = torch.Generator().manual_seed(self.seed)
        drawn = torch.randn(pixels.shape, generator=stream, dtype=torch.float32)
        return signal * pixels + noise * drawn.to(pixels.device)
