"""What options decide: one of a later version at its default leaves every fingerprint as it was."""

from __future__ import annotations

from dataclasses import dataclass, field

from harness.dpo import Training
from harness.records import LATER, to_json


@dataclass(frozen=True)
class Options(Training):
    """Of a method, with another default for an option of its base."""

    tune: str = "full"
    more: int = field(default=3, metadata=LATER)


def test_a_later_option_counts_only_where_it_is_set():
    left_out = {"tune", "parts", "quantize", "feature_cache"}
    assert not left_out & set(to_json(Training()))
    assert to_json(Training(parts=("vision",)))["parts"] == ["vision"]
    assert to_json(Options())["tune"] == "full"
    assert "more" not in to_json(Options())
    assert to_json(Options(more=4))["more"] == 4
