"""Random-weights checkpoints of more families, written and opened like published ones.

Each writer takes a folder, fills it and returns it: LLaVA-NeXT, Idefics3, SmolVLM and InternVL cut
an image into tiles, as many as its shape asks for; Qwen2.5-VL has three-dimensional positions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from tests.support.checkpoints import BOS_TEMPLATE, Sizes, byte_tokenizer, fill, write_llava

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
        for name, weight in network.named_parameters():
            if name.endswith("_gate"):  # zero at the start: the image would have no effect
                weight.data.fill_(0.5)
    for name, value in ENDS.items():
        setattr(network.generation_config, name, value)
    network.save_pretrained(path)
    processor.save_pretrained(path)
    return path


def llava(path: Path) -> Path:
    """Write one with fewer heads for keys than for queries."""
    return write_llava(path, Sizes(kv_heads=2), template=BOS_TEMPLATE)


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


VISION = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 7,
}
QWEN_MARKS = ("<|vision_start|>", "<|image_pad|>", "<|vision_end|>", "<|video_pad|>")
QWEN_IDS = {
    "vision_start_token_id": 4,
    "image_token_id": 5,
    "vision_end_token_id": 6,
    "video_token_id": 7,
}
MROPE = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [2, 3, 3]}


def siglip(**more: Any) -> dict[str, Any]:
    return {"model_type": "siglip_vision_model", "vision_use_head": False, **VISION, **more}


def qwen2(path: Path) -> Path:
    import transformers as hf

    config = hf.Qwen2VLConfig(
        text_config={"vocab_size": 400, **TEXT, **ENDS, "rope_parameters": MROPE},
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 64,
            "num_heads": 2,
            "patch_size": 7,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "mlp_ratio": 2,
        },
        **QWEN_IDS,
    )
    sizes = {"patch_size": 7, "merge_size": 2, "min_pixels": 784, "max_pixels": 3136}
    processor = hf.Qwen2VLProcessor(
        hf.Qwen2VLImageProcessor(**sizes),
        byte_tokenizer(400, QWEN_MARKS, bos=False, image="<|image_pad|>"),
        hf.Qwen2VLVideoProcessor(**sizes),
        chat_template=template("<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return save(path, hf.Qwen2VLForConditionalGeneration(config), processor)


def qwen3(path: Path) -> Path:
    import transformers as hf

    config = hf.Qwen3VLConfig(
        text_config={"vocab_size": 400, **TEXT, "head_dim": 16, **ENDS, "rope_parameters": MROPE},
        vision_config={
            "depth": 3,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_heads": 2,
            "patch_size": 7,
            "spatial_merge_size": 2,
            "temporal_patch_size": 2,
            "out_hidden_size": 64,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        **QWEN_IDS,
    )
    sizes = {"shortest_edge": 784, "longest_edge": 3136}
    processor = hf.Qwen3VLProcessor(
        hf.Qwen2VLImageProcessor(patch_size=7, merge_size=2, size=sizes),
        byte_tokenizer(400, QWEN_MARKS, bos=False, image="<|image_pad|>"),
        hf.Qwen3VLVideoProcessor(patch_size=7, merge_size=2),
        chat_template=template("<|vision_start|><|image_pad|><|vision_end|>"),
    )
    return save(path, hf.Qwen3VLForConditionalGeneration(config), processor)


def gemma3(path: Path) -> Path:
    """Write one that ends its turns with a token of its own, which generation stops at."""
    import json

    import transformers as hf

    marks = ("<start_of_image>", "<end_of_image>", "<image_soft_token>", "<end_of_turn>")
    tokenizer = byte_tokenizer(400, marks)
    tokenizer._set_model_specific_special_tokens(
        {"boi_token": marks[0], "eoi_token": marks[1], "image_token": marks[2]}
    )
    config = hf.Gemma3Config(
        text_config={"vocab_size": 400, **TEXT, "head_dim": 16, "sliding_window": 64, **ENDS},
        vision_config=siglip(),
        mm_tokens_per_image=4,
        boi_token_index=4,
        eoi_token_index=5,
        image_token_index=6,
        **ENDS,
    )
    processor = hf.Gemma3Processor(
        hf.Gemma3ImageProcessor(size={"height": 28, "width": 28}),
        tokenizer,
        chat_template=template(marks[0]).replace("{{ eos_token }}", "<end_of_turn>\n"),
        image_seq_length=4,
    )
    save(path, hf.Gemma3ForConditionalGeneration(config), processor)
    settings = path / "generation_config.json"
    known = json.loads(settings.read_text())
    settings.write_text(json.dumps({**known, "eos_token_id": [2, 7]}))
    return path


def paligemma(path: Path) -> Path:
    """Write one whose prompt attends in both directions, and whose answer must not."""
    import transformers as hf

    config = hf.PaliGemmaConfig(
        text_config={"model_type": "gemma", "vocab_size": 400, **TEXT, "head_dim": 16, **ENDS},
        vision_config=siglip(projection_dim=64),
        image_token_index=3,
        projection_dim=64,
        hidden_size=64,
        **ENDS,
    )
    images = hf.SiglipImageProcessor(size={"height": 28, "width": 28})
    images.image_seq_length = 16
    processor = hf.PaliGemmaProcessor(
        images, byte_tokenizer(400), chat_template=template("<image>")
    )
    return save(path, hf.PaliGemmaForConditionalGeneration(config), processor)


def mllama(path: Path) -> Path:
    """Write one that looks at the image by cross-attention, with a mask for each token."""
    import transformers as hf

    ratios = [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]
    config = hf.MllamaConfig(
        text_config={
            "vocab_size": 400,
            **TEXT,
            "num_hidden_layers": 4,
            "cross_attention_layers": [1, 3],
            "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
            **ENDS,
        },
        vision_config={
            **{k: v for k, v in VISION.items() if k != "num_attention_heads"},
            "num_global_layers": 1,
            "attention_heads": 2,
            "max_num_tiles": 4,
            "vision_output_dim": 64,
            "intermediate_layers_indices": [0],
            "supported_aspect_ratios": ratios,
        },
        image_token_index=4,
    )
    processor = hf.MllamaProcessor(
        hf.MllamaImageProcessor(size={"height": 28, "width": 28}, max_image_tiles=4),
        byte_tokenizer(400, ("<|image|>",), image="<|image|>"),
        chat_template=template("<|image|>"),
    )
    return save(path, hf.MllamaForConditionalGeneration(config), processor)


def onevision(path: Path) -> Path:
    import transformers as hf

    grid = [[28, 28], [28, 56], [56, 28], [56, 56]]
    config = hf.LlavaOnevisionConfig(
        text_config={"model_type": "qwen2", "vocab_size": 400, **TEXT, **ENDS},
        vision_config=siglip(),
        image_token_index=3,
        video_token_index=4,
        image_grid_pinpoints=grid,
        vision_aspect_ratio="anyres_max_9",
    )
    size = {"height": 28, "width": 28}
    processor = hf.LlavaOnevisionProcessor(
        hf.LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=grid),
        byte_tokenizer(400, ("<video>",)),
        hf.LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=16,
        vision_feature_select_strategy="full",
        chat_template=template("<image>"),
    )
    return save(path, hf.LlavaOnevisionForConditionalGeneration(config), processor)


def mistral3(path: Path) -> Path:
    import transformers as hf

    marks = ("[IMG]", "[IMG_BREAK]", "[IMG_END]")
    config = hf.Mistral3Config(
        text_config={
            "model_type": "mistral",
            "vocab_size": 400,
            **TEXT,
            "head_dim": 16,
            "sliding_window": None,
            **ENDS,
        },
        vision_config={"model_type": "pixtral", **VISION, "image_size": 56, "head_dim": 16},
        image_token_index=4,
        spatial_merge_size=2,
    )
    processor = hf.PixtralProcessor(
        hf.PixtralImageProcessor(size={"longest_edge": 56}, patch_size={"height": 7, "width": 7}),
        byte_tokenizer(400, marks, image="[IMG]"),
        patch_size=7,
        spatial_merge_size=2,
        chat_template=template("[IMG]"),
        image_token="[IMG]",
        image_break_token="[IMG_BREAK]",
        image_end_token="[IMG_END]",
    )
    return save(path, hf.Mistral3ForConditionalGeneration(config), processor)
