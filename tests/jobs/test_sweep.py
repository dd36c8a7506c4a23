"""A sweep whose job and driver are killed ends as plain runs do; nothing finished is done again."""

from __future__ import annotations

import pytest

from tests.support.kills import assert_close
from tests.support.slurm import slurm
from tests.support.sweeps import SMALL, killed_twice, part_killed, plain


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    return plain(SMALL, tmp_path_factory.mktemp("plain"))


@pytest.mark.slow
def test_on_this_machine(expected, tmp_path):
    story = killed_twice(SMALL, "local:at_once=2", tmp_path)
    assert_close(expected, story.comparisons)


@pytest.mark.slow
@pytest.mark.slurm
def test_on_slurm(expected, tmp_path):
    """Where its jobs outlive the driver and are found again."""
    with slurm(tmp_path / "node"):
        story = killed_twice(SMALL, "slurm:poll=0.5", tmp_path, outlives=True)
    assert_close(expected, story.comparisons)


@pytest.mark.slow
def test_a_part_of_the_pairs_that_is_killed_on_this_machine(tmp_path):
    part_killed("local:at_once=2", tmp_path)


@pytest.mark.slow
@pytest.mark.slurm
def test_a_part_of_the_pairs_that_is_killed_on_slurm(tmp_path):
    with slurm(tmp_path / "node"):
        part_killed("slurm:poll=0.5", tmp_path)
