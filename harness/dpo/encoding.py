"""From a pair to token ids, with the guards that keep a wrong text from being trained on.

The prompt gets exactly one BOS when the tokeniser puts one there in generation, every answer ends
with exactly one EOS, and an answer's ids are those it has in context, behind the prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.engine import processed_as
from harness.errors import HarnessError, UsageError
from harness.protocol import HF, Conversation, token_ids
from harness.records import Pair, distinct

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor


@dataclass(frozen=True)
class EncodedPair:
    """One pair, ready to be batched.

    Attributes:
        index: position of the pair in the training set.
        name: the pair's id, for messages.
        prompt: token ids of the prompt with its image tokens, BOS included.
        answers: token ids of each answer, chosen first, EOS included.
        vision: what the processor made of the image: ``pixel_values`` and its companions.
        targets: quality score per answer (``meta["scores"]``), or ``None``.
        extra: what else the processor says of each prompt token, such as its type.
    """

    index: int
    name: str
    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    vision: Mapping[str, Tensor]
    targets: tuple[float, ...] | None = None
    extra: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def name_of(pair: Pair) -> str:
    """How messages call a pair."""
    return f"pair '{pair.prompt.id}'"


def check(pair: Pair, *, only_chosen: bool = False) -> Pair:
    """Return the pair with each rejected answer once; refuse one that teaches nothing.

    Raises:
        HarnessError: if an answer is empty, the chosen answer is also rejected, or nothing is
            rejected; it names the pair.
    """
    who = name_of(pair)
    if not pair.chosen.strip():
        raise HarnessError(f"The chosen answer of {who} is empty. Drop the pair when it is made.")
    if only_chosen:
        return pair
    if not all(answer.strip() for answer in pair.rejected):
        raise HarnessError(f"A rejected answer of {who} is empty. Drop the pair when it is made.")
    if pair.chosen.strip() in {answer.strip() for answer in pair.rejected}:
        raise HarnessError(
            f"The chosen answer of {who} is also rejected: {pair.chosen[:50]!r}. Such a pair has "
            "no gradient; yield a Drop with the reason 'equal' instead."
        )
    rejected = distinct(answer.strip() for answer in pair.rejected)
    if not rejected:
        raise HarnessError(f"There is no rejected answer in {who}. Drop the pair when it is made.")
    scores = _scores(pair)
    if scores is not None and len(rejected) != len(pair.rejected):
        first = {answer.strip(): at for at, answer in reversed(list(enumerate(pair.rejected)))}
        scores = [scores[0], *(scores[1 + first[answer]] for answer in rejected)]
    meta = dict(pair.meta) if scores is None else {**pair.meta, "scores": scores}
    return Pair(pair.prompt, pair.chosen.strip(), rejected, meta)


def _scores(pair: Pair) -> list[float] | None:
    scores = pair.meta.get("scores")
    if scores is None:
        return None
    if not isinstance(scores, Sequence) or len(scores) != 1 + len(pair.rejected):
        raise HarnessError(
            f"meta['scores'] of {name_of(pair)} must hold one number per answer, chosen first: "
            f"{1 + len(pair.rejected)} numbers, not {scores!r}."
        )
    return [float(score) for score in scores]


class Encoder:
    """Turns pairs into :class:`EncodedPair` with one processor."""

    def __init__(
        self,
        processor: Any,
        image_token: int | None,
        *,
        max_length: int | None = None,
        only_chosen: bool = False,
        protocol: str = HF,
    ) -> None:
        """Look once at the tokeniser's special tokens.

        Args:
            processor: of ``transformers``, with a chat template and a tokeniser.
            image_token: id of the placeholder that image features replace.
            max_length: longest prompt plus answer in tokens.
            only_chosen: leave the rejected answers out (SFT).
            protocol: how image and conversation are laid out; see ``harness.protocol``.

        Raises:
            UsageError: if there is no chat template or no EOS.
        """
        self.processor, self.image_token = processor, image_token
        self.max_length, self.only_chosen = max_length, only_chosen
        self.protocol = protocol
        self.conversation = None if protocol == HF else Conversation()
        self.tokenizer = processor.tokenizer
        if self.tokenizer.eos_token_id is None:
            raise UsageError(
                "The model's tokeniser has no EOS token, so answers could never learn to end. "
                "Set eos_token in tokenizer_config.json of the checkpoint."
            )
        own = self.conversation is None
        if own and not (processor.chat_template or self.tokenizer.chat_template):
            raise UsageError(
                "The model's processor has no chat template. Put a chat_template.jinja into the "
                "checkpoint's folder."
            )
        self.bos = self.tokenizer.bos_token_id
        start = self.tokenizer("a")["input_ids"][:1]
        self.adds_bos = self.bos is not None and start == [self.bos]

    def encode(self, index: int, pair: Pair, image: PIL.Image.Image | None = None) -> EncodedPair:
        """Make the row of a checked pair; its image is opened now unless one is given.

        Raises:
            HarnessError: if the text cannot be trained on; it names the pair.
        """
        who = name_of(pair)
        text = self._render(pair.prompt.question)
        image = image if image is not None else pair.prompt.open_image()
        prompt, vision, extra = self._prompt(text, image, who)
        texts = (pair.chosen,) if self.only_chosen else (pair.chosen, *pair.rejected)
        answers = [self._answer(pair.prompt.question, text, answer, who) for answer in texts]
        if self.max_length is not None:
            answers = [self._cut(answer, len(prompt), who) for answer in answers]
        if len(set(answers)) < len(answers):
            raise HarnessError(
                f"Two answers of {who} are the same tokens"
                + ("" if self.max_length is None else f" within max_length {self.max_length}")
                + ". Drop the pair, or raise max_length."
            )
        return EncodedPair(index, who, prompt, tuple(answers), vision, self._targets(pair), extra)

    def _targets(self, pair: Pair) -> tuple[float, ...] | None:
        scores = None if self.only_chosen else pair.meta.get("scores")
        return None if scores is None else tuple(scores)

    def _render(self, question: str, answer: str | None = None) -> str:
        """Write the conversation up to the answer, or with it."""
        if self.conversation is not None:
            return self.conversation.render(question, 1, answer)
        user = [{"type": "image"}, {"type": "text", "text": question}]
        turns: list[dict[str, Any]] = [{"role": "user", "content": user}]
        if answer is not None:
            said = [{"type": "text", "text": answer}]
            turns.append({"role": "assistant", "content": said})
        text: str = self.processor.apply_chat_template(
            turns, add_generation_prompt=answer is None, tokenize=False
        )
        return text

    def _ids(self, text: str) -> list[int]:
        """Return the ids of a conversation as it stands in a row, but for its BOS."""
        if self.conversation is not None:
            return token_ids(self.tokenizer, text)
        ids: list[int] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids

    def _one_bos(self, tokens: Mapping[str, list[int]]) -> dict[str, tuple[int, ...]]:
        """Put a missing BOS in front of the ids, or take a second one away; the others follow."""
        ids = tokens["input_ids"]
        if self.bos is not None and ids[:2] == [self.bos, self.bos]:
            return {key: tuple(values[1:]) for key, values in tokens.items()}
        if self.adds_bos and ids[:1] != [self.bos]:
            first = {"input_ids": self.bos}
            return {key: (first.get(key, 0), *values) for key, values in tokens.items()}
        return {key: tuple(values) for key, values in tokens.items()}

    def _prompt(
        self, text: str, image: PIL.Image.Image, who: str
    ) -> tuple[tuple[int, ...], dict[str, Tensor], dict[str, tuple[int, ...]]]:
        try:
            made = dict(
                processed_as(self.protocol, self.processor, text, [image], add_special_tokens=False)
            )
        except ValueError as error:
            raise HarnessError(f"The prompt of {who} cannot be read: {error}.") from error
        shape = made.pop("attention_mask").shape
        tokens, vision = {}, {}
        for key, value in made.items():
            if getattr(value, "shape", None) == shape:
                tokens[key] = value[0].tolist()
            else:
                vision[key] = value
        extra = self._one_bos(tokens)
        ids = extra.pop("input_ids")
        if self.image_token is not None and self.image_token not in ids:
            raise HarnessError(
                f"The prompt of {who} has no image token (id {self.image_token}): the model would "
                "be trained without seeing the image. Check the checkpoint's chat template."
            )
        return ids, vision, extra

    def _answer(self, question: str, text: str, answer: str, who: str) -> tuple[int, ...]:
        full = self._render(question, answer)
        if not full.startswith(text):
            raise HarnessError(
                f"The chat template does not put the answer of {who} behind the prompt it makes "
                f"for generation ({text[-30:]!r}). Training and answering would differ; correct "
                "the checkpoint's chat_template.jinja."
            )
        # Published templates end a turn with a space or a newline, which is not part of the answer.
        body, mark = full[len(text) :], str(self.tokenizer.eos_token)
        full = text + (body[: body.rfind(mark) + len(mark)] if mark in body else body.rstrip())
        before, whole = self._ids(text), self._ids(full)
        if whole[: len(before)] != before:
            raise HarnessError(
                f"The first token of the answer of {who} melts into the end of the prompt. Let the "
                "chat template end the prompt on a token boundary (no trailing space)."
            )
        ids, eos = whole[len(before) :], self.tokenizer.eos_token_id
        while ids[-2:] == [eos, eos]:
            ids.pop()
        if ids[-1:] != [eos]:
            ids = [*ids, eos]
        if self.image_token in ids:
            raise HarnessError(
                f"An answer of {who} contains the image placeholder; it would be replaced by image "
                "features. Drop the pair when it is made."
            )
        return tuple(ids)

    def _cut(self, answer: tuple[int, ...], prompt: int, who: str) -> tuple[int, ...]:
        assert self.max_length is not None
        room = self.max_length - prompt
        if room < 1:
            raise HarnessError(
                f"The prompt of {who} alone has {prompt} tokens; with max_length="
                f"{self.max_length} no answer is left to learn from. Set it above {prompt}, or to "
                "none."
            )
        return answer[:room]
