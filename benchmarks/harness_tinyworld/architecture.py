"""The model's parts before training: tokenizer, processor, and a LLaVA of random weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harness_tinyworld import critic, formats
from harness_tinyworld.scenes import CELL, SIDE

BOS, EOS, PAD, IMAGE = "<s>", "</s>", "<pad>", "<image>"
USER, ASSISTANT = "USER: ", " ASSISTANT:"
VOCABULARY = 1280
# The layout of the llava-hf 1.5 checkpoints, with the two things that theirs lacks for training:
# a beginning token, and an end token after each assistant turn.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}{{ 'USER: ' }}"
    "{% elif message['role'] == 'assistant' %}{{ 'ASSISTANT: ' }}"
    "{% else %}{{ message['role'] | upper + ': ' }}{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% else %}{{ ' ' }}{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)


def phrases() -> list[str]:
    """Return the fixed phrases that become one token each, which keeps prompts short.

    The assistant's cue is one of them, so that an answer is split off before it is tokenised and
    has the same ids alone and in context.
    """
    judge = critic.template()
    for name in ("question", "reference", "response_1", "response_2"):
        judge = judge.replace("{" + name + "}", "\0")
    fixed = [USER, ASSISTANT, *judge.split("\0"), formats.SHORT, formats.YES_NO, formats.VIZWIZ]
    fixed += [formats.LETTER, formats.OPTIONS, formats.LETTER_CN, formats.OPTIONS_CN]
    return [*fixed, formats.STEPS, formats.CONTEXT]


def make_tokenizer(texts: Iterable[str]) -> Any:
    """Train a byte-level BPE tokenizer on texts of the world.

    Returns:
        A `PreTrainedTokenizerFast` that encodes any text; digits are tokens of their own.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    fixed = phrases()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(fixed),
        special_tokens=[BOS, EOS, PAD, IMAGE],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    core.add_tokens([AddedToken(text, normalized=False) for text in fixed])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        extra_special_tokens={"image_token": IMAGE},
        model_max_length=2048,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def make_processor(tokenizer: Any) -> Any:
    """Join the tokenizer with an image processor into a `LlavaProcessor`."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    images = CLIPImageProcessor(
        size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE}
    )
    return LlavaProcessor(
        image_processor=images,
        tokenizer=tokenizer,
        patch_size=CELL,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token=IMAGE,
        chat_template=CHAT_TEMPLATE,
    )


def make_model(tokenizer: Any) -> Any:
    """Build the LLaVA with random weights; draw them from torch's current seed."""
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    vision = CLIPVisionConfig(
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=CELL,
        hidden_act="gelu",
        projection_dim=128,
    )
    ids = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    text = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=384,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=4,
        max_position_embeddings=2048,
        tie_word_embeddings=False,
        **ids,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=tokenizer.convert_tokens_to_ids(IMAGE),
        vision_feature_layer=-1,
        vision_feature_select_strategy="default",
        image_seq_length=(SIDE // CELL) ** 2,
        tie_word_embeddings=False,
        **ids,
    )
    config._attn_implementation = "sdpa"
    return LlavaForConditionalGeneration(config)
