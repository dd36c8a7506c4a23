"""From a pair to token ids, with the guards that keep a wrong text from being trained on.

The prompt gets exactly one BOS when the tokeniser puts one there in generation, every answer ends
with exactly one end token (unless it was cut), and an answer's ids are those it has in context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from harness.dpo.config import KEEP, Training
from harness.dpo.loss_terms import is_sft
from harness.dpo.unfit import (
    CONTROL,
    CUT,
    DROP,
    EQUAL,
    TOO_LONG,
    Unfit,
    check,
    name_of,
    with_answers,
)
from harness.engine import processed_as
from harness.errors import HarnessError, UsageError
from harness.protocol import HF, Conversation, token_ids
from harness.records import Pair

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
        cut: how many of the answers end without EOS.
        targets: quality score per answer (``meta["scores"]``), or ``None``.
        extra: what else the processor says of each prompt token: its type, or a row of a mask.
    """

    index: int
    name: str
    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    vision: Mapping[str, Tensor]
    cut: int = 0
    targets: tuple[float, ...] | None = None
    extra: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


class Encoder:
    """Turns pairs into :class:`EncodedPair` with one processor."""

    def __init__(
        self,
        processor: Any,
        image_token: int | None,
        *,
        max_length: int | None = None,
        positions: int | None = None,
        ends: Sequence[int] = (),
        only_chosen: bool = False,
        keep_cut: bool = False,
        protocol: str = HF,
    ) -> None:
        """Look once at the tokeniser's special tokens.

        Args:
            processor: of ``transformers``, with a chat template and a tokeniser.
            image_token: id of the placeholder that image features replace.
            max_length: longest prompt plus answer in tokens.
            positions: how many token positions the model has.
            ends: tokens that end an answer in generation, besides the tokeniser's EOS.
            only_chosen: leave the rejected answers out (SFT).
            keep_cut: take answers that were cut, without an end token.
            protocol: how image and conversation are laid out; see ``harness.protocol``.

        Raises:
            UsageError: if there is no chat template or no EOS.
        """
        self.processor, self.image_token = processor, image_token
        self.max_length, self.positions = max_length, positions
        self.only_chosen, self.keep_cut = only_chosen, keep_cut
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
        self.ends = frozenset((self.tokenizer.eos_token_id, *ends))
        self.control = frozenset(self.tokenizer.all_special_ids)

    def encode(self, index: int, pair: Pair, image: PIL.Image.Image | None = None) -> EncodedPair:
        """Make the row of a checked pair; its image is opened now unless one is given.

        Raises:
            Unfit: if the pair cannot be trained on; it names the pair.
            HarnessError: if the chat template cannot be trained with.
        """
        who = name_of(pair)
        text = self._render(pair.prompt.question)
        answers = self.answers(pair)
        image = image if image is not None else pair.prompt.open_image()
        prompt, vision, extra = self._prompt(text, image, who)
        fitted = [self._fitted(answer, len(prompt), who) for answer in answers]
        if len(set(fitted)) < len(fitted):
            raise Unfit(
                EQUAL,
                f"Two answers of {who} are the same tokens"
                + ("" if self.max_length is None else f" within max_length {self.max_length}")
                + f". {DROP}",
            )
        cut = sum(answer[-1] not in self.ends for answer in fitted)
        targets = self._targets(pair)
        return EncodedPair(index, who, prompt, tuple(fitted), vision, cut, targets, extra)

    def answers(self, pair: Pair) -> list[tuple[int, ...]]:
        """Return the token ids of each answer in context, before ``max_length``; chosen first.

        Raises:
            Unfit: see :meth:`encode`.
        """
        who = name_of(pair)
        question, text = pair.prompt.question, self._render(pair.prompt.question)
        texts = (pair.chosen,) if self.only_chosen else (pair.chosen, *pair.rejected)
        cut = {str(answer).strip() for answer in pair.meta.get("cut") or ()}
        made = []
        for answer in texts:
            ids = self._answer(question, text, answer, who)
            if answer.strip() in cut:
                self._refuse_cut(who, "was cut by the limit of tokens when it was generated")
                ids = ids[:-1]
            if not ids:
                raise Unfit("empty", f"An answer of {who} is no token at all. {DROP}")
            made.append(ids)
        return made

    def fit(self, pair: Pair) -> Pair:
        """Return the pair with the answers that a training takes; this is what a pair is.

        Rejected answers that cannot be trained on are left out; where one cannot do without an
        answer, the pair is none.

        Raises:
            Unfit: says why.
            HarnessError: see :meth:`encode`.
        """
        pair = check(pair, only_chosen=self.only_chosen)
        who, prompt, kept, seen = name_of(pair), self._prompt_length(pair), [0], set()
        problem: Unfit | None = None
        for place in range(1 if self.only_chosen else 1 + len(pair.rejected)):
            alone = replace(pair, chosen=(pair.chosen, *pair.rejected)[place], rejected=())
            try:
                ids = self._fitted(self.answers(alone)[0], prompt, who)
                if ids in seen:
                    raise Unfit(EQUAL, f"Two answers of {who} are the same tokens. {DROP}")
            except Unfit as error:
                if place == 0:
                    raise
                problem = problem or error
                continue
            seen.add(ids)
            kept += [place] if place else []
        if problem is not None and len(kept) == 1:
            raise problem
        return pair if problem is None else with_answers(pair, kept)

    def _prompt_length(self, pair: Pair) -> int:
        """Count the prompt's tokens; without its image where no limit can be near."""
        text = self._render(pair.prompt.question)
        words = len(self.tokenizer(text, add_special_tokens=False)["input_ids"])
        longest = max(len(answer) for answer in (pair.chosen, *pair.rejected))
        far = self.positions is None or 4 * (words + longest) < self.positions
        if self.max_length is None and far:
            return words
        return len(self._prompt(text, pair.prompt.open_image(), name_of(pair))[0])

    def spelled(self, text: str) -> str | None:
        """Return a control token that a text spells, if there is one."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        found = self.control.intersection(ids)
        if not found:
            return None
        token: str = self.tokenizer.convert_ids_to_tokens(min(found))
        return token

    def _targets(self, pair: Pair) -> tuple[float, ...] | None:
        scores = None if self.only_chosen else pair.meta.get("scores")
        return None if scores is None else tuple(scores)

    def _refuse_cut(self, who: str, how: str) -> None:
        if not self.keep_cut:
            raise Unfit(
                CUT,
                f"An answer of {who} {how}; with an end token behind it, the model would learn to "
                "stop there. Drop the pair when it is made, or set cut=keep to train on it without "
                "an end token.",
            )

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
            return {
                key: (values[0] if isinstance(values[0], list) else first.get(key, 0), *values)
                for key, values in tokens.items()
            }
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
        made.pop("labels", None)
        tokens, vision = {}, {}
        for key, value in made.items():
            if getattr(value, "shape", ())[:2] == shape:  # also a mask for each token
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
                f"The first token of the answer of {who} merges with the end of the prompt. Let "
                "the chat template end the prompt on a token boundary (no trailing space)."
            )
        ids = whole[len(before) :]
        if self.image_token in ids:
            raise Unfit(
                CONTROL,
                f"An answer of {who} contains the image placeholder; it would be replaced by image "
                f"features. {DROP}",
            )
        if token := self.spelled(answer):
            raise Unfit(
                CONTROL,
                f"An answer of {who} spells the control token {token}, which the model would learn "
                f"to say. {DROP}",
            )
        end = next((at for at, id_ in enumerate(ids) if id_ in self.ends), None)
        if end is not None:  # what a template writes behind the end of a turn is never generated
            return tuple(ids[: end + 1])
        return (*ids, self.tokenizer.eos_token_id)

    def _fitted(self, answer: tuple[int, ...], prompt: int, who: str) -> tuple[int, ...]:
        """Cut an answer where ``max_length`` says so."""
        if self.positions is not None and prompt + len(answer) > self.positions:
            raise Unfit(
                TOO_LONG,
                f"Prompt and answer of {who} have {prompt + len(answer)} tokens, and the model "
                f"has {self.positions} positions. {DROP}",
            )
        if self.max_length is None:
            return answer
        room = self.max_length - prompt
        if room < 1:
            raise Unfit(
                TOO_LONG,
                f"The prompt of {who} alone has {prompt} tokens; with max_length="
                f"{self.max_length} no answer is left to learn from. Set it above {prompt}, or to "
                "none.",
            )
        if len(answer) > room:
            self._refuse_cut(who, f"does not fit into max_length={self.max_length}")
        return answer[:room]


def encoder_for(processor: Any, network: Any, training: Training, protocol: str = HF) -> Encoder:
    """Make the encoder of a training: the pair stage, the training and the ablation use this one.

    Args:
        processor: of the model.
        network: the model itself; its configuration is read.
        training: how it is trained.
        protocol: how image and conversation are laid out.
    """
    ends = getattr(network.generation_config, "eos_token_id", None)
    return Encoder(
        processor,
        getattr(network.config, "image_token_id", None),
        max_length=training.max_length,
        positions=getattr(network.config.get_text_config(), "max_position_embeddings", None),
        ends=(ends,) if isinstance(ends, int) else tuple(ends or ()),
        only_chosen=is_sft(training.loss),
        keep_cut=training.cut == KEEP,
        protocol=protocol,
    )
