"""How an image and a conversation reach the model, by protocol.

``hf`` is what the checkpoint's own processor and chat template do. ``llava-1.5`` is what the
original LLaVA code does, and so what the figures of LLaVA-1.5, SeVa and SIMA rest on: the
conversation ``vicuna_v1``, padded images, text split at the images. Its facts are from that code
(github.com/haotian-liu/LLaVA, v1.2.2): ``conversation.py`` for the words and separators,
``mm_utils.py`` for padding and tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import UsageError, near_miss

if TYPE_CHECKING:
    import PIL.Image
    from numpy import float32
    from numpy.typing import NDArray


HF, LLAVA = "hf", "llava-1.5"
PROTOCOLS = (HF, LLAVA)

_WAY = {
    HF: (
        "Protocol hf: images and conversations reach the model as the checkpoint's own processor "
        "and chat template have it. The published figures of LLaVA-1.5, SeVa and SIMA rest on "
        "another: images padded to a square, a system prompt, and the authors' reading of answers "
        "(--protocol llava-1.5)."
    ),
    LLAVA: (
        "Protocol llava-1.5: images are padded to a square in the processor's mean colour before "
        "they are resized, the conversation is vicuna_v1 with its system prompt, benchmarks are "
        "worded as in LLaVA's files where those differ, and headline figures follow the authors' "
        "reading of answers; in pairs, training and evaluation alike."
    ),
}


def checked(name: str) -> str:
    """Return the name of a protocol.

    Raises:
        UsageError: if there is none of that name.
    """
    if name not in PROTOCOLS:
        raise UsageError(
            f"Unknown protocol '{name}'.{near_miss(name, PROTOCOLS)} Use {' or '.join(PROTOCOLS)}."
        )
    return name


def sentence(name: str) -> str:
    """Say in a sentence or two what was done."""
    return _WAY[name]


IMAGE = "<image>"
"""The place of an image in a text."""

Message = dict[str, Any]
"""``role``, and ``content`` as a list of parts: ``{"type": "text", "text": ...}`` or an image."""


def messages(question: str, images: int, history: Sequence[tuple[str, str]] = ()) -> list[Message]:
    """Return a conversation up to its last question.

    Several images, or those of several turns, stand where the questions mark them. Without any mark
    they stand before the first question, as one image of one question always does.

    Args:
        question: the last one.
        images: how many there are.
        history: question and answer of each turn before.

    Raises:
        ValueError: if there are marks, and not one for each image.
    """
    asked = [*(question for question, _ in history), question]
    marks = sum(text.count(IMAGE) for text in asked)
    single = images == 1 and not history
    if marks and not single and marks != images:
        raise ValueError(f"the texts mark {marks} places for {images} images")
    contents = [[text(each)] if single or not marks else marked(each) for each in asked]
    if single or not marks:
        contents[0] = [{"type": "image"}] * images + contents[0]
    turns: list[Message] = []
    for content, (_, answer) in zip(contents, history, strict=False):
        turns += [{"role": "user", "content": content}, answered(answer)]
    return [*turns, {"role": "user", "content": contents[-1]}]


def answered(answer: str) -> Message:
    """Return the turn in which the model says this."""
    return {"role": "assistant", "content": [text(answer)]}


def text(said: str) -> Message:
    """Return a part of a turn."""
    return {"type": "text", "text": said}


def marked(said: str) -> list[Message]:
    """Split a text at its marks into parts."""
    parts: list[Message] = []
    for number, piece in enumerate(said.split(IMAGE)):
        parts += [{"type": "image"}] * bool(number) + [text(piece)] * bool(piece)
    return parts


def texts_of(turns: Sequence[Message]) -> list[str]:
    """Return all texts of a conversation, in their order."""
    return [part["text"] for turn in turns for part in turn["content"] if part["type"] == "text"]


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


_ROLES = ("USER", "ASSISTANT")


@dataclass(frozen=True)
class Checkpoint:
    """The small files of a checkpoint that decide it.

    Attributes:
        config: ``config.json``.
        images: settings of the image processor.
        template: the checkpoint's own chat template; ``None`` where it has none.
        tokens: special tokens by name, such as ``eos_token``.
    """

    config: Mapping[str, Any]
    images: Mapping[str, Any]
    template: str | None
    tokens: Mapping[str, Any]


def misfit(checkpoint: Checkpoint) -> str | None:
    """Return why the protocol llava-1.5 cannot be followed; ``None`` where it can."""
    config, images = checkpoint.config, checkpoint.images
    kind = config.get("model_type")
    if kind != "llava":
        return f"its model type is {kind}, and the protocol is that of the type llava"
    text = _within(config, "text_config").get("model_type", "llama")
    if text != "llama":
        return f"its language model is of type {text}, and vicuna_v1 is a conversation of llama"
    sides = _sides(images.get("crop_size"))
    if len(set(sides)) != 1 or images.get("do_center_crop") is False:
        told = "no crop_size" if not sides else " x ".join(map(str, sides))
        return f"its image processor makes no square of one size ({told})"
    if not all(_three(images.get(name)) for name in ("image_mean", "image_std")):
        return "its image processor has no mean and deviation of three colours"
    own = checkpoint.template
    if own is not None and not all(role in own for role in _ROLES):
        return (
            "its own chat template is not one of USER and ASSISTANT, so it was trained with another"
        )
    if checkpoint.tokens.get("eos_token") != END:
        return f"its end token is {checkpoint.tokens.get('eos_token')!r} and not {END!r}"
    return None


def _within(config: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = config.get(name)
    return found if isinstance(found, Mapping) else {}


def _sides(crop: Any) -> tuple[int, ...]:
    if isinstance(crop, Mapping):
        found = tuple(crop.get(name) for name in ("height", "width"))
        return tuple(side for side in found if isinstance(side, int))
    return (crop, crop) if isinstance(crop, int) else ()


def _three(values: Any) -> bool:
    return isinstance(values, list | tuple) and len(values) == 3
