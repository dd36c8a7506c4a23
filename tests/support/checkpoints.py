"""Random-weights checkpoints of real architectures, small enough for tests.

``write_llava`` makes a LLaVA-1.5-shaped folder that ``AutoProcessor`` and
``AutoModelForImageTextToText`` open like any published one. The same arguments and seed give the
same bytes. Nothing here is a mock: only the weights mean nothing.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LLAVA_HF_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}USER: "
    "{% for part in message['content'] if part['type'] == 'image' %}<image>\n{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }} {% endfor %}"
    "{% else %}ASSISTANT: "
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
"""The shape of the published llava-hf templates: no BOS, the tokeniser adds it."""

BOS_TEMPLATE = "{{ bos_token }}" + LLAVA_HF_TEMPLATE
"""A template that writes the BOS itself, as newer checkpoints do."""

_WORDS = """
is there a an the in on of image picture describe what colour shape red green blue yellow circle
square triangle yes no answer question using single word or phrase please detail left right
above below how many are you user assistant dog cat car person tree street sky water
"""


@dataclass(frozen=True)
class Sizes:
    """Sizes of a LLaVA-1.5-shaped model; the default has about 0.2 million parameters.

    Attributes:
        image: edge of the square input image in pixels.
        patch: edge of a patch; ``(image // patch) ** 2`` image tokens reach the language model.
        vision_hidden, vision_layers, vision_heads: the CLIP tower.
        hidden, layers, heads, kv_heads, mlp: the LLaMA decoder; fewer ``kv_heads`` is GQA.
        vocabulary: number of rows of the embedding; the tokeniser is filled up to it.
        positions: longest sequence.
        spread: standard deviation of the random weights. Wider than usual, so that the image and
            every earlier token visibly move the next token.
        eos_gain: factor on the EOS row of the head; above 1 some answers end early.
    """

    image: int = 28
    patch: int = 7
    vision_hidden: int = 32
    vision_layers: int = 3
    vision_heads: int = 2
    hidden: int = 64
    layers: int = 2
    heads: int = 4
    kv_heads: int = 4
    mlp: int = 128
    vocabulary: int = 400
    positions: int = 4096
    spread: float = 0.12
    eos_gain: float = 1.5


def write_llava(
    path: Path,
    sizes: Sizes | None = None,
    *,
    seed: int = 0,
    template: str = LLAVA_HF_TEMPLATE,
    dtype: str = "float32",
) -> Path:
    """Write a LLaVA checkpoint with random weights and return its folder.

    Args:
        path: the folder; made when missing.
        sizes: sizes of the model.
        seed: seed of the weights.
        template: chat template; :data:`BOS_TEMPLATE` has the BOS in it.
        dtype: storage type of the weights.
    """
    import torch
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
    )

    sizes = sizes or Sizes()
    path.mkdir(parents=True, exist_ok=True)
    processor = llava_processor(sizes, template)
    tokenizer = processor.tokenizer
    special = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=sizes.vision_hidden,
            intermediate_size=sizes.vision_hidden * 4,
            num_hidden_layers=sizes.vision_layers,
            num_attention_heads=sizes.vision_heads,
            image_size=sizes.image,
            patch_size=sizes.patch,
            projection_dim=sizes.vision_hidden,
        ),
        text_config=LlamaConfig(
            hidden_size=sizes.hidden,
            intermediate_size=sizes.mlp,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.kv_heads,
            vocab_size=sizes.vocabulary,
            max_position_embeddings=sizes.positions,
            **special,
        ),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=(sizes.image // sizes.patch) ** 2,
        vision_feature_layer=-2,
        **special,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LlavaForConditionalGeneration(config)
        fill(model, sizes.spread, special["eos_token_id"], sizes.eos_gain)
    model.generation_config.do_sample = False
    for name, value in special.items():
        setattr(model.generation_config, name, value)
    model.to(getattr(torch, dtype)).save_pretrained(path, safe_serialization=True)
    processor.save_pretrained(path)
    return path


def fill(model: Any, spread: float, eos: int | None = None, eos_gain: float = 1.0) -> None:
    """Redraw every matrix from a normal distribution; norms and biases keep their start values."""
    import torch

    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight.normal_(0.0, spread)
        head = model.get_output_embeddings()
        if eos is not None and head is not None:
            head.weight[eos] *= eos_gain


def llava_processor(sizes: Sizes, template: str = LLAVA_HF_TEMPLATE) -> Any:
    """Return the matching ``LlavaProcessor``."""
    from transformers import CLIPImageProcessor, LlavaProcessor

    edge = {"height": sizes.image, "width": sizes.image}
    return LlavaProcessor(
        image_processor=CLIPImageProcessor(
            size={"shortest_edge": sizes.image}, crop_size=edge, do_convert_rgb=True
        ),
        tokenizer=byte_tokenizer(sizes.vocabulary),
        patch_size=sizes.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=template,
    )


def byte_tokenizer(
    size: int,
    extra: tuple[str, ...] = (),
    *,
    bos: bool = True,
    image: str = "<image>",
) -> Any:
    """Return a byte-level BPE tokeniser with exactly ``size`` entries that can read any text.

    Ids 0 to 3 are ``<pad> <s> </s> <image>``, then ``extra`` special tokens, the 256 bytes, one
    entry per common word, and synthetic words up to ``size``. The tokeniser adds the BOS when
    ``bos`` is set, as LLaMA's does. ``image`` is the token it calls its image token.
    """
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    first = ["<pad>", "<s>", "</s>", "<image>", *extra]
    vocabulary = {token: index for index, token in enumerate(first)}
    for letter in sorted(pre_tokenizers.ByteLevel.alphabet()):
        vocabulary.setdefault(letter, len(vocabulary))
    merges: list[tuple[str, str]] = []
    for word in dict.fromkeys(_WORDS.split()):
        joined = "Ġ"
        for letter in word:
            if len(vocabulary) >= size and joined + letter not in vocabulary:
                break
            if joined + letter not in vocabulary:
                vocabulary[joined + letter] = len(vocabulary)
                merges.append((joined, letter))
            joined += letter
    number = 0
    while len(vocabulary) < size:
        vocabulary[f"Ġw{number}"] = len(vocabulary)
        number += 1
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens([AddedToken(token, special=True) for token in first])
    if bos:
        backend.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 1)]
        )
    names = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        extra_special_tokens={"image_token": image},
        clean_up_tokenization_spaces=False,
        **names,
    )


def write_lora(path: Path, base: Path, *, seed: int = 0, rank: int = 4, scale: float = 0.2) -> Path:
    """Write a LoRA adapter for the language model of a LLaVA folder, with weights that matter.

    A fresh adapter changes nothing, because its second factor is zero; here both are random.
    """
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForImageTextToText

    model = AutoModelForImageTextToText.from_pretrained(base, local_files_only=True)
    config = LoraConfig(
        r=rank,
        lora_alpha=rank * 2,
        target_modules=r".*language_model.*\.(q_proj|v_proj|down_proj)",
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        adapted = get_peft_model(model, config)
        with torch.no_grad():
            for name, weight in adapted.named_parameters():
                if "lora_" in name:
                    weight.normal_(0.0, scale)
    adapted.save_pretrained(path, safe_serialization=True)
    return path


def read_json(path: Path) -> dict[str, Any]:
    """Read one JSON file of a checkpoint."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return content
