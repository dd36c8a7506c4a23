"""A real Ray on this machine, whose first node has two cores and two GPUs that it believes in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

MISSING = "ray is not installed: uv run --with ray pytest ..."


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """Start it, let ``RAY_ADDRESS`` name it, and end it; skip the tests where Ray is not installed.

    More nodes are processes of this machine too: ``add_node`` and ``remove_node`` of what is given.
    """
    pytest.importorskip("ray", reason=MISSING)
    from ray.cluster_utils import Cluster

    for attempt in range(4):
        cluster = Cluster()
        try:
            cluster.add_node(num_cpus=2, num_gpus=2, include_dashboard=False)
            break
        except Exception as error:  # on a busy machine its own limit of 30 seconds is too short
            cluster.shutdown()
            if attempt == 3 or "timed out during startup" not in str(error):
                raise
    before = os.environ.get("RAY_ADDRESS")
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        yield cluster
    finally:
        os.environ.pop("RAY_ADDRESS")
        if before is not None:
            os.environ["RAY_ADDRESS"] = before
        cluster.shutdown()
