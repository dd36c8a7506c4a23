"""Ask a checkpoint many questions, greedily and in batches, with or without SeVa's noise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np


def noise_levels(steps: int = 1000) -> np.ndarray:
    """Return the share of signal left, abar, after each diffusion step; shape (steps,)."""
    beta = 1 / (1 + np.exp(-np.linspace(-6, 6, steps))) * (0.005 - 1e-5) + 1e-5
    return np.cumprod(1 - beta)


def noisy(values: Any, step: int, seed: int) -> Any:
    """Corrupt normalised pixels as SeVa does.

    Args:
        values: Tensor of shape (n, 3, height, width), normalised as CLIP's images are.
        step: Diffusion step from 0 to 999; a larger one leaves less of the image.
        seed: Of the noise.

    Returns:
        Tensor of the same shape.
    """
    import torch

    left = float(noise_levels()[step])
    drawn = torch.randn(values.shape, generator=torch.Generator().manual_seed(seed))
    return left**0.5 * values + (1 - left) ** 0.5 * drawn


class Respondent:
    """A checkpoint that answers questions about images."""

    def __init__(self, folder: Path) -> None:
        """Load the checkpoint and the processor of a folder in float32."""
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        self.processor = AutoProcessor.from_pretrained(folder)
        self.model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()

    def prompt(self, question: str) -> str:
        """Render the chat prompt of one question about one image."""
        content = [{"type": "image"}, {"type": "text", "text": question}]
        turn = {"role": "user", "content": content}
        return self.processor.apply_chat_template([turn], add_generation_prompt=True)

    def answers(
        self,
        asked: Sequence[tuple[np.ndarray, str]],
        *,
        longest: int = 100,
        step: int | None = None,
        batch: int = 64,
    ) -> list[str]:
        """Answer (image, question) pairs in order.

        Args:
            asked: Images are RGB bytes of shape (height, width, 3).
            longest: Most tokens per answer.
            step: Diffusion step of the noise; None leaves the images clean.
            batch: Questions per forward pass.

        Returns:
            One stripped answer for each question.
        """
        order = sorted(range(len(asked)), key=lambda index: len(asked[index][1]))
        found = [""] * len(asked)
        for first in range(0, len(order), batch):
            part = order[first : first + batch]
            for index, text in zip(
                part, self._batch([asked[i] for i in part], longest, step, first), strict=True
            ):
                found[index] = text
        return found

    def _batch(
        self, asked: Sequence[tuple[np.ndarray, str]], longest: int, step: int | None, seed: int
    ) -> list[str]:
        import torch
        from PIL import Image

        inputs = self.processor(
            text=[self.prompt(question) for _, question in asked],
            images=[Image.fromarray(image) for image, _ in asked],
            return_tensors="pt",
            padding=True,
        )
        if step is not None:
            inputs["pixel_values"] = noisy(inputs["pixel_values"], step, seed)
        with torch.inference_mode():
            out = self.model.generate(**inputs, do_sample=False, max_new_tokens=longest)
        new = out[:, inputs["input_ids"].shape[1] :]
        texts = self.processor.tokenizer.batch_decode(new, skip_special_tokens=True)
        return [text.strip() for text in texts]
