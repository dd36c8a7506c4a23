"""The frozen records that pass between the stages, their JSON form, and the state of a row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.old_names import forward as _forward
from harness.records.bounds import Bounds, check_bounds
from harness.records.images import IMAGE_FORMATS, image_problem, listed_formats, open_image
from harness.records.json_form import fingerprint, from_json, to_json
from harness.records.states import (
    ANSWERED,
    CUT,
    FIRST,
    LENGTH,
    MISSING,
    NOT_APPLICABLE,
    NOT_FINITE,
    REFUSED,
    STATES,
    THOUGHT_ONLY,
    StateCount,
    count_states,
    cut_share,
    failed,
    most_frequent,
    none_measured,
    sentences,
    settled,
    split_thought,
    state_of,
    stopped,
)
from harness.records.types import (
    LATER,
    VERSION,
    Answer,
    Demo,
    Drop,
    Pair,
    Prompt,
    Request,
    Sample,
    Samples,
    Scored,
    Side,
    View,
    as_read,
    distinct,
    seed_of,
)

__all__ = [
    "ANSWERED",
    "CUT",
    "FIRST",
    "IMAGE_FORMATS",
    "LATER",
    "LENGTH",
    "MISSING",
    "NOT_APPLICABLE",
    "NOT_FINITE",
    "REFUSED",
    "STATES",
    "THOUGHT_ONLY",
    "VERSION",
    "Answer",
    "Bounds",
    "Demo",
    "Drop",
    "Pair",
    "Prompt",
    "Request",
    "Sample",
    "Samples",
    "Scored",
    "Side",
    "StateCount",
    "View",
    "as_read",
    "check_bounds",
    "count_states",
    "cut_share",
    "distinct",
    "failed",
    "fingerprint",
    "from_json",
    "image_problem",
    "listed_formats",
    "most_frequent",
    "none_measured",
    "open_image",
    "seed_of",
    "sentences",
    "settled",
    "split_thought",
    "state_of",
    "stopped",
    "to_json",
]

if not TYPE_CHECKING:
    __getattr__ = _forward(__name__)
