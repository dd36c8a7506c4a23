"""Small pictures beside a run."""

import PIL.Image
import pytest

from harness.errors import HarnessError
from harness.storage import save_thumbnail
from harness.storage.thumbnails import SIDE, thumbnail_path


def image(width, height, colour):
    return PIL.Image.new("RGB", (width, height), colour)


def test_one_image_is_shrunk_in_proportion(tmp_path):
    save_thumbnail(tmp_path, "a1", [image(1280, 640, "red")])
    with PIL.Image.open(thumbnail_path(tmp_path, "a1")) as small:
        assert small.size == (SIDE, SIDE // 2)


def test_several_images_stand_side_by_side_in_their_order(tmp_path):
    save_thumbnail(tmp_path, "a1", [image(400, 400, "red"), image(400, 400, "blue")])
    with PIL.Image.open(thumbnail_path(tmp_path, "a1")) as small:
        assert small.size == (SIDE, SIDE // 2)
        left, right = (small.convert("RGB").getpixel((x, 80)) for x in (40, 280))
    assert left[0] > 200 > 60 > left[2]
    assert right[2] > 200 > 60 > right[0]


def test_a_row_without_image_has_no_picture_and_an_old_one_is_kept(tmp_path):
    save_thumbnail(tmp_path, "none", [])
    assert not (tmp_path / "images").exists()
    save_thumbnail(tmp_path, "a1", [image(8, 8, "red")])
    first = thumbnail_path(tmp_path, "a1").read_bytes()
    save_thumbnail(tmp_path, "a1", [image(8, 8, "blue")])
    assert thumbnail_path(tmp_path, "a1").read_bytes() == first


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "images").write_text("in the way")
    with pytest.raises(HarnessError, match="cannot be written"):
        save_thumbnail(tmp_path, "a1", [image(8, 8, "red")])
