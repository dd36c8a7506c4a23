"""What a stage needs of the stages before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.stages import Part, StageState, checked_stages, require, told

RUN = Path("runs/seva-model-1")


PAIRS = Part("", 9, 9, complete=True)


def states(*, after: Part, pairs: Part = PAIRS):
    return (
        StageState("before", "answers", (Part("pope", 8, 8, complete=True),)),
        StageState("pairs", "prompts", (pairs,)),
        StageState("train", "steps", (Part("", 2, 2, complete=pairs.complete),)),
        StageState("after", "answers", (Part("mmvet", 4, 4, complete=True), after)),
        StageState("report", "reports", (Part("", 0, 1),)),
    )


def test_rows_that_were_not_measured_stop_no_later_stage():
    found = states(after=Part("pope", 8, 8, complete=False, unmeasured=2))
    require("judge", found, RUN)
    require("report", found, RUN)
    assert told(found, RUN) == (
        "runs/seva-model-1 holds before (8 answers), pairs (9 prompts), train (2 steps), after "
        "(12 answers, unfinished, 2 not measured); missing: report."
    )


def test_rows_that_were_not_asked_do():
    found = states(after=Part("pope", 3, 8, complete=False, unmeasured=2))
    with pytest.raises(UsageError, match=r"'judge' needs after first: .*--only after,judge"):
        require("judge", found, RUN)


def test_all_that_is_missing_on_the_way_is_named():
    found = states(after=Part("pope"), pairs=Part("", 3, 9))
    with pytest.raises(UsageError, match=r"needs pairs, train, after first.*pairs,train,after,ju"):
        require("judge", found, RUN)
    assert "pairs (3 of 9 prompts, unfinished)" in told(found, RUN)


def test_stages_are_done_in_the_order_of_a_run():
    assert checked_stages(["report", "before", "before"]) == ("before", "report")
    with pytest.raises(UsageError, match=r"no stage 'trian'\. Did you mean 'train'"):
        checked_stages(["trian"])
