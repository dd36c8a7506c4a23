"""What several files of this folder train on."""

import numpy as np
import pytest
from PIL import Image

from harness.model import Model
from tests.support.families import llava


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory):
    return Model.open(llava(tmp_path_factory.mktemp("llava") / "model"), device="cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Four images of several shapes, ``0.png`` to ``3.png``."""
    made, random = tmp_path_factory.mktemp("pairs"), np.random.default_rng(3)
    for number, shape in enumerate([(28, 28), (60, 30), (24, 56), (56, 50)]):
        pixels = random.integers(0, 255, (*shape, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(made / f"{number}.png")
    return made
