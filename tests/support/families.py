"""Random-weights checkpoints of more families, written and opened like published ones.

Each writer takes a folder, fills it and returns it: LLaVA-NeXT, Idefics3, SmolVLM and InternVL cut
an image into tiles, as many as its shape asks for; Qwen2.5-VL has three-dimensional positions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.support.checkpoints import BOS_TEMPLATE, Sizes, byte_tokenizer, fill

TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 4096,
}
ENDS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


def template(image: str) -> str:
    """Return LLaVA's chat template with another text for an image."""
    return BOS_TEMPLATE.replace("<image>", image)


def save(path: Path, network: Any, processor: Any, spread: float = 0.12) -> Path:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        fill(network, spread)
    for name, value in ENDS.items():
        setattr(network.generation_config, name, value)
    network.save_pretrained(path)
    processor.save_pretrained(path)
    return path


def llava_next(path: Path, sizes: Sizes | None = None) -> Path:
    """Write one over a Mistral, like the best known v1.6; an image is itself and up to 4 tiles."""
    from transformers import (
        CLIPVisionConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
        MistralConfig,
    )

    sizes = sizes or Sizes(kv_heads=2)
    edge = sizes.image
    grid = [[edge, 2 * edge], [2 * edge, edge], [2 * edge, 2 * edge]]
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=sizes.vision_hidden,
            intermediate_size=sizes.vision_hidden * 4,
            num_hidden_layers=sizes.vision_layers,
            num_attention_heads=sizes.vision_heads,
            image_size=edge,
            patch_size=sizes.patch,
        ),
        text_config=MistralConfig(
            hidden_size=sizes.hidden,
            intermediate_size=sizes.mlp,
            num_hidden_layers=sizes.layers,
            num_attention_heads=sizes.heads,
            num_key_value_heads=sizes.kv_heads,
            vocab_size=sizes.vocabulary,
            max_position_embeddings=sizes.positions,
            sliding_window=None,
            **ENDS,
        ),
        image_token_index=3,
        image_grid_pinpoints=grid,
    )
    images = LlavaNextImageProcessor(
        size={"shortest_edge": edge},
        crop_size={"height": edge, "width": edge},
        image_grid_pinpoints=grid,
    )
    processor = LlavaNextProcessor(
        images,
        byte_tokenizer(sizes.vocabulary),
        patch_size=sizes.patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template("<image>"),
    )
    return save(path, LlavaNextForConditionalGeneration(config), processor, sizes.spread)


def qwen(path: Path) -> Path:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    marks = ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>")
    config = Qwen2_5_VLConfig(
        text_config={
            "vocab_size": 400,
            **TEXT,
            **ENDS,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 10000.0,
                "mrope_section": [2, 3, 3],
            },
        },
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 7,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 64,
            "window_size": 56,
            "fullatt_block_indexes": [1],
        },
        vision_start_token_id=4,
        image_token_id=5,
        vision_end_token_id=6,
        video_token_id=7,
    )
    sizes = {"patch_size": 7, "merge_size": 2, "min_pixels": 784, "max_pixels": 3136}
    processor = Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(**sizes),
        byte_tokenizer(400, marks, bos=False, image="<|image_pad|>"),
        Qwen2VLVideoProcessor(**sizes),
        chat_template=template("<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return save(path, Qwen2_5_VLForConditionalGeneration(config), processor)


def idefics(path: Path) -> Path:
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
    )

    images = Idefics3ImageProcessor(**TILES)
    processor = Idefics3Processor(
        images, byte_tokenizer(400, MARKS), image_seq_len=4, chat_template=template("<image>")
    )
    return save(path, Idefics3ForConditionalGeneration(tiled(Idefics3Config)), processor)


def smol(path: Path) -> Path:
    from transformers import (
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
        SmolVLMVideoProcessor,
    )

    sizes = {"longest_edge": 56}
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(**TILES),
        byte_tokenizer(400, MARKS),
        SmolVLMVideoProcessor(size=sizes, max_image_size={"longest_edge": 28}),
        image_seq_len=4,
        chat_template=template("<image>"),
    )
    return save(path, SmolVLMForConditionalGeneration(tiled(SmolVLMConfig)), processor)


MARKS = (
    "<fake_token_around_image>",
    "<end_of_utterance>",
    "<global-img>",
    *(f"<row_{i}_col_{j}>" for i in range(1, 7) for j in range(1, 7)),
)
TILES = {"size": {"longest_edge": 56}, "max_image_size": {"longest_edge": 28}}


def tiled(kind: Any) -> Any:
    """Return the configuration of a model that cuts its images into tiles."""
    return kind(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 7,
        },
        text_config={"model_type": "llama", "vocab_size": 400, **TEXT, **ENDS},
        image_token_id=3,
        scale_factor=2,
        pad_token_id=0,
    )


def intern(path: Path) -> Path:
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
    )

    marks = ("<img>", "</img>", "<IMG_CONTEXT>", "<video>")
    tokenizer = byte_tokenizer(400, marks)
    for name, token in {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }.items():
        tokenizer._set_model_specific_special_tokens({name: token})
    config = InternVLConfig(
        vision_config={
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": [28, 28],
            "patch_size": [7, 7],
        },
        text_config={"model_type": "qwen2", "vocab_size": 400, **TEXT, **ENDS},
        image_token_id=6,
        image_seq_length=4,
        downsample_ratio=0.5,
    )
    images = GotOcr2ImageProcessor(
        size={"height": 28, "width": 28}, crop_to_patches=True, min_patches=1, max_patches=3
    )
    processor = InternVLProcessor(
        images,
        tokenizer,
        InternVLVideoProcessor(size={"height": 28, "width": 28}),
        image_seq_length=4,
        chat_template=template("<IMG_CONTEXT>"),
    )
    return save(path, InternVLForConditionalGeneration(config), processor)
