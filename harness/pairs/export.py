"""Write pairs in the forms that other trainers read: TRL, LLaMA-Factory, ms-swift.

What is written is a folder that needs nothing else: images are copied, or lie in the table. A pair
with several rejected answers becomes one row for each, since those trainers take one.
"""

from __future__ import annotations

import io
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import compress
from pathlib import Path
from typing import Any

from harness.errors import HarnessError, UsageError, near_miss
from harness.protocol import IMAGE, Message, answered, messages, texts_of
from harness.records import IMAGE_FORMATS, Pair, Side, open_image
from harness.storage import cannot_write, read_bytes, write_whole

NAME = "pairs"
_SHAREGPT = {"user": "human", "assistant": "gpt"}
_GROUP = 32
_ORIENTATION = 0x0112


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        pairs: how many pairs.
        rows: how many rows they became.
        left_out: ids of pairs whose texts hold an image mark that is no place of an image, which
            the other trainer would take for one, or whose answers have an image, a view or weights
            of their own, which the form cannot say.
        use: what to type next, in the other trainer.
    """

    folder: Path
    pairs: int
    rows: int
    left_out: tuple[str, ...]
    use: str


def export_pairs(pairs: Sequence[Pair], form: str, out: Path) -> Exported:
    """Write pairs into a new folder.

    Args:
        pairs: as the pair stage gives them.
        form: ``trl``, ``llama-factory`` or ``ms-swift``.
        out: the folder; it must be absent or empty.

    Raises:
        UsageError: for an unknown form, or a folder that holds something.
        HarnessError: if an image cannot be read, or the disk is full.
    """
    if form not in WRITERS:
        raise UsageError(
            f"Pairs cannot be exported as '{form}'.{near_miss(form, WRITERS)} "
            f"Choose one of: {', '.join(WRITERS)}."
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is not empty. Name a new folder with --out.")
    fits = [not ((form != "trl" and _strays(pair)) or _own(pair)) for pair in pairs]
    kept = list(compress(pairs, fits))
    left_out = tuple(pair.prompt.id for pair, fit in zip(pairs, fits, strict=True) if not fit)
    if not kept:
        raise HarnessError("There are no pairs to export. Look at them without --export first.")
    write, advice = WRITERS[form]
    use = advice.format(out=out, name=NAME)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        write(kept, part, out)
        write_whole(part / "README.md", _card(form, kept, use))
        if out.exists():
            out.rmdir()
        part.rename(out)
    except OSError as error:
        raise cannot_write(out, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return Exported(out, len(kept), sum(len(pair.rejected) for pair in kept), left_out, use)


def _turns(pair: Pair) -> list[Message]:
    return messages(pair.asked, len(pair.prompt.images), pair.prompt.history)


def _texts(pair: Pair) -> str:
    return "\n".join((pair.asked, *(question for question, _ in pair.prompt.history)))


def _strays(pair: Pair) -> bool:
    texts = (*texts_of(_turns(pair)), pair.chosen, *pair.rejected)
    return any(IMAGE in text for text in texts)


def _marked(turn: Message) -> str:
    """Write a turn as a text with image marks."""
    return "".join(IMAGE if part["type"] == "image" else part["text"] for part in turn["content"])


def _own(pair: Pair) -> bool:
    return any(side.shown != Side().shown or side.weights for side in pair.sides)


def _card(form: str, pairs: Sequence[Pair], use: str) -> str:
    return f"# {len(pairs)} preference pairs for {form}\n\n```\n{use}\n```\n"


def _image(path: Path, pair: Pair) -> tuple[bytes, str]:
    """Return an image as the harness shows it to the model: the file itself, if that is the same.

    Trainers differ in what they do with an orientation tag or transparency, so such images are
    written anew, upright and as RGB.
    """
    import PIL.Image

    shown = open_image(path, f"prompt '{pair.prompt.id}'")
    data = read_bytes(path)
    with PIL.Image.open(io.BytesIO(data), formats=IMAGE_FORMATS) as image:
        upright = image.getexif().get(_ORIENTATION, 1) == 1
        if image.mode == "RGB" and upright and image.format in ("JPEG", "PNG"):
            return data, {"JPEG": "jpg", "PNG": "png"}[image.format]
    made = io.BytesIO()
    shown.save(made, "PNG")
    return made.getvalue(), "png"


def _trl(pairs: Sequence[Pair], part: Path, out: Path) -> None:
    """Conversational columns with the image in the table, as ``datasets`` decodes it."""
    from datasets import Features, Image, List, Value
    from pyarrow import Table  # type: ignore[import-untyped]
    from pyarrow.parquet import ParquetWriter  # type: ignore[import-untyped]

    marked = any(IMAGE in _texts(pair) for pair in pairs if not pair.prompt.plain)
    parts = List({"type": Value("string"), "text": Value("string")})
    turns = List({"role": Value("string"), "content": parts if marked else Value("string")})
    answers = {"prompt": turns, "chosen": turns, "rejected": turns}
    schema = Features({"id": Value("string"), "images": List(Image()), **answers}).arrow_schema
    table = part / "data" / "train-00000-of-00001.parquet"
    table.parent.mkdir()
    with ParquetWriter(table, schema) as writer:
        for start in range(0, len(pairs), _GROUP):
            some = pairs[start : start + _GROUP]
            rows = [row for pair in some for row in _trl_rows(pair, marked=marked)]
            writer.write_table(Table.from_pylist(rows, schema=schema))


def _trl_rows(pair: Pair, *, marked: bool) -> Iterator[dict[str, Any]]:
    """Yield a row for each rejected answer.

    A content is a text, before the first of which TRL puts all images; where some texts of a set
    mark places of images, contents are lists of parts.
    """
    turns = _turns(pair)

    def said(*turns: Message) -> list[Message]:
        if marked:
            return list(turns)
        return [{**turn, "content": "".join(texts_of([turn]))} for turn in turns]

    images = [_image(path, pair) for path in pair.prompt.images]
    for rejected in pair.rejected:
        yield {
            "id": pair.prompt.id,
            "images": [{"bytes": data, "path": f"image.{kind}"} for data, kind in images],
            "prompt": said(*turns),
            "chosen": said(answered(pair.chosen)),
            "rejected": said(answered(rejected)),
        }


def _llama_factory(pairs: Sequence[Pair], part: Path, out: Path) -> None:
    """ShareGPT rows with relative image paths, and the entry of ``dataset_info.json``."""
    rows = [
        {
            "conversations": [
                {"from": _SHAREGPT[turn["role"]], "value": _marked(turn)} for turn in _turns(pair)
            ],
            "chosen": {"from": "gpt", "value": pair.chosen},
            "rejected": {"from": "gpt", "value": rejected},
            "images": images,
        }
        for pair, images in _copied(pairs, part)
        for rejected in pair.rejected
    ]
    write_whole(part / f"{NAME}.json", json.dumps(rows, ensure_ascii=False, indent=1))
    columns = {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}
    entry = {
        "file_name": f"{NAME}.json",
        "formatting": "sharegpt",
        "ranking": True,
        "columns": {**columns, "images": "images"},
    }
    write_whole(part / "dataset_info.json", json.dumps({NAME: entry}, indent=1))


def _ms_swift(pairs: Sequence[Pair], part: Path, out: Path) -> None:
    """Messages with the rejected answer beside them; ms-swift wants whole image paths."""
    lines = [
        json.dumps(
            {
                "messages": [
                    *({**turn, "content": _marked(turn)} for turn in _turns(pair)),
                    {"role": "assistant", "content": pair.chosen},
                ],
                "rejected_response": rejected,
                "images": [str(out.absolute() / image) for image in images],
            },
            ensure_ascii=False,
        )
        for pair, images in _copied(pairs, part)
        for rejected in pair.rejected
    ]
    write_whole(part / f"{NAME}.jsonl", "".join(line + "\n" for line in lines))


def _copied(pairs: Sequence[Pair], part: Path) -> Iterator[tuple[Pair, list[str]]]:
    """Copy each image once; yield every pair with the names of its images in the folder."""
    names: dict[Path, str] = {}
    (part / "images").mkdir()
    for pair in pairs:
        for path in pair.prompt.images:
            if path not in names:
                data, kind = _image(path, pair)
                names[path] = f"images/{len(names):06d}.{kind}"
                (part / names[path]).write_bytes(data)
        yield pair, [names[path] for path in pair.prompt.images]


Write = Callable[[Sequence[Pair], Path, Path], None]

WRITERS: Mapping[str, tuple[Write, str]] = {
    "trl": (
        _trl,
        'DPOTrainer(train_dataset=load_dataset("{out}", split="train"), ...)',
    ),
    "llama-factory": (
        _llama_factory,
        "llamafactory-cli train ... stage=dpo dataset={name} dataset_dir={out} media_dir={out}",
    ),
    "ms-swift": (_ms_swift, "swift rlhf --rlhf_type dpo --dataset {out}/{name}.jsonl ..."),
}
"""Each form with its writer and how its trainer is told of the folder."""
