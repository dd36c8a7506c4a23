"""A view reaches images before they are cut into patches, and means the same as on whole images."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

from harness.engine.inputs import _through, prepare
from harness.records import Request
from tests.engine.test_engine import IMAGES, bench_of
from tests.support.families import qwen


@dataclass(frozen=True)
class Dark:
    """Every pixel at a value that tells its place: row, column and channel."""

    def __call__(self, pixels):
        _, height, width = pixels.shape[-3:]
        rows, columns = torch.arange(height)[:, None] * 1000.0, torch.arange(width) * 1.0
        place = rows + columns
        return torch.stack([place, place + 0.25, place + 0.5]).expand_as(pixels)


def test_patches_hold_the_viewed_image(tmp_path):
    bench = bench_of(qwen(tmp_path / "qwen"))
    request = Request("yes", (IMAGES[0],), view=Dark())
    prepared = prepare(bench.loaded, request, bench.model.render(request))
    (pictures,) = prepared.pictures
    _, height, width = (pictures.tensors["image_grid_thw"][0] * 7).tolist()
    # Two frames of a still image, so every place comes twice for each channel.
    found = pictures.tensors["pixel_values"].flatten().sort().values.reshape(-1, 2)
    assert torch.equal(found[:, 0], found[:, 1])
    image = Dark()(torch.zeros(3, height, width))
    assert torch.equal(found[:, 0], image.flatten().sort().values)
    # A patch is seven rows of seven neighbours, channel by channel.
    patch = pictures.tensors["pixel_values"][0].reshape(3, 2, 7, 7)
    assert torch.equal(patch[:, 0], image[:, :7, :7])
    plain = prepare(bench.loaded, Request("yes", (IMAGES[0],)), bench.model.render(request))
    assert plain.pictures[0].tensors["pixel_values"].abs().max() < 10
    assert plain.pictures[0].key != pictures.key


def test_a_processor_that_shows_no_whole_image_is_refused():
    with (
        pytest.raises(ValueError, match="before they are cut into patches"),
        _through(Dark(), object()),
    ):
        pass
