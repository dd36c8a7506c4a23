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
    import PIL.Image
    import torch

STEPS = 1000
MEAN = (0.48145466, 0.4578275, 0.40821073)
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
"""CLIP's, of pixels in 0..1."""


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

    def picture(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """Return the noised image to look at: same strength and seed, at the image's own size.

        Values that no screen can show are cut off; the model sees them.
        """
        import torch
        from torchvision.transforms.v2 import functional

        pixels = functional.pil_to_tensor(image.convert("RGB")).float() / 255
        mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, DEVIATION))
        seen = self((pixels - mean) / deviation) * deviation + mean
        shown: PIL.Image.Image = functional.to_pil_image(seen.clamp(0, 1))
        return shown


@dataclass(frozen=True)
class Views:
    """Several noises, one after the other."""

    parts: tuple[Noise, ...]

    def __call__(self, pixels: torch.Tensor) -> torch.Tensor:
        """Do as :meth:`Noise.__call__` with each."""
        for part in self.parts:
            pixels = part(pixels)
        return pixels

    def picture(self, image: PIL.Image.Image) -> PIL.Image.Image:
        """Do as :meth:`Noise.picture` with each."""
        for part in self.parts:
            image = part.picture(image)
        return image
