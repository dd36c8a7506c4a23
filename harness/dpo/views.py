"""The image that an answer of a pair is read under.

A view is an entry point of the group ``harness.views``: a function of an image, the view's text
(``noise:step=500``) and a seed that returns what to show instead, and what to do to the processed
pixels (:class:`harness.records.View`) or ``None``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from harness.dpo.unfit import Unfit
from harness.errors import HarnessError
from harness.plugins import load
from harness.records import Pair, Side, View, open_image

if TYPE_CHECKING:
    import PIL.Image

Look = Callable[["PIL.Image.Image"], "PIL.Image.Image"]


def opened(pair: Pair, side: Side, look: Look | None = None) -> tuple[PIL.Image.Image, View | None]:
    """Return the image that an answer is read under, and what changes its processed pixels.

    Args:
        pair: whose answer.
        side: of the answer.
        look: what is done to the image before everything else.

    Raises:
        UsageError: if no installed package has the view.
        Unfit: if the answer's own image cannot be read.
        HarnessError: if the prompt's cannot, or the view cannot be applied.
    """
    if side.image is None:
        image = pair.prompt.open_image()
    else:
        try:
            image = open_image(side.image, f"an answer to prompt '{pair.prompt.id}'")
        except HarnessError as error:
            raise Unfit("unreadable image", str(error)) from error
    image = image if look is None else look(image)
    if side.view is None:
        return image, None
    view = load("views", side.view.partition(":")[0])
    try:
        made: tuple[PIL.Image.Image, View | None] = view(image, side.view, side.seed)
    except (ValueError, TypeError) as error:
        raise HarnessError(
            f"The view '{side.view}' of an answer to prompt '{pair.prompt.id}' cannot be applied: "
            f"{error}."
        ) from error
    return made
