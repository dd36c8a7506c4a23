"""Configuration and processor of a converted checkpoint of the original LLaVA code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.engine.weights import read_json
from harness.errors import UsageError
from harness.protocol import CHAT_TEMPLATE

_TEXT = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("num_key_value_heads", "rms_norm_eps", "rope_theta", "max_position_embeddings"),
    *("hidden_act", "attention_bias", "bos_token_id", "eos_token_id"),
)


def tower_folder(settings: Mapping[str, Any], tower: Path | None) -> Path:
    """Return the folder of the vision tower: the one that was named, or what config.json names.

    Raises:
        UsageError: if it is not there.
    """
    named = str(settings["mm_vision_tower"])
    at = tower or Path(named)
    if not (at / "config.json").is_file():
        raise UsageError(
            f"The vision tower {at} is not a folder with a config.json. Download it with "
            f"'hf download {named}' and name the folder with --tower."
        )
    return at


def build_processor(
    folder: Path, base: Path | None, tower: Path, settings: Mapping[str, Any]
) -> tuple[Any, Any]:
    """Return processor and configuration, as transformers has them."""
    import transformers

    hub: Any = transformers
    vision = read_json(tower / "config.json")
    vision = vision.get("vision_config") or vision
    eyes = hub.CLIPVisionConfig(
        **{k: v for k, v in vision.items() if k not in ("model_type", "dtype")}
    )
    tokenizer = _tokenizer(folder, base or Path(str(_base_of(folder))))
    pad = tokenizer.unk_token_id
    image = int(tokenizer.convert_tokens_to_ids("<image>"))
    size = max(int(settings["vocab_size"]), image + 1)
    given = {name: settings[name] for name in _TEXT if settings.get(name) is not None}
    text = hub.LlamaConfig(**given, vocab_size=size, pad_token_id=pad, tie_word_embeddings=False)
    config = hub.LlavaConfig(
        vision_config=eyes,
        text_config=text,
        image_token_index=image,
        image_seq_length=(eyes.image_size // eyes.patch_size) ** 2,
        vision_feature_layer=int(settings.get("mm_vision_select_layer", -2)),
        vision_feature_select_strategy=_strategy(settings),
        tie_word_embeddings=False,
        architectures=["LlavaForConditionalGeneration"],
    )
    config.dtype = settings.get("torch_dtype") or settings.get("dtype")
    processor = hub.LlavaProcessor(
        image_processor=_images(tower, int(eyes.image_size)),
        tokenizer=tokenizer,
        patch_size=eyes.patch_size,
        vision_feature_select_strategy=_strategy(settings),
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=CHAT_TEMPLATE,
    )
    return processor, config


def _strategy(settings: Mapping[str, Any]) -> str:
    return "full" if settings.get("mm_vision_select_feature") == "cls_patch" else "default"


def _base_of(folder: Path) -> Any:
    file = folder / "adapter_config.json"
    return read_json(file).get("base_model_name_or_path") if file.is_file() else None


def _images(tower: Path, side: int) -> Any:
    from transformers import CLIPImageProcessor

    if (tower / "preprocessor_config.json").is_file():
        return CLIPImageProcessor(**_known(read_json(tower / "preprocessor_config.json")))
    return CLIPImageProcessor(
        size={"shortest_edge": side}, crop_size={"height": side, "width": side}
    )


def _known(settings: Mapping[str, Any]) -> dict[str, Any]:
    names = (
        *("crop_size", "do_center_crop", "do_convert_rgb", "do_normalize", "do_rescale"),
        *("do_resize", "image_mean", "image_std", "resample", "rescale_factor", "size"),
    )
    found = {name: settings[name] for name in names if name in settings}
    if isinstance(found.get("size"), int):
        found["size"] = {"shortest_edge": found["size"]}
    if isinstance(found.get("crop_size"), int):
        found["crop_size"] = {"height": found["crop_size"], "width": found["crop_size"]}
    return found


def _tokenizer(folder: Path, base: Path) -> Any:
    """Return the tokeniser with one more token, ``<image>``.

    Raises:
        UsageError: if neither the folder nor the base has one.
    """
    import transformers

    hub: Any = transformers
    for at in (folder, base):
        if (at / "tokenizer.json").is_file():
            made = hub.PreTrainedTokenizerFast(
                tokenizer_file=str(at / "tokenizer.json"),
                bos_token="<s>",
                eos_token="</s>",
                unk_token="<unk>",
                pad_token="<unk>",
                clean_up_tokenization_spaces=False,
            )
            break
        if (at / "tokenizer.model").is_file():
            made = hub.LlamaTokenizer(
                **_pieces(at / "tokenizer.model"), add_bos_token=True, pad_token="<unk>"
            )
            break
    else:
        raise UsageError(
            f"{folder} has no tokenizer.model and no tokenizer.json. Copy them from the language "
            "model that it was trained on, or name that with --base."
        )
    made.add_tokens(["<image>"], special_tokens=True)
    made.image_token = "<image>"
    return made


def _pieces(file: Path) -> dict[str, Any]:
    """Read a SentencePiece model as vocabulary and merges."""
    import sentencepiece
    from transformers.convert_slow_tokenizer import generate_merges

    try:
        model = sentencepiece.SentencePieceProcessor(model_file=str(file))
    except (OSError, RuntimeError) as error:
        raise UsageError(f"{file} is no SentencePiece model ({error}). Copy it again.") from error
    numbers = range(model.get_piece_size())
    vocabulary = {model.id_to_piece(number): number for number in numbers}
    odd = (model.is_control, model.is_byte, model.is_unknown)
    scores = {
        model.id_to_piece(number): model.get_score(number)
        for number in numbers
        if not any(test(number) for test in odd)
    }
    return {"vocab": vocabulary, "merges": generate_merges(vocabulary, scores)}
