"""The protocol of LLaVA-1.5: conversation ``vicuna_v1``, padded images, text split at the images.

Facts from the original code (github.com/haotian-liu/LLaVA, v1.2.2): ``conversation.py`` for the
words and separators, ``mm_utils.py`` for padding and tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from harness.protocol.turns import IMAGE, Message

if TYPE_CHECKING:
    import PIL.Image
    from numpy import float32
    from numpy.typing import NDArray

END = "</s>"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. The assistant gives "
    "helpful, detailed, and polite answers to the user's questions."
)


CHAT_TEMPLATE = (
    f"{SYSTEM} "
    "{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}ASSISTANT: {% else %}USER: {% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}"
    "{{ eos_token if message['role'] == 'assistant' else ' ' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""The same for transformers, which a converted checkpoint brings as its own template."""


class Conversation:
    """The template ``vicuna_v1``."""

    def render(self, prompt: str, images: int) -> str:
        """Return the conversation up to where the model answers.

        Args:
            prompt: the question.
            images: how many stand before it, each on its own line.
        """
        return f"{SYSTEM} USER: {(IMAGE + chr(10)) * images}{prompt} ASSISTANT:"

    def write(self, turns: Sequence[Message]) -> str:
        """Return a conversation of questions and answers, each answer with its end token.

        Where the last turn is a question, the text ends where the model answers. An image before
        all text of its turn has a line of its own, as in LLaVA's data; others stand where they are.
        """
        told = [SYSTEM + " "]
        for turn in turns:
            parts = turn["content"]
            ahead = next((at for at, part in enumerate(parts) if part["type"] == "text"), None)
            said = "".join(
                part["text"] if part["type"] == "text" else IMAGE + "\n" * (at < (ahead or 0))
                for at, part in enumerate(parts)
            )
            user = turn["role"] == "user"
            told.append(f"USER: {said} " if user else f"ASSISTANT: {said}{END}")
        return "".join(told) + ("ASSISTANT:" if turns[-1]["role"] == "user" else "")


def token_ids(tokenizer: Any, text: str, places: Sequence[int] = ()) -> list[int]:
    """Return the ids of a conversation, the beginning token first.

    Each text between two images is tokenised by itself, so it begins like a text of its own, with
    the space that LLaMA's tokeniser puts there.

    Args:
        tokenizer: of ``transformers``, with ``<image>`` as one token.
        text: the conversation.
        places: how many tokens each image takes; by default one.

    Raises:
        ValueError: if the text marks another number of images than ``places``.
    """
    chunks = text.split(IMAGE)
    places = places or [1] * (len(chunks) - 1)
    if len(places) != len(chunks) - 1:
        raise ValueError(
            f"the question spells the image mark {IMAGE} itself: {len(chunks) - 1} marks for "
            f"{len(places)} images"
        )
    mark = int(tokenizer.convert_tokens_to_ids(IMAGE))
    begin = tokenizer.bos_token_id
    ids = [] if begin is None else [int(begin)]
    for number, chunk in enumerate(chunks):
        ids += [mark] * places[number - 1] if number else []
        ids += map(int, tokenizer(chunk, add_special_tokens=False)["input_ids"])
    return ids


def pixels(image: PIL.Image.Image, settings: Any) -> NDArray[float32]:
    """Return the tower's input for one image, shaped (1, 3, side, side).

    The image is padded to a square in the mean colour, resized with PIL's bicubic filter, scaled
    to 0 to 1 and normalised. The tower's own centre crop has then nothing left to cut.

    Args:
        image: of any mode and size.
        settings: the image processor; its mean, deviation and side are taken.
    """
    import numpy as np
    from PIL import Image

    mean, deviation = (
        np.asarray(values, dtype=np.float32) for values in (settings.image_mean, settings.image_std)
    )
    side = _side(settings.crop_size)
    square = padded(image.convert("RGB"), tuple(int(255 * value) for value in settings.image_mean))
    small = square.resize((side, side), Image.Resampling.BICUBIC)
    scaled = (np.asarray(small, dtype=np.float32) / np.float32(255) - mean) / deviation
    return np.ascontiguousarray(scaled.transpose(2, 0, 1)[None].astype(np.float32))


def padded(image: PIL.Image.Image, colour: tuple[int, ...]) -> PIL.Image.Image:
    """Put an image into the middle of a square of this colour; half a pixel goes up and left."""
    from PIL import Image

    width, height = image.size
    if width == height:
        return image
    side = max(width, height)
    square = Image.new(image.mode, (side, side), colour)
    square.paste(image, ((side - width) // 2, (side - height) // 2))
    return square


def _side(crop: Any) -> int:
    return crop if isinstance(crop, int) else int(crop["height"])
