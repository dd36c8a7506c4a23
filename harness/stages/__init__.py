"""The stages of a run that need no package of their own: checks before it, answers, training."""

from __future__ import annotations

from harness.stages.attribution import Attribution, attribute, reliance_of
from harness.stages.checks import check_knobs, preflight, preflight_once
from harness.stages.contamination import ImageOverlap, Overlap, check_contamination, overlaps_of
from harness.stages.evaluation import Evaluation, evaluate, sample_of
from harness.stages.pair_parts import PairPart, answer_part, pairs_after_parts, part_folders
from harness.stages.rounds import (
    Round,
    RoundFigure,
    Rounds,
    Trained,
    align,
    check_rounds,
    round_folder,
)
from harness.stages.states import (
    AFTER,
    BEFORE,
    JUDGE,
    PAIRS,
    REPORT,
    STAGES,
    TRAIN,
    Part,
    StageState,
    bars_of,
    checked_stages,
    require,
    stages_of,
    stages_of_plan,
    told,
)
from harness.stages.training import Ablation, Checkpoint, ablation, kept_ablation, merged, train

__all__ = [
    "AFTER",
    "BEFORE",
    "JUDGE",
    "PAIRS",
    "REPORT",
    "STAGES",
    "TRAIN",
    "Ablation",
    "Attribution",
    "Checkpoint",
    "Evaluation",
    "ImageOverlap",
    "Overlap",
    "PairPart",
    "Part",
    "Round",
    "RoundFigure",
    "Rounds",
    "StageState",
    "Trained",
    "ablation",
    "align",
    "answer_part",
    "attribute",
    "bars_of",
    "check_contamination",
    "check_knobs",
    "check_rounds",
    "checked_stages",
    "evaluate",
    "kept_ablation",
    "merged",
    "overlaps_of",
    "pairs_after_parts",
    "part_folders",
    "preflight",
    "preflight_once",
    "reliance_of",
    "require",
    "round_folder",
    "sample_of",
    "stages_of",
    "stages_of_plan",
    "told",
    "train",
]
