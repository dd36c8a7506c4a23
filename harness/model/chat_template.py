"""From a request to the text the model reads, with the checkpoint's own chat template.

The files are read directly, so that rendering (and with it the cache key) needs no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.engine import read_json, sees
from harness.errors import HarnessError, UsageError
from harness.model.bounds import BoundsError, bounded
from harness.storage import read_text

_STEADY = {"date_string": "26 Jul 2024", "enable_thinking": False}
"""What templates of text models are told: else Llama 3's would put today's date into every prompt,
so that an answer changed over night, and Qwen 3's would have the model think aloud first."""


_SECONDS, _MEMORY = 10.0, 2 << 30
"""What rendering one question may take; a template of the field needs milliseconds."""
_LONGEST = 1 << 20  # characters that a template may add
_REFUSALS = (TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RecursionError)
"""What a template's own code raises where it does not fit the question."""


class ChatTemplate:
    """The chat template of a model folder; that of a text model is given plain text."""

    def __init__(self, folder: Path) -> None:
        """Read the template and the special tokens it may name.

        Raises:
            UsageError: if the folder has no chat template.
        """
        self._folder = folder
        self._text = template_of(folder)
        self._sees = sees(folder)
        self._known = special_tokens(folder) | ({} if self._sees else _STEADY)
        self._rendered: dict[tuple[str, int], str] = {}

    def render(self, prompt: str, images: int) -> str:
        """Return the user's turn with ``images`` placeholders before the text.

        Raises:
            HarnessError: if the template refuses this turn, or a text model is shown an image.
        """
        if images and not self._sees:
            raise HarnessError(
                f"{self._folder} holds a text model, and the question comes with {images} image(s) "
                "that it cannot look at. Ask a vision-language model."
            )
        known = self._rendered.get((prompt, images))
        if known is not None:
            return known
        content: Any = prompt
        if self._sees:
            content = [{"type": "image"}] * images + [{"type": "text", "text": prompt}]
        text = self.write([{"role": "user", "content": content}])
        if len(self._rendered) > 4096:
            self._rendered.clear()
        self._rendered[prompt, images] = text
        return text

    def write(self, turns: list[dict[str, Any]]) -> str:
        """Return a conversation up to where the model answers its last turn.

        Raises:
            HarnessError: if the template refuses it.
        """
        from jinja2 import TemplateError
        from transformers.utils.chat_template_utils import render_jinja_template

        contents = [turn["content"] for turn in turns]  # texts for a text model, else parts
        parts = [part for content in contents if not isinstance(content, str) for part in content]
        images = sum(part["type"] == "image" for part in parts)
        texts = [*(c for c in contents if isinstance(c, str)), *(p.get("text", "") for p in parts)]
        length = sum(map(len, texts))
        try:
            with bounded(_SECONDS, _MEMORY):
                made: Any = render_jinja_template(
                    conversations=[turns],
                    chat_template=self._text,
                    add_generation_prompt=True,
                    **self._known,
                )
            text = str(made[0][0])
            if len(text) > length + _LONGEST:
                raise BoundsError(f"it makes {len(text)} characters of it")
        except BoundsError as error:
            raise HarnessError(
                f"The chat template of {self._folder} cannot be used for a question of "
                f"{length} characters: {error}. Repair chat_template.jinja there, or take the "
                "one from the model's hub page."
            ) from error
        except (*_REFUSALS, TemplateError) as error:
            raise HarnessError(
                f"The chat template of {self._folder} refuses a question with {images} image(s): "
                f"{error}. Ask in another form, or repair chat_template.jinja there."
            ) from error
        return text


def template_of(folder: Path) -> str:
    """Return the text of a folder's chat template.

    Raises:
        UsageError: if there is none, or its file cannot be read.
    """
    plain = folder / "chat_template.jinja"
    if plain.is_file():
        try:
            return read_text(plain, _LONGEST)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{plain} cannot be read: {error}. Save or download the checkpoint again."
            ) from error
    for name in ("chat_template.json", "processor_config.json", "tokenizer_config.json"):
        path = folder / name
        found = read_json(path).get("chat_template") if path.is_file() else None
        if isinstance(found, list):
            named = [entry for entry in found if isinstance(entry, dict)]
            found = next((e.get("template") for e in named if e.get("name") == "default"), None)
        if isinstance(found, str):
            return found
    raise UsageError(
        f"The model folder {folder} has no chat template, so a question has no defined form. Put "
        "the model's chat_template.jinja there (the hub page of the model has it)."
    )


def special_tokens(folder: Path) -> dict[str, Any]:
    """Return the special tokens that a folder's tokeniser names, such as ``eos_token``."""
    tokens: dict[str, Any] = {}
    for name in ("special_tokens_map.json", "tokenizer_config.json"):
        path = folder / name
        settings = read_json(path) if path.is_file() else {}
        extra = settings.get("extra_special_tokens")  # a list, or tokens by name
        for key, value in {**settings, **(extra if isinstance(extra, dict) else {})}.items():
            text = value.get("content") if isinstance(value, dict) else value
            if key.endswith("_token") and isinstance(text, str):
                tokens[key] = text
    return tokens
