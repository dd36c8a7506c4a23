"""The image that an answer of a pair is read under.

A view is an entry point of the group ``harness.views``: a function of an image, the view's text
(``noise:step=500``) and a seed that returns what to show instead, and what to do to the processed
pixels (:class:`harness.records.View`) or ``None``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from harness.dpo.unfit import Unfit
from harness.errors import HarnessError
from harness.plugins import load
from harness.records import Pair, Side, View, open_image

if TYPE_CHECKING:
    import PIL.Image

Look = Callable[["PIL.Image.Image"], "PIL.Image.Image"]


def opened(
    pair: Pair, side: Side, look: Look | None = None
) -> tuple[tuple[PIL.Image.Image, ...], View | None]:
    """Return the images that an answer is read under, and what changes their processed pixels.

    An image or view of the answer's own is in the place of the first image. A change of processed
    pixels, such as noise, is one of all images.

    Args:
        pair: whose answer.
        side: of the answer.
        look: what is done to every image before everything else.

    Raises:
        UsageError: if no installed package has the view.
        Unfit: if the answer's own image cannot be read.
        HarnessError: if the prompt's cannot, or the view cannot be applied.
    """
    if side.image is None:
        images = pair.prompt.open_images()
    else:
        rest = replace(pair.prompt, image=None).open_images()
        try:
            images = (open_image(side.image, f"an answer to prompt '{pair.prompt.id}'"), *rest)
        except HarnessError as error:
            raise Unfit("unreadable image", str(error)) from error
    if look is not None:
        images = tuple(map(look, images))
    if side.view is None:
        return images, None
    view = load("views", side.view.partition(":")[0])
    try:
        made: tuple[PIL.Image.Image, View | None] = view(images[0], side.view, side.seed)
    except (ValueError, TypeError) as error:
        raise HarnessError(
            f"The view '{side.view}' of an answer to prompt '{pair.prompt.id}' cannot be applied: "
            f"{error}."
        ) from error
    return (made[0], *images[1:]), made[1]
