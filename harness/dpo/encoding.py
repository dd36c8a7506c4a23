"""From a pair to token ids, with the guards that keep a wrong text from being trained on.

The prompt gets exactly one BOS when the tokeniser puts one there in generation, every answer ends
with exactly one end token (unless it was cut), and an answer's ids are those it has in context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from harness.dpo.config import KEEP, Training
from harness.dpo.forward import PACKED_FAMILIES
from harness.dpo.loss_open import combined
from harness.dpo.loss_terms import BY_IMAGE, is_sft
from harness.dpo.pair import (
    CONTROL,
    CUT,
    DROP,
    EQUAL,
    TOO_LONG,
    UNHELD,
    Look,
    Unfit,
    check,
    kinds_of,
    name_of,
    opened,
    refuse_unheld,
    scores_of,
    token_weights,
    turns_of,
    with_answers,
)
from harness.dpo.rows import EncodedPair, Prefix, one_bos
from harness.engine import processed_through
from harness.errors import HarnessError, UsageError
from harness.protocol import HF, IMAGE, Conversation, Message, answered, texts_of, token_ids
from harness.records import Pair, Side, View

if TYPE_CHECKING:
    import PIL.Image
    from torch import Tensor


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
        images: bool = True,
        blind: bool = True,
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
            images: whether the loss looks at answers that are rejected by their image alone.
            blind: whether prompts without an image can be trained on.
            protocol: how image and conversation are laid out; see ``harness.protocol``.

        Raises:
            UsageError: if there is no chat template or no EOS.
        """
        self.processor, self.image_token = processor, image_token
        self.max_length, self.positions = max_length, positions
        self.only_chosen, self.keep_cut, self.images = only_chosen, keep_cut, images
        self.blind = blind
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
        self._asked: tuple[list[Message], str, list[int]] = ([], "", [])

    def encode(self, index: int, pair: Pair, look: Look | None = None) -> EncodedPair:
        """Make the row of a checked pair; its images are opened now.

        ``index`` is the pair's position in the training set, ``look`` what is done to every image.

        Raises:
            Unfit: if the pair cannot be trained on; it names the pair.
            HarnessError: if the chat template cannot be trained with.
        """
        who, said = name_of(pair), self._said(pair)
        prefixes, behind = self._prefixes(pair, look)
        made = [self._made(pair, text, side) for text, side in said]
        fitted = [
            self._fitted(ids, len(prefixes[at].prompt), who)
            for (ids, _), at in zip(made, behind, strict=True)
        ]
        if len(set(zip(behind, fitted, strict=True))) < len(fitted):
            raise Unfit(
                EQUAL,
                f"Two answers of {who} are the same tokens"
                + ("" if self.max_length is None else f" within max_length {self.max_length}")
                + f". {DROP}",
            )
        cut = sum(answer[-1] not in self.ends for answer in fitted)
        first, targets = prefixes[0], None if self.only_chosen else scores_of(pair)
        row = EncodedPair(
            index, who, first.prompt, tuple(fitted), first.vision, cut, targets, first.extra
        )
        if not pair.sides:
            return row
        weighed = any(side.weights for _, side in said)
        weights = tuple(
            weights[: len(ids)] for (_, weights), ids in zip(made, fitted, strict=True) if weighed
        )
        kinds = () if self.only_chosen else kinds_of(pair)
        return replace(row, others=prefixes[1:], behind=behind, kinds=kinds, weights=weights)

    def _said(self, pair: Pair) -> tuple[tuple[str, Side], ...]:
        """The answers that are trained on, each with its side."""
        return pair.answers[:1] if self.only_chosen else pair.answers

    def _made(
        self, pair: Pair, answer: str, side: Side
    ) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return ids and weights of an answer's tokens; no weights where it has none.

        Raises:
            Unfit: see :meth:`encode`.
        """
        who = name_of(pair)
        ids, weights = self._answer(pair, answer, side.weights)
        if answer.strip() in {str(text).strip() for text in pair.meta.get("cut") or ()}:
            self._refuse_cut(who, "was cut by the limit of tokens when it was generated")
            ids = ids[:-1]
        if not ids:
            raise Unfit("empty", f"An answer of {who} has no tokens. {DROP}")
        return ids, weights or (1.0,) * len(ids)

    def fit(self, pair: Pair) -> Pair:
        """Return the pair with the answers that a training takes; this is what a pair is.

        Rejected answers that cannot be trained on are left out; where one cannot do without an
        answer, the pair is none.

        Raises:
            Unfit: says why.
            HarnessError: see :meth:`encode`.
        """
        pair = check(pair, only_chosen=self.only_chosen)
        who = name_of(pair)
        if not (self.images or self.only_chosen) and set(kinds_of(pair)) == {0, BY_IMAGE}:
            raise Unfit(
                EQUAL,
                f"The answers of {who} differ by their image alone, and the loss looks at texts. "
                "Choose one with conditional in it, such as dpo+conditional.",
            )
        if not pair.prompt.plain:
            refuse_unheld(pair, self._write, blind=self.blind)
        prompts, kept, seen = self._prompt_lengths(pair), [0], set()
        if pair.question is not None and (token := self.spelled_by(turns_of(pair))):
            raise Unfit(CONTROL, f"The question of {who} spells the control token {token}. {DROP}")
        problem: Unfit | None = None
        for place, (text, side) in enumerate(self._said(pair)):
            try:
                ids = self._fitted(self._made(pair, text, side)[0], prompts[place], who)
                if (side.shown, ids) in seen:
                    raise Unfit(EQUAL, f"Two answers of {who} are the same tokens. {DROP}")
            except Unfit as error:
                if place == 0:
                    raise
                problem = problem or error
                continue
            seen.add((side.shown, ids))
            kept += [place] if place else []
        if problem is not None and len(kept) == 1:
            raise problem
        return pair if problem is None else with_answers(pair, kept)

    def _prefixes(
        self, pair: Pair, look: Look | None
    ) -> tuple[tuple[Prefix, ...], tuple[int, ...]]:
        """Return what a pair's answers are read behind, and the number of each answer's prefix.

        Raises:
            Unfit: if another image, or its view, gives the pixels that the chosen answer has.
        """
        text, _ = self._before(turns_of(pair))
        sides = {side.shown: side for _, side in self._said(pair)}
        made = [
            Prefix(*self._prompt(text, *opened(pair, side, look), pair)) for side in sides.values()
        ]
        if look is None and any(made[0].alike(other) for other in made[1:]):
            raise Unfit(
                EQUAL,
                f"Another image of {name_of(pair)}, or a view of it, gives the same pixels as the "
                f"chosen answer's. {DROP}",
            )
        places = {shown: number for number, shown in enumerate(sides)}
        return tuple(made), tuple(places[side.shown] for _, side in self._said(pair))

    def _prompt_lengths(self, pair: Pair) -> tuple[int, ...]:
        """Count the tokens before each answer; where answers have images, these are opened."""
        if any(side.shown != Side().shown for _, side in self._said(pair)):
            prefixes, behind = self._prefixes(pair, None)
            return tuple(len(prefixes[at].prompt) for at in behind)
        return (self._prompt_length(pair),) * (1 + len(pair.rejected))

    def _prompt_length(self, pair: Pair) -> int:
        """Count the prompt's tokens; without its image where no limit can be near."""
        words = len(self._before(turns_of(pair))[1])
        longest = max(len(answer) for answer in (pair.chosen, *pair.rejected))
        far = self.positions is None or 4 * (words + longest) < self.positions
        if self.max_length is None and far and pair.prompt.plain:
            return words
        return len(self._prefixes(pair, None)[0][0].prompt)

    def spelled(self, text: str) -> str | None:
        """Return a control token that a text spells, if there is one."""
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        found = self.control.intersection(ids)
        if not found:
            return None
        return str(self.tokenizer.convert_ids_to_tokens(min(found)))

    def spelled_by(self, turns: Sequence[Message]) -> str | None:
        """Return a control token that a conversation spells outside its image marks."""
        return next(filter(None, map(self.spelled, texts_of(turns))), None)

    def _refuse_cut(self, who: str, how: str) -> None:
        if not self.keep_cut:
            raise Unfit(
                CUT,
                f"An answer of {who} {how}; with an end token behind it, the model would learn to "
                "stop there. Drop the pair when it is made, or set cut=keep to train on it without "
                "an end token.",
            )

    def _write(self, turns: list[Message]) -> str:
        """Write a conversation as the model reads it, up to where it answers or to its end."""
        if self.conversation is not None:
            return self.conversation.write(turns)
        text: str = self.processor.apply_chat_template(
            turns, add_generation_prompt=turns[-1]["role"] == "user", tokenize=False
        )
        return text

    def _before(self, turns: list[Message]) -> tuple[str, list[int]]:
        """Return text and ids of a conversation up to its answer; a pair's answers share one."""
        if turns != self._asked[0]:
            text = self._write(turns)
            self._asked = (turns, text, self._ids(text))
        return self._asked[1:]

    def _ids(self, text: str) -> list[int]:
        """Return the ids of a conversation as it stands in a row, but for its BOS."""
        if self.conversation is not None:
            return token_ids(self.tokenizer, text)
        return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

    def _prompt(
        self, text: str, images: Sequence[PIL.Image.Image], view: View | None, pair: Pair
    ) -> tuple[tuple[int, ...], dict[str, Tensor], dict[str, tuple[int, ...]]]:
        try:
            made = processed_through(
                view, self.protocol, self.processor, text, images, add_special_tokens=False
            )
        except ValueError as error:
            told = f"The prompt of {name_of(pair)} cannot be read: {error}."
            if pair.prompt.plain:
                raise HarnessError(told) from error
            raise Unfit(UNHELD, f"{told} {DROP}") from error
        shape = made.pop("attention_mask").shape
        made.pop("labels", None)
        tokens, vision = {}, {}
        for key, value in made.items():
            if getattr(value, "shape", ())[:2] == shape:  # also a mask for each token
                tokens[key] = value[0].tolist()
            else:
                vision[key] = value
        extra = one_bos(tokens, self.bos, self.adds_bos)
        ids = extra.pop("input_ids")
        if images and self.image_token is not None and self.image_token not in ids:
            raise HarnessError(
                f"The prompt of {name_of(pair)} has no image token (id {self.image_token}): the "
                "model would be trained blind. Check the checkpoint's chat template."
            )
        return ids, vision, extra

    def _answer(
        self, pair: Pair, answer: str, weights: Sequence[tuple[int, int, float]]
    ) -> tuple[tuple[int, ...], tuple[float, ...]]:
        """Return the ids of an answer in context, and their weights where there are some."""
        who, asked = name_of(pair), turns_of(pair)
        (text, before), full = self._before(asked), self._write([*asked, answered(answer)])
        if not full.startswith(text):
            raise HarnessError(
                f"The chat template does not put the answer of {who} behind the prompt it makes "
                f"for generation ({text[-30:]!r}). Training and answering would differ; correct "
                "the checkpoint's chat_template.jinja."
            )
        # Published templates end a turn with a space or a newline, which is not part of the answer.
        body, mark = full[len(text) :], str(self.tokenizer.eos_token)
        full = text + (body[: body.rfind(mark) + len(mark)] if mark in body else body.rstrip())
        whole = self._ids(full)
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
        weighed: tuple[float, ...] = ()
        if weights:
            # The other protocol tokenises what stands behind the image by itself.
            piece = full if self.conversation is None else full.rpartition(IMAGE)[2]
            start = full.find(answer, len(text)) - len(full) + len(piece)
            weighed = (*token_weights(self.tokenizer, piece, start, ids, answer, weights), 1.0)
        end = next((at for at, id_ in enumerate(ids) if id_ in self.ends), None)
        if end is not None:  # what a template writes behind the end of a turn is never generated
            return tuple(ids[: end + 1]), weighed[: end + 1]
        return (*ids, self.tokenizer.eos_token_id), weighed

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
    """Make the encoder that pair stage, training and ablation have in common.

    Of the network both configurations are read: :class:`harness.engine.Outline` has them too.
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
        images=combined(training.loss).needs.images,
        blind=network.config.model_type in PACKED_FAMILIES,
        protocol=protocol,
    )
