"""Does the training's result look at the image? Score the pairs again with blanked images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import PIL.Image
import PIL.ImageStat
import torch

from harness.dpo.adapters import with_adapter
from harness.dpo.config import KEEP, Training
from harness.dpo.encoding import Encoder, encoder_for
from harness.dpo.forward import (
    collate,
    image_features,
    packed_logits,
    plain_logits,
    private_copy,
    use_packed_attention,
    why_plain,
)
from harness.dpo.packing import token_log_probs
from harness.dpo.pair import Look, Unfit, check
from harness.errors import HarnessError, UsageError
from harness.records import Pair

if TYPE_CHECKING:
    from harness.model import Model


@dataclass(frozen=True)
class ImageAblation:
    """What blanking the images did; log-probabilities in nats.

    Attributes:
        pairs: how many pairs were scored.
        chosen: mean summed log-probability of the chosen answers with their images.
        chosen_blank: the same with each image replaced by its mean colour.
        margin: mean of chosen minus mean rejected log-probability, with the images.
        margin_blank: the same with blank images.
        drops: share of pairs whose chosen answer became less likely without its image.
    """

    pairs: int
    chosen: float
    chosen_blank: float
    margin: float
    margin_blank: float
    drops: float


def measure(pairs: Sequence[Pair], model: Model, adapter: Path | None) -> ImageAblation | None:
    """Do what :func:`harness.dpo.ablation` promises."""
    pairs = [pair for pair in pairs if pair.prompt.images]
    if not pairs:
        raise UsageError("The image ablation needs at least one pair with an image.")
    both = []
    with _ready(model, adapter) as (network, packed):
        encoder = encoder_for(model.processor, network, Training(cut=KEEP), model.protocol)
        for pair in pairs:
            with suppress(Unfit):  # SFT takes pairs whose rejected answers cannot be read
                made = check(pair)
                both.append([score(network, encoder, made, how, packed) for how in (None, blanked)])
    if not both:
        return None
    here, gone = torch.tensor(both).unbind(1)
    if not bool(torch.isfinite(here).all() and torch.isfinite(gone).all()):
        raise HarnessError(
            "The image ablation found a log-probability that is not finite; check the pairs."
        )
    return ImageAblation(
        pairs=len(both),
        chosen=float(here[:, 0].mean()),
        chosen_blank=float(gone[:, 0].mean()),
        margin=float((here[:, 0] - here[:, 1]).mean()),
        margin_blank=float((gone[:, 0] - gone[:, 1]).mean()),
        drops=float((gone[:, 0] < here[:, 0]).double().mean()),
    )


def blanked(image: PIL.Image.Image) -> PIL.Image.Image:
    """Return an image of the same size in the mean colour."""
    colour = tuple(round(value) for value in PIL.ImageStat.Stat(image).mean)
    return PIL.Image.new("RGB", image.size, colour)


@contextmanager
def _ready(model: Model, adapter: Path | None) -> Iterator[tuple[Any, bool]]:
    """Lend a private copy with the adapter, in evaluation mode and without gradients."""
    network: Any = private_copy(model.network)
    packed = why_plain(network) is None
    if packed:
        use_packed_attention(network)
    if adapter is not None:
        network = with_adapter(network, adapter).get_base_model()
    with torch.no_grad():
        yield network.eval(), packed


def score(
    network: Any, encoder: Encoder, pair: Pair, look: Look | None, packed: bool
) -> tuple[float, float]:
    """Return the log-probability of the chosen answer and the mean of the rejected ones.

    ``look`` is applied to every image of the pair, which has passed :func:`check`, first.
    """
    rows, family = [encoder.encode(0, pair, look)], network.config.model_type
    batch = _moved(collate(rows, packed=packed, family=family), network.device)
    if packed:
        features = image_features(network, batch["vision"], grad=False)
        logits = packed_logits(network, network, batch, features)
    else:
        logits = plain_logits(network, network, batch)
    tokens = token_log_probs(logits, batch["labels"])
    sums = tokens.new_zeros(len(batch["lengths"])).index_add(0, batch["owner"], tokens)
    return float(sums[0]), float(sums[1:].mean())


def _moved(value: Any, device: Any) -> Any:
    """Send the tensors of a batch to a device."""
    if isinstance(value, dict):
        return {key: _moved(one, device) for key, one in value.items()}
    if isinstance(value, list):
        return [_moved(one, device) for one in value]
    return value.to(device) if hasattr(value, "to") else value
