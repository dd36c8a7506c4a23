"""A pair as token ids and pixels, ready to be batched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Prefix:
    """What answers are read behind: an image and a question.

    Attributes:
        prompt: token ids with the image tokens, BOS included.
        vision: what the processor made of the image: ``pixel_values`` and its companions.
        extra: what else the processor says of each token: its type, or a row of a mask.
    """

    prompt: tuple[int, ...]
    vision: Mapping[str, Tensor]
    extra: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def alike(self, other: Prefix) -> bool:
        """Whether two prefixes are the same to a model."""
        return self.prompt == other.prompt and all(
            value.shape == other.vision[key].shape and bool((value == other.vision[key]).all())
            for key, value in self.vision.items()
        )


@dataclass(frozen=True)
class EncodedPair:
    """One pair, ready to be batched.

    Attributes:
        index: position of the pair in the training set.
        name: the pair's id, for messages.
        prompt: the chosen answer's :class:`Prefix`, as are ``vision`` and ``extra``.
        answers: token ids of each answer, chosen first, EOS included.
        vision: see there.
        cut: how many of the answers end without EOS.
        targets: quality score per answer, or ``None``.
        extra: see there.
        others: further prefixes, of answers that are read under another image or view.
        behind: number of each answer's prefix; empty where all are read behind the first.
        kinds: what each answer is rejected by, see :func:`harness.dpo.pair.kinds_of`; empty
            where all are by their text.
        weights: of each token of each answer; empty where all weigh 1.
    """

    index: int
    name: str
    prompt: tuple[int, ...]
    answers: tuple[tuple[int, ...], ...]
    vision: Mapping[str, Tensor]
    cut: int = 0
    targets: tuple[float, ...] | None = None
    extra: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    others: tuple[Prefix, ...] = ()
    behind: tuple[int, ...] = ()
    kinds: tuple[int, ...] = ()
    weights: tuple[tuple[float, ...], ...] = ()

    @property
    def prefixes(self) -> tuple[Prefix, ...]:
        """All prefixes, the chosen answer's first."""
        return (Prefix(self.prompt, self.vision, self.extra), *self.others)

    @property
    def prefix_of(self) -> tuple[int, ...]:
        """Number of each answer's prefix."""
        return self.behind or (0,) * len(self.answers)

    def without_pixels(self) -> EncodedPair:
        """The same with its images left out."""
        others = tuple(replace(prefix, vision={}) for prefix in self.others)
        return replace(self, vision={}, others=others)


def prefixes_of(rows: Sequence[EncodedPair], chosen: Sequence[int]) -> list[int]:
    """Number the prefixes of the chosen rows, counted over all rows of a batch."""
    ends = list(accumulate(len(row.prefixes) for row in rows))
    return [at for row in chosen for at in range(ends[row] - len(rows[row].prefixes), ends[row])]


def one_bos(
    tokens: Mapping[str, list[int]], bos: int | None, adds_bos: bool
) -> dict[str, tuple[int, ...]]:
    """Put a missing BOS in front of the ids, or take a second one away; the others follow."""
    ids = tokens["input_ids"]
    if bos is not None and ids[:2] == [bos, bos]:
        return {key: tuple(values[1:]) for key, values in tokens.items()}
    if bos is not None and adds_bos and ids[:1] != [bos]:
        first = {"input_ids": bos}
        return {
            key: (values[0] if isinstance(values[0], list) else first.get(key, 0), *values)
            for key, values in tokens.items()
        }
    return {key: tuple(values) for key, values in tokens.items()}
